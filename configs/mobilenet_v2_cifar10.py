"""MobileNet v2 on CIFAR-10, 200 epochs.

  python -m recog_jax.main --config=configs/mobilenet_v2_cifar10.py

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR
2018. For images of 32 x 32 the stem and the first block with a stride of 2 have
none, so that 4 x 4 positions are left (2.24 M parameters). The protocol is that
of `resnet50_cifar10`, with weight decay 5e-4.

Target from the literature, not reproduced here: 94.43 % test accuracy
(kuangliu/pytorch-cifar, MobileNetV2, which has projected shortcuts, hence 2.30
M parameters, and another recipe); huyvnphan/PyTorch_CIFAR10 has 93.91.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a narrow one."""
  config = inherit(__file__, 'resnet50_cifar10.py', arg)
  config.model = {
    'name': 'mobilenet_v2',
    'stem': 'cifar',
    'width': 0.25 if arg == 'tiny' else 1.0,
    'dropout': 0.0,
    'dtype': 'float32',
  }
  config.optimizer.weight_decay = 5e-4
  return config
