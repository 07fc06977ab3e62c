r"""Whisper's encoder with CTC, fine-tuned on an hour of sentences, in minutes.

  pip install -e '.[weights]' -c .ci/constraints.txt
  python -m recog_jax.main --config=configs/whisper_ctc_sentences.py \
      --data_dir=DATA --config.init_from.path=FOLDER

Data, letters and greedy decoding of `conformer_ctc_sentences`, beside which it
shows what pretraining is worth (Radford et al., 2022, arXiv:2212.04356). FOLDER
holds tiny.en, as `whisper_tiny_sentences` says; its decoder is not taken.
Utterances keep their length, and are not filled to 30 s: that is another input
than the encoder was trained with, and costs a quarter. Ways to train less:
  --config.freeze="('encoder/.*',)" --config.optimizer.groups=()
  --config.adapt.name=lora "--config.optimizer.groups=({'pattern':
      'encoder/.*', 'learning_rate_scale': 0.3},)"

Reached: WER 57.0 % in 19 minutes on one core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a small model."""
  config = inherit(__file__, 'conformer_ctc_sentences.py', arg)
  mels = 40 if arg == 'tiny' else 80
  config.data.features = {'name': 'whisper', 'num_mels': mels, 'pad_s': None}
  config.task = {'name': 'ctc', 'unit': 'character'}
  # Whisper was trained without dropout: with 0.1 its loss here doubles.
  config.model = {'name': 'whisper_ctc', 'dtype': 'float32', 'dropout': 0.0}
  # The head is new, the encoder is not.
  config.optimizer.learning_rate = 3e-3
  config.optimizer.groups = (
    {'pattern': 'encoder/.*', 'learning_rate_scale': 0.04},
  )
  if arg == 'tiny':
    config.model.update({'layers': 1, 'dim': 16, 'heads': 2})
    return config
  config.data.buckets = {'count': 5, 'batch_seconds': 40.0}
  config.init_from = {
    'path': config_dict.placeholder(str),
    'skip': ('ctc_head/.*',),
  }
  config.ema_decay = 0.99
  config.total_steps = 500
  config.schedule.warmup_steps = 50
  config.evaluation.every_steps = 250
  config.checkpoint.every_steps = 250
  return config
