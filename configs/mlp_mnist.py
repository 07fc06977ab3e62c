"""A multi-layer perceptron on MNIST.

  python -m recog_jax.main --config=configs/mlp_mnist.py

A feed-forward network of two hidden layers with dropout (Srivastava et al.,
"Dropout", JMLR 2014, whose networks of this kind reach 98.4 to 98.9 %: a
target from the literature).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = base_config(total_epochs=20.0)

  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = {'name': 'tfds', 'dataset': 'mnist'}
  config.data.splits = {
    'train': 'train[:55000]',
    'val': 'train[55000:]',
    'test': 'test',
  }
  config.data.batch_size = 128
  config.data.eval_batch_size = 500
  config.data.workers = 0
  config.data.augment = []

  config.task = {'name': 'classification', 'mean': (0.1307,), 'std': (0.3081,)}
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
  config.schedule = {'name': 'cosine', 'warmup_epochs': 1.0}
  config.evaluation = {'every_epochs': 1.0}
  config.checkpoint = {'every_epochs': 1.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (28, 28, 1), 10)
  return config
