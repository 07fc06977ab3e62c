"""A small Conformer with CTC on an hour of read sentences, in minutes.

  python -m recog_jax.main --config=configs/conformer_ctc_sentences.py

Gulati et al., "Conformer: convolution-augmented Transformer for speech
recognition", Interspeech 2020, with four blocks. Data and protocol of
`lstm_ctc_sentences`.

Reached: CER 32.7 % in 13 minutes (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'lstm_ctc_sentences.py', arg)
  config.model = {
    'name': 'conformer_ctc',
    'dtype': 'float32',
    'layers': 4,
    'dim': 144,
    'heads': 4,
    'kernel': 15,
    'dropout': 0.2,
    'subsample': {'name': 'conv2d', 'factor': 4, 'channels': 32},
    'intermediate': (2,),
  }
  config.optimizer.learning_rate = 1.5e-3
  if arg == 'tiny':
    tiny = {'layers': 2, 'dim': 16, 'heads': 2, 'intermediate': (1,)}
    config.model.update(tiny)
    return config
  config.data.buckets.count = 5
  config.data.augment[0]['ramp'] = 0.6
  config.total_steps = 7000
  config.schedule.warmup_steps = 600
  config.evaluation.every_steps = 1000
  config.checkpoint.every_steps = 1000
  return config
