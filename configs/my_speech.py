"""Your own recordings: a table, NeMo manifests, or a folder.

  python -m recog_jax.main --config=configs/my_speech.py --data_dir=SPEECH

SPEECH is, or holds, a table (CSV, TSV, JSON lines such as NeMo's manifests)
with a column of file names and one of transcripts (`my_speech.py:COLUMN` where
that is not plain); or it holds manifests train.json, val.json and test.json, a
language of Common Voice, or 1.wav with 1.txt beside it. Columns such as `split`
and `speaker` are used, and no speaker is in two splits; what has no splits is
divided 80, 10, 10 % by a hash of the names. The first line of the run says what
was found.

The network is a Conformer with CTC (Gulati et al., Interspeech 2020) on the
characters of the training transcripts, small below 20 hours, with batches and
epochs for 200 recordings or 100,000. Latin letters are made lower case without
punctuation; other scripts are taken as they are, so name their language if it
is known (`--config.data.lang=ur`). A network that learns from scratch needs an
hour of speech to read new words and a hundred to read them well; a few hundred
recordings are enough for a few words.

Nothing is claimed for it: what it reaches depends on the recordings.
"""

from ml_collections import ConfigDict

from recog_jax.data.sources import own, own_speech
from recog_jax.engine.config import base_config, make_tiny_speech


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  column = None if tiny else arg or None
  found = own_speech.look(None if tiny else own.data_dir(), column)
  hours = found.size * found.seconds / 3600
  epochs = 100.0 if hours < 1 else 60.0 if hours < 20 else 30.0

  config = base_config(total_epochs=epochs, log_every_steps=20)
  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = dict(found.source)
  config.data.splits = dict(found.splits)
  config.data.tokenizer = {'name': 'characters', 'alphabet': found.alphabet}
  config.data.lang = found.lang
  config.data.case = None
  config.data.features = {
    'name': 'log_mel',
    'num_mels': 80,
    'normalise': 'mean_variance',
  }
  # Some twenty steps an epoch at least, and rows for eight devices.
  seconds = min(max(found.size * found.seconds / 20, 8 * found.seconds), 320.0)
  config.data.buckets = {
    'count': 2 if hours < 1 else 6,
    'batch_seconds': round(seconds, 1),
    'rows_multiple': 8,
  }
  config.data.max_seconds = 30.0
  config.data.eval_batch_size = 16
  config.data.speeds = (0.9, 1.0, 1.1)
  config.data.workers = 0 if hours < 18 else 4
  config.data.augment = (
    {
      'name': 'spec_augment',
      'freq_masks': 2,
      'freq_width': 15,
      'time_masks': 2,
      'time_width': 20,
    },
  )

  config.task = {'name': 'ctc', 'unit': 'word' if hours > 1 else 'character'}
  config.model = {
    'name': 'conformer_ctc',
    'dtype': 'float32',
    'layers': 4 if hours < 20 else 12,
    'dim': 144 if hours < 20 else 256,
    'heads': 4,
    'kernel': 15,
    'dropout': 0.1,
    'subsample': {'name': 'conv2d', 'factor': 2 if found.fast else 4},
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-3,
    'weight_decay': 1e-2,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_epochs': epochs / 10}
  config.evaluation = {'every_epochs': epochs / 10}
  config.checkpoint = {**config.evaluation, 'keep_latest': 2, 'keep_best': 1}

  if tiny:
    make_tiny_speech(config)
    config.model.update({'layers': 2, 'dim': 16, 'heads': 2})
  else:
    own.tell(found.note)
  return config
