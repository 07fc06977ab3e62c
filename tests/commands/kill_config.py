"""Everything that a resume must continue, in seconds of training.

Momentum, running statistics, averaged weights, dropout, mixup, augmentation,
a schedule, and log, evaluation and checkpoint steps that do not divide.
"""

from ml_collections import ConfigDict

from recog_jax.engine import config as config_lib


def get_config(arg: str = '') -> ConfigDict:
  """`:mlp` is a network that compiles quickly, without running statistics.

  `:aed` and `:transducer` are recognisers of generated tones, with what is
  drawn in their steps: masks, dropout, scheduled sampling. `:lora` holds the
  ResNet's own parameters, and adds few. `:private` spends epsilon.
  """
  if arg in _SPEECH:
    return _speech(_SPEECH[arg])
  config = config_lib.load('configs/digits_resnet8.py')
  with config.unlocked():
    config.total_steps = 240
    config.log_every_steps = 7
    config.ema_decay = 0.9
    config.data.batch_size = 16
    config.task.mixup_alpha = 0.2
    config.model.width = 8
    config.model.dropout = 0.1
    config.schedule = {'name': 'cosine', 'warmup_steps': 20}
    config.evaluation = {'every_steps': 30}
    config.checkpoint = {'every_steps': 12, 'keep_latest': 2, 'keep_best': 1}
    if arg == 'lora':
      config.adapt = {'name': 'lora', 'rank': 4}
    if arg in ('mlp', 'private'):
      config.model = {'name': 'mlp', 'hidden': (32,), 'dtype': 'float32'}
    if arg == 'private':
      config.task.mixup_alpha = 0.0
      config.checkpoint.keep_best = 0
      config.privacy = {'epsilon': 8.0, 'microbatch': 16}
  return config


_SPEECH = {
  'aed': 'configs/lstm_las_spoken_digits.py:tiny',
  'transducer': 'configs/conformer_transducer_spoken_digits.py:tiny',
}


def _speech(name: str) -> ConfigDict:
  config = config_lib.load(name)
  with config.unlocked():
    config.total_steps = 120
    config.log_every_steps = 7
    config.ema_decay = 0.9
    config.evaluation = {'every_steps': 30}
    config.checkpoint = {'every_steps': 12, 'keep_latest': 2, 'keep_best': 1}
  return config
