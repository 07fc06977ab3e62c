"""A LeNet-style network on MNIST.

  python -m recog_jax.main --config=configs/lenet_mnist.py

LeCun et al., "Gradient-based learning applied to document recognition", Proc.
IEEE 1998: two convolutions with pooling, then fully connected layers; ReLU and
maximum pooling as is usual now.

Reached 99.1 % (98.9 to 99.3) of 9,001 test images in 4 minutes on two busy
cores (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = base_config(total_epochs=10.0)

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
  config.data.augment = [
    {'name': 'random_crop', 'padding': 2, 'mode': 'constant'}
  ]

  config.task = {'name': 'classification', 'mean': (0.1307,), 'std': (0.3081,)}
  config.model = {'name': 'lenet', 'dtype': 'float32'}
  config.optimizer = {'name': 'adam', 'learning_rate': 2e-3}
  config.schedule = {'name': 'cosine', 'warmup_epochs': 0.5}
  config.evaluation = {'every_epochs': 1.0}
  config.checkpoint = {'every_epochs': 1.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (28, 28, 1), 10)
  return config
