"""VGG-16 with BatchNorm on CIFAR-10, 200 epochs.

  python -m recog_jax.main --config=configs/vgg16_bn_cifar10.py

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", ICLR 2015, with BatchNorm after each convolution, and for images
of 32 x 32 a head alone after the last pooling (14.7 M parameters). The protocol
is that of `resnet50_cifar10`, with weight decay 5e-4.

Target from the literature, not reproduced here: 94.00 % test accuracy
(huyvnphan/PyTorch_CIFAR10, vgg16_bn, another recipe: 100 epochs, and two hidden
dense layers); kuangliu/pytorch-cifar has 92.64.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a narrow one."""
  config = inherit(__file__, 'resnet50_cifar10.py', arg)
  config.model = {
    'name': 'vgg16_bn',
    'width': 8 if arg == 'tiny' else 64,
    'pool_size': 1,
    'hidden': (),
    'dtype': 'float32',
  }
  config.optimizer.weight_decay = 5e-4
  return config
