"""A multi-layer perceptron on MNIST.

  python -m recog_jax.main --config=configs/mlp_mnist.py

A feed-forward network of two hidden layers with dropout (Srivastava et al.,
"Dropout", JMLR 2014).

Target from the literature, not reproduced here: 98.4 to 98.9 %, which that
paper's networks of this kind reach.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'lenet_mnist.py', arg)
  config.total_epochs = 20.0
  config.data.augment = []
  config.model = {
    'name': 'mlp',
    'hidden': (512, 512),
    'dropout': 0.2,
    'dtype': 'float32',
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-3,
    'weight_decay': 0.01,
    'weight_decay_form': 'decoupled',
  }
  config.schedule.warmup_epochs = 1.0
  return config
