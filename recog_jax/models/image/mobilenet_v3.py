"""MobileNet v3, large and small (Howard et al., 2019)."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel, by_size
from recog_jax.models.image.mobilenet import InvertedResidual, round_channels
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv_norm import conv_norm_of
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Positive, Rate

# Howard et al., "Searching for MobileNetV3" (arXiv:1905.02244), tables 1 and 2:
# side of the kernel, channels inside, channels out, squeeze and excitation,
# hard swish (else ReLU), stride.
TABLES = {
  'large': (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
  ),
  'small': (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
  ),
}
# The dense layer before the head, of the same tables.
HIDDEN = {'large': 1280, 'small': 1024}


class MobileNetV3(ImageModel):
  """MobileNet v3 large or small (Howard et al., 2019, arXiv:1905.02244).

  Kernels start as He et al. (2015) by fan out, dense layers normal with
  deviation 0.01.

  Attributes:
    num_outputs: number of classes or other outputs.
    size: `large` or `small`.
    width: multiplies the channels; the dense layer only grows with it.
    stem: `imagenet`, or `cifar`: the stem and the first block with a stride of
      2 have 1.
    dropout: before the head.
    norm_momentum: see `BatchNorm`; the paper's, 0.99.
    norm_epsilon: see `BatchNorm`.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  size: str
  width: Positive = 1.0
  stem: Literal['imagenet', 'cifar'] = 'imagenet'
  dropout: Rate = 0.2
  norm_momentum: Rate = 0.99
  norm_epsilon: Rate = 1e-3
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    rows = enumerate(TABLES[self.size], 1)
    blocks = by_size((f'block{n}', stride > 1) for n, (*_, stride) in rows)
    return ('stem', *blocks, 'last', 'fc1', 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    layer = conv_norm_of(self)
    keys = {'train': train, 'mask': mask}
    small_image = self.stem == 'cifar'

    def scale(channels):
      return round_channels(channels * self.width)

    x = layer(
      scale(16),
      (3, 3),
      stride=1 if small_image else 2,
      activation='hard_swish',
      name='stem',
    )(x.astype(self.dtype), **keys)
    table = TABLES[self.size]
    strided = [row[-1] for row in table].index(2)
    for index, (side, inner, c, excite, swish, stride) in enumerate(table):
      x = InvertedResidual(
        side=side,
        inner=scale(inner),
        features=scale(c),
        excite=excite,
        stride=1 if small_image and index == strided else stride,
        activation='hard_swish' if swish else 'relu',
        layer=layer,
        name=f'block{index + 1}',
      )(x, **keys)
    last = 6 * scale(table[-1][2])
    x = layer(last, activation='hard_swish', name='last')(x, **keys)
    x = x.mean((1, 2))
    init = nn.initializers.normal(0.01)
    hidden = round_channels(HIDDEN[self.size] * max(1.0, self.width))
    x = Dense(hidden, kernel_init=init, dtype=self.dtype, name='fc1')(x)
    features = at_least_float32(activation_named('hard_swish')(x))
    x = Dropout(self.dropout, name='dropout')(features, train=train)
    head = nn.Dense(self.num_outputs, kernel_init=init, name='head')
    return head(x), {'features': features}


mobilenet_v3_large = options.factory(
  MobileNetV3, 'mobilenet_v3_large', size='large'
)
mobilenet_v3_small = options.factory(
  MobileNetV3, 'mobilenet_v3_small', size='small'
)
