"""ResNet-18 on CIFAR-10, 200 epochs.

  python -m recog_jax.main --config=configs/resnet18_cifar10.py

He et al., "Deep residual learning for image recognition", CVPR 2016, with the
3x3 stem for small images. Recipe: SGD 0.1, Nesterov momentum 0.9, batch 128,
weight decay 5e-4, cosine over 200 epochs, crop with padding 4, flip.

Target from the literature, not reproduced here: 94.82 % test accuracy
(mmpretrain, resnet18_8xb16_cifar10, with steps at epochs 100 and 150, weight
decay 1e-4 and all 50,000 training images).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = base_config(total_epochs=200.0)

  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = {'name': 'tfds', 'dataset': 'cifar10'}
  config.data.splits = {
    'train': 'train[:49000]',
    'val': 'train[49000:]',
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
  config.model = {'name': 'resnet18', 'stem': 'cifar', 'dtype': 'float32'}
  config.optimizer = {
    'name': 'sgd',
    'learning_rate': 0.1,
    'momentum': 0.9,
    'nesterov': True,
    'weight_decay': 5e-4,
    'weight_decay_form': 'coupled',
  }
  config.schedule = {'name': 'cosine', 'warmup_epochs': 1.0}
  config.evaluation = {'every_epochs': 1.0}
  config.checkpoint = {'every_epochs': 1.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (32, 32, 3), 10)
  return config
