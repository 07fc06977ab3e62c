"""ResNet-8 on scikit-learn's handwritten digits: runs anywhere, in a minute.

  python -m recog_jax.main --config=configs/digits_resnet8.py

1,797 grey images of 8x8 pixels (Alpaydin and Kaynak, 1998) come with
scikit-learn; nothing is downloaded. The network is the CIFAR ResNet with
n = 1 (He et al., "Deep residual learning for image recognition", CVPR 2016).

Reached 99.5 % (98.8 to 100) of 400 test images in 10 seconds on two cores
(experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = base_config(total_epochs=30.0)

  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = {'name': 'digits'}
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.batch_size = 64
  config.data.eval_batch_size = 200
  config.data.workers = 0
  config.data.augment = [
    {'name': 'random_crop', 'padding': 1, 'mode': 'constant'}
  ]

  config.task = {
    'name': 'classification',
    'mean': (0.305,),
    'std': (0.376,),
    'label_smoothing': 0.1,
  }
  config.model = {'name': 'resnet8', 'dtype': 'float32'}
  config.optimizer = {
    'name': 'sgd',
    'learning_rate': 0.1,
    'momentum': 0.9,
    'nesterov': True,
    'weight_decay': 5e-4,
    'weight_decay_form': 'coupled',
  }
  config.schedule = {'name': 'cosine', 'warmup_epochs': 2.0}
  config.evaluation = {'every_epochs': 10.0}
  config.checkpoint = {'every_epochs': 10.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (8, 8, 1))
  return config
