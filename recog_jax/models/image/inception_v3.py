"""Inception v3 (Szegedy et al., 2016)."""

import functools
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.errors import UserError
from recog_jax.models.image.base import ImageModel
from recog_jax.models.layers import options
from recog_jax.models.layers.conv_norm import conv_norm_of
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.pool import avg_pool, max_pool
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Positive, Rate

# Szegedy et al., "Rethinking the Inception architecture for computer vision",
# CVPR 2016 (arXiv:1512.00567), table 1 and figures 5 to 8, with the widths of
# the authors' release (`slim`), which torchvision has too.
#
# A module is some branches and a pooling. A branch is some layers:
# name, features, kernel, and stride where it is not 1 (without padding then).
# list in a branch holds layers side by side.


def _figure_5(pool):
  return (
    (('branch1x1', 64, 1),),
    (('branch5x5_1', 48, 1), ('branch5x5_2', 64, 5)),
    (
      ('branch3x3dbl_1', 64, 1),
      ('branch3x3dbl_2', 96, 3),
      ('branch3x3dbl_3', 96, 3),
    ),
  ), pool


def _figure_6(c):
  return (
    (('branch1x1', 192, 1),),
    (
      ('branch7x7_1', c, 1),
      ('branch7x7_2', c, (1, 7)),
      ('branch7x7_3', 192, (7, 1)),
    ),
    (
      ('branch7x7dbl_1', c, 1),
      ('branch7x7dbl_2', c, (7, 1)),
      ('branch7x7dbl_3', c, (1, 7)),
      ('branch7x7dbl_4', c, (7, 1)),
      ('branch7x7dbl_5', 192, (1, 7)),
    ),
  ), 192


_FIGURE_7 = (
  (
    (('branch1x1', 320, 1),),
    (
      ('branch3x3_1', 384, 1),
      [('branch3x3_2a', 384, (1, 3)), ('branch3x3_2b', 384, (3, 1))],
    ),
    (
      ('branch3x3dbl_1', 448, 1),
      ('branch3x3dbl_2', 384, 3),
      [('branch3x3dbl_3a', 384, (1, 3)), ('branch3x3dbl_3b', 384, (3, 1))],
    ),
  ),
  192,
)
# Where the image shrinks: the pooling is a maximum, not projected.
_SHRINK_A = (
  (
    (('branch3x3', 384, 3, 2),),
    (
      ('branch3x3dbl_1', 64, 1),
      ('branch3x3dbl_2', 96, 3),
      ('branch3x3dbl_3', 96, 3, 2),
    ),
  ),
  0,
)
_SHRINK_B = (
  (
    (('branch3x3_1', 192, 1), ('branch3x3_2', 320, 3, 2)),
    (
      ('branch7x7x3_1', 192, 1),
      ('branch7x7x3_2', 192, (1, 7)),
      ('branch7x7x3_3', 192, (7, 1)),
      ('branch7x7x3_4', 192, 3, 2),
    ),
  ),
  0,
)
TABLE_1 = {
  '5b': _figure_5(32),
  '5c': _figure_5(64),
  '5d': _figure_5(64),
  '6a': _SHRINK_A,
  '6b': _figure_6(128),
  '6c': _figure_6(160),
  '6d': _figure_6(160),
  '6e': _figure_6(192),
  '7a': _SHRINK_B,
  '7b': _FIGURE_7,
  '7c': _FIGURE_7,
}
# name, features, kernel, stride, padding; None is a pooling.
_STEMS = {
  'imagenet': (
    ('conv1a', 32, 3, 2, 0),
    ('conv2a', 32, 3, 1, 0),
    ('conv2b', 64, 3, 1, 1),
    None,
    ('conv3b', 80, 1, 1, 0),
    ('conv4a', 192, 3, 1, 0),
    None,
  ),
  'cifar': (
    ('conv1a', 32, 3, 1, 1),
    ('conv2a', 32, 3, 1, 1),
    ('conv2b', 64, 3, 1, 1),
    ('conv3b', 80, 1, 1, 0),
    ('conv4a', 192, 3, 1, 1),
  ),
}
_MIN_SIDE = {'imagenet': 75, 'cifar': 16}
# Of the auxiliary head's last convolution; and where it has a pooling before
# that, which smaller images could not afford: 17 positions are 299 pixels.
_AUXILIARY_KERNEL = 5
_AUXILIARY_SIDE = 17


