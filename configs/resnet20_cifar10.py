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

from recog_jax.engine.config import inherit, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'resnet18_cifar10.py')
  config.total_epochs = 182.0
  config.data.splits.update(train='train[:45000]', val='train[45000:]')
  config.model = {'name': 'resnet20', 'dtype': 'float32'}
  config.optimizer.nesterov = False
  config.optimizer.weight_decay = 1e-4
  config.schedule = {
    'name': 'step',
    'boundaries_fraction': (0.5, 0.75),
    'factor': 0.1,
  }
  if arg == 'tiny':
    make_tiny(config, (32, 32, 3))
  return config
