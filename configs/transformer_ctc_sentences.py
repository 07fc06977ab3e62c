"""A small Transformer with CTC on an hour of read sentences, in minutes.

  python -m recog_jax.main --config=configs/transformer_ctc_sentences.py

Data and protocol of `conformer_ctc_sentences`. Pre-norm (Xiong et al., 2020),
rotary positions (Su et al., 2021), convolutions in front.

Reached: CER 45.2 % in 8 minutes on one core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_sentences.py', arg)
  config.model = {
    'name': 'transformer_ctc',
    'dtype': 'float32',
    'layers': 4,
    'dim': 144,
    'heads': 4,
    'ffn_multiplier': 4,
    'positions': 'rotary',
    'dropout': 0.2,
    'subsample': {'name': 'conv2d', 'factor': 4, 'channels': 32},
    'intermediate': (2,),
  }
  config.optimizer.learning_rate = 1e-3
  if arg == 'tiny':
    tiny = {'layers': 2, 'dim': 16, 'heads': 2, 'intermediate': (1,)}
    config.model.update(tiny)
    return config
  config.data.augment[0]['ramp'] = 0.0
  config.total_steps = 4500
  config.schedule.warmup_steps = 500
  config.evaluation.every_steps = 450
  config.checkpoint.every_steps = 450
  return config
