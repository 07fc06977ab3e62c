"""Inception v3 on CIFAR-10, 200 epochs.

  python -m recog_jax.main --config=configs/inception_v3_cifar10.py

Szegedy et al., "Rethinking the Inception architecture for computer vision",
CVPR 2016. Its stem keeps images of 32 x 32 as large as they are, so that the
modules work at 32, 15 and 7 positions a side, and there is no auxiliary head
(21.8 M parameters). The protocol is that of `resnet50_cifar10`, with weight
decay 5e-4.

Target from the literature, not reproduced here: 93.74 % test accuracy
(huyvnphan/PyTorch_CIFAR10, inception_v3, another recipe: 100 epochs).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of it on made-up images."""
  config = inherit(__file__, 'resnet50_cifar10.py', arg)
  config.model = {
    'name': 'inception_v3',
    'stem': 'cifar',
    'auxiliary': False,
    'dropout': 0.5,
    'dtype': 'float32',
  }
  config.optimizer.weight_decay = 5e-4
  return config
