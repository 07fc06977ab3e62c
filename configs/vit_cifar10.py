"""A small ViT on CIFAR-10 from scratch, 200 epochs.

  python -m recog_jax.main --config=configs/vit_cifar10.py

Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, with 7 blocks of
384, 12 heads, position-wise networks no wider than that, and patches of 4 x 4
(6.3 M parameters): the sizes and the recipe of omihub777/ViT-CIFAR. Data,
splits, batch and epochs are those of `resnet50_cifar10`; what differs is what a
ViT needs where convolutions do not: Adam 1e-3, weight decay 5e-5, 5 epochs of
warmup, a cosine to 1e-5, label smoothing 0.1, and RandAugment (Cubuk et al.,
2020) in the place of that recipe's AutoAugment.

Target from the literature, not reproduced here: 91.01 % test accuracy
(omihub777/ViT-CIFAR). Without such augmentation ViTs end near 80 %
(kentaroy47/vision-transformers-cifar10, patch 4, 200 epochs).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of two blocks."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'resnet50_cifar10.py', arg)
  config.data.augment = [
    *config.data.augment,
    {'name': 'random_augment', 'count': 2, 'magnitude': 9.0},
  ]
  config.task.label_smoothing = 0.1
  config.model = {
    'name': 'vit_s',
    'patch': 4,
    'layers': 2 if tiny else 7,
    'dim': 24 if tiny else 384,
    'heads': 12,
    'ffn_multiplier': 1,
    'dtype': 'float32',
  }
  config.optimizer = {
    'name': 'adam',
    'learning_rate': 1e-3,
    'weight_decay': 5e-5,
    'weight_decay_form': 'coupled',
  }
  config.schedule = {'name': 'cosine', 'warmup_epochs': 5.0, 'end_scale': 0.01}
  return config
