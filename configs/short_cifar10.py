"""Six narrow networks on CIFAR-10 under one short protocol, for two CPU cores.

  python -m recog_jax.main --config=configs/short_cifar10.py:vgg16

The argument is one of vgg16, resnet50 (the default), inception_v3,
mobilenet_v2, squeezenet, vit. Each is that of `X_cifar10` with fewer channels
(SqueezeNet: version 1.1; Inception: no dropout), so that one epoch of all
49,000 training images takes a few minutes. Augmentation, optimizer and weight
decay are that config's, too: ViT has its own, Adam, RandAugment and label
smoothing. Batch and learning rate are half of it, for more steps; the rate
warms up for a fifth of an epoch and falls to zero linearly. These are not the
published networks: their order under such a budget says little about that of
200 epochs at full width.

`digits_squeezenet` trains SqueezeNet 1.1 on scikit-learn's digits, embedded.

Results: experiments/figures/accuracy.csv, by
`python -m experiments.figures accuracy`.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit
from recog_jax.errors import unknown_name

# Name -> the config it is taken from, and what is narrower.
_NETWORKS = {
  'vgg16': ('vgg16_bn_cifar10.py', {'width': 16}),
  'resnet50': ('resnet50_cifar10.py', {'width': 8}),
  'inception_v3': ('inception_v3_cifar10.py', {'width': 0.1, 'dropout': 0.0}),
  'mobilenet_v2': ('mobilenet_v2_cifar10.py', {'width': 0.25}),
  'squeezenet': ('squeezenet_cifar10.py', {'name': 'squeezenet1_1'}),
  'vit': ('vit_cifar10.py', {'dim': 96, 'heads': 6}),
}
_DIGITS = 'digits_squeezenet'


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a VGG-16 on made-up images."""
  if arg == 'tiny':  # A ResNet-50 compiles for a minute.
    return inherit(__file__, _NETWORKS['vgg16'][0], arg)
  if arg == _DIGITS:
    return _digits()
  name = arg or 'resnet50'
  if name not in _NETWORKS:
    known = (*_NETWORKS, _DIGITS, 'tiny')
    raise unknown_name('network of short_cifar10.py', name, known)
  file, narrower = _NETWORKS[name]
  config = inherit(__file__, file)
  config.total_epochs = 1.0
  config.data.batch_size = 64
  config.optimizer.learning_rate /= 2
  config.model.update(narrower)
  config.schedule = {'name': 'polynomial', 'power': 1.0, 'warmup_epochs': 0.2}
  config.evaluation = {'every_epochs': 0.5}
  config.checkpoint = {'every_epochs': 0.5, 'keep_latest': 1, 'keep_best': 1}
  return config


def _digits() -> ConfigDict:
  config = inherit(__file__, 'digits_resnet8.py')
  model = inherit(__file__, 'squeezenet_cifar10.py').model
  config.model = {**model, 'name': 'squeezenet1_1'}
  config.optimizer.learning_rate = 0.05
  return config
