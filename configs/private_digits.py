r"""A network on scikit-learn's digits with differential privacy: epsilon 8.

  python -m recog_jax.main --config=configs/private_digits.py
  python -m recog_jax.main --config=configs/private_digits.py \
      --config.privacy.epsilon=1 --config.optimizer.learning_rate=1

The recipe of `private_mnist`, of a small multi-layer perceptron: 1,200 images
are few to hide one in, and ResNets have BatchNorm. More noise asks for a lower
learning rate; both rates were tried out on these digits, which the promise does
not count.

Reached: 96.0 % (94.0 to 97.8) of 400 test images at epsilon 8, 87.3 % (83.8 to
90.3) at epsilon 1, delta 1e-5; the first in 24 seconds of processor time.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'digits_resnet8.py', arg)
  config.privacy = {
    'epsilon': 8.0,
    'delta': 1e-5,
    'clip': 0.5,
    'microbatch': 128,
  }
  config.task.label_smoothing = 0.0
  config.model = {
    'name': 'mlp',
    'hidden': (64,),
    'activation': 'tanh',
    'dtype': 'float32',
  }
  config.data.augment = []
  config.optimizer = {'name': 'sgd', 'learning_rate': 4.0, 'momentum': 0.0}
  config.schedule = {'name': 'cosine', 'warmup_epochs': 1.0}
  config.ema_decay = 0.9
  config.checkpoint.keep_best = 0
  if arg == 'tiny':
    return config
  config.data.batch_size = 256
  config.log_every_steps = 10
  return config
