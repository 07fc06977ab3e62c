"""ResNet-20 on the four vehicles of CIFAR-10: what a transfer begins with.

  python -m recog_jax.main --config=configs/resnet20_cifar10_vehicles.py

Architecture, data and augmentation of `resnet20_cifar10` (He et al., 2016) with
a cosine schedule of ten epochs, which two CPU cores run in minutes. It is where
`transfer_cifar10_animals` begins, which has none of these classes; see
`python -m experiments.transfer`. Results: experiments/RESULTS.md.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'resnet20_cifar10.py', arg)
  config.schedule = {'name': 'cosine', 'warmup_steps': 100}
  config.optimizer.weight_decay = 5e-4
  if arg == 'tiny':
    return config
  config.data.classes = ('airplane', 'automobile', 'ship', 'truck')
  config.total_epochs = 10.0
  return config
