"""ResNet-20 on CIFAR-10, as in the paper.

  python -m recog_jax.main --config=configs/resnet20_cifar10.py

He et al., "Deep residual learning for image recognition", CVPR 2016, section
4.2: SGD 0.1, momentum 0.9, batch 128, weight decay 1e-4, x0.1 at 32,000 and
48,000 of 64,000 steps, crop with padding 4, flip, 45,000 images to train and
5,000 to validate.

Target from the literature, not reproduced here: 91.25 % test accuracy (the
paper's table 6).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = base_config(total_epochs=182.0)

  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = {'name': 'tfds', 'dataset': 'cifar10'}
  config.data.splits = {
    'train': 'train[:45000]',
    'val': 'train[45000:]',
    'test': 'test',
  }
  config.data.batch_size = 128
  config.data.eval_batch_size = 500
  config.data.workers = 0
  config.data.augment = [
    {'name': 'random_crop', 'padding': 4, 'mode': 'constant'},
    {'name': 'horizontal_flip'},
  ]

  config.task = {
    'name': 'classification',
    'mean': (0.4914, 0.4822, 0.4465),
    'std': (0.2470, 0.2435, 0.2616),
  }
  config.model = {'name': 'resnet20', 'dtype': 'float32'}
  config.optimizer = {
    'name': 'sgd',
    'learning_rate': 0.1,
    'momentum': 0.9,
    'nesterov': False,
    'weight_decay': 1e-4,
    'weight_decay_form': 'coupled',
  }
  config.schedule = {
    'name': 'step',
    'boundaries_fraction': (0.5, 0.75),
    'factor': 0.1,
  }
  config.evaluation = {'every_epochs': 1.0}
  config.checkpoint = {'every_epochs': 1.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (32, 32, 3), 10)
  return config
