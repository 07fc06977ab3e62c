"""SqueezeNet 1.0 with BatchNorm on CIFAR-10, 200 epochs.

  python -m recog_jax.main --config=configs/squeezenet_cifar10.py

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
and < 0.5 MB model size", 2016. For images of 32 x 32 the stem is a 3x3
convolution of stride 1. BatchNorm after each convolution, which lets it learn
at the others' rate, and a head without ReLU are our choice, as in
weiaicunzai/pytorch-cifar100 (0.73 M parameters). The protocol is that of
`resnet50_cifar10`, with weight decay 5e-4.

We know of no published result under such a protocol, so there is no target: it
is not reproduced here. Nearest is 69.41 % on CIFAR-100 (weiaicunzai, with
shortcuts around fire modules).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of it on made-up images."""
  config = inherit(__file__, 'resnet50_cifar10.py', arg)
  config.model = {
    'name': 'squeezenet1_0',
    'stem': 'cifar',
    'batch_norm': True,
    'head_activation': False,
    'dropout': 0.0,
    'dtype': 'float32',
  }
  config.optimizer.weight_decay = 5e-4
  return config
