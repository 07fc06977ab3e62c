"""A bidirectional LSTM with CTC on synthetic speech: no data set is needed.

  pip install 'recog_jax[synth]'
  python -m recog_jax.main --config=configs/lstm_ctc_synth.py

eSpeak NG speaks one to four of 34 everyday words in English, Urdu, Punjabi or
Sindhi (`:ur` takes one language only, `:ur+hi+fa` several, also Hindi and
Persian), in ten voices, at many speeds and pitches; the test is spoken by three
other voices. It is a demonstration: the
speech is a formant synthesiser's, and the words of the test are those of
training.
"""

from ml_collections import ConfigDict

from recog_jax.data.sources.synth_words import WORDS, alphabet
from recog_jax.engine.config import base_config, make_tiny_speech


def get_config(arg: str = '') -> ConfigDict:
  """The experiment.

  Args:
    arg: languages instead of en+ur+pa+sd, of these and hi and fa; `tiny` for a
      few steps on generated tones.
  """
  chosen = tuple(arg.split('+'))
  languages = chosen if {*chosen} <= {*WORDS} else ('en', 'ur', 'pa', 'sd')
  config = base_config(total_steps=900)

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {
    'name': 'synth',
    'language': languages,
    'sizes': {'train': 6000, 'val': 200, 'test': 400},
    'num_words': (1, 4),
    'sample_rate': 8000,
    'seed': 0,
  }
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.tokenizer = {
    'name': 'characters',
    'alphabet': alphabet(*languages),
  }
  config.data.lang = 'field'
  config.data.features = {
    'name': 'log_mel',
    'num_mels': 40,
    'normalise': 'mean_variance',
  }
  config.data.buckets = {'count': 3, 'batch_size': 32}
  config.data.eval_batch_size = 64
  config.data.augment = (
    {'name': 'gain', 'low_db': -6.0, 'high_db': 6.0},
    {
      'name': 'spec_augment',
      'freq_masks': 2,
      'freq_width': 8,
      'time_masks': 2,
      'time_width': 8,
    },
  )

  config.task = {'name': 'ctc'}
  config.model = {
    'name': 'lstm_ctc',
    'dtype': 'float32',
    'layers': 2,
    'hidden': 128,
    'dropout': 0.1,
    'subsample': {'name': 'stack', 'factor': 2},
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 3e-3,
    'weight_decay': 1e-2,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 100}
  config.evaluation = {'every_steps': 300}
  config.checkpoint = {'every_steps': 300, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    config.model.hidden = 16
    make_tiny_speech(config)
  return config