class Mixed(nn.Module):
  """Branches of convolutions and a pooling, side by side.

  Attributes:
    branches: see `TABLE_1`.
    pool: features of the projected average pooling; 0 for a maximum with a
      stride of 2, as it is.
    layer: makes a `ConvNorm`.
  """

  branches: tuple
  pool: int
  layer: functools.partial

  @nn.compact
  def __call__(self, x, *, train: bool, mask=None):
    def convolve(y, name, features, kernel, stride=1):
      kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
      padding = None if stride == 1 else (0, 0)
      layer = self.layer(
        features, kernel, stride=stride, padding=padding, name=name
      )
      return layer(y, train=train, mask=mask)

    results = []
    for branch in self.branches:
      y = x
      for step in branch:
        if not isinstance(step[0], str):
          y = jnp.concatenate([convolve(y, *side) for side in step], -1)
        else:
          y = convolve(y, *step)
      results.append(y)
    if self.pool:
      y = avg_pool(x, 3, 1, padding=1)
      results.append(convolve(y, 'branch_pool', self.pool, 1))
    else:
      results.append(max_pool(x, 3, 2))
    return jnp.concatenate(results, -1)


class AuxiliaryHead(nn.Module):
  """Pooling and two convolutions before a dense layer (figure 8).

  Attributes:
    num_outputs: number v of logits.
    layer: makes a `ConvNorm`.
  """

  num_outputs: int
  layer: functools.partial

  @nn.compact
  def __call__(self, x, *, train: bool, mask=None):
    if min(x.shape[1:3]) < _AUXILIARY_KERNEL:
      raise UserError(
        'the auxiliary head of Inception v3 needs images of at least 107 x 107 '
        "(11 x 11 with config.model.stem='cifar'); resize them, or set "
        'config.model.auxiliary=False.'
      )
    if min(x.shape[1:3]) >= _AUXILIARY_SIDE:
      x = avg_pool(x, 5, 3)
    x = self.layer(128, name='conv0')(x, train=train, mask=mask)
    kernel = (_AUXILIARY_KERNEL, _AUXILIARY_KERNEL)
    x = self.layer(768, kernel, padding=(0, 0), name='conv1')(
      x, train=train, mask=mask
    )
    x = at_least_float32(x).mean((1, 2))
    init = nn.initializers.truncated_normal(0.001)
    return nn.Dense(self.num_outputs, kernel_init=init, name='head')(x)


def _scaled(layer: Callable, width: float, features: int, *args, **keys):
  """A layer with so many times the channels of the published one."""
  return layer(max(1, round(width * features)), *args, **keys)


class InceptionV3(ImageModel):
  """Inception v3 (Szegedy et al., 2016, arXiv:1512.00567); 299 x 299 images.

  Kernels start as He et al. (2015) by fan out.

  Attributes:
    num_outputs: number of classes or other outputs.
    width: multiplies the channels.
    stem: `imagenet`, or `cifar`: five convolutions without stride or pooling.
    auxiliary: a head before the last shrinking, in training; its logits are a
      tap, for `config.task.auxiliary_weight` (0.4 in the authors' release).
    dropout: before the head.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  width: Positive = 1.0
  stem: Literal['imagenet', 'cifar'] = 'imagenet'
  auxiliary: bool = True
  dropout: Rate = 0.5
  norm_momentum: Rate = 0.9
  norm_epsilon: Rate = 1e-3
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    return ('conv.*', *(f'mixed_{n}.' for n in (5, 6, 7)), 'head|aux.*')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    options.check_size('Inception v3', x, _MIN_SIDE[self.stem])
    layer = functools.partial(_scaled, conv_norm_of(self), self.width)
    keys = {'train': train, 'mask': mask}
    x = x.astype(self.dtype)
    for row in _STEMS[self.stem]:
      if row is None:
        x = max_pool(x, 3, 2)
        continue
      name, features, side, stride, pad = row
      x = layer(
        features,
        (side, side),
        stride=stride,
        padding=(pad, pad),
        name=name,
      )(x, **keys)
    taps = {}
    for name, (branches, pool) in TABLE_1.items():
      x = Mixed(branches, pool, layer, name=f'mixed_{name}')(x, **keys)
      wanted = self.auxiliary and (train or self.is_initializing())
      if name == '6e' and wanted:
        head = AuxiliaryHead(self.num_outputs, layer, name='aux1')
        taps['aux1'] = head(x, **keys)
    features = at_least_float32(x).mean((1, 2))
    x = Dropout(self.dropout, name='dropout')(features, train=train)
    logits = nn.Dense(self.num_outputs, name='head')(x)
    return logits, {'features': features, **taps}


inception_v3 = options.factory(InceptionV3, 'inception_v3')
