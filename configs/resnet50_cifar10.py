"""ResNet-50 on CIFAR-10, 200 epochs.

  python -m recog_jax.main --config=configs/resnet50_cifar10.py

He et al., "Deep residual learning for image recognition", CVPR 2016, with the
3x3 stem for small images. Recipe: SGD 0.1, momentum 0.9, batch 128, weight
decay 1e-4, 200 epochs, x0.1 at epochs 100 and 150, crop with padding 4, flip.

Target from the literature, not reproduced here: 95.55 % test accuracy
(mmpretrain, resnet50_8xb16_cifar10, which trains on all 50,000 images; here the
last 1,000 choose the best checkpoint).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a ResNet-50 on made-up images."""
  config = inherit(__file__, 'resnet18_cifar10.py', arg)
  config.model.name = 'resnet50'
  config.init_from = {'path': config_dict.placeholder(str)}
  config.optimizer.nesterov = False
  config.optimizer.weight_decay = 1e-4
  config.schedule = {
    'name': 'step',
    'boundaries_epochs': (100.0, 150.0),
    'factor': 0.1,
  }
  return config
