"""LeNet-5: convolution, pooling, convolution, pooling, fully connected."""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import Activation, kernel_init
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.pool import avg_pool, max_pool
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Rate, Size

_POOLS = {'max': max_pool, 'average': avg_pool}


class LeNet(ImageModel):
  """A convolutional network after LeNet-5 (LeCun et al., 1998).

  With 28 x 28 images the layers have LeNet-5's sizes. Deviations: the second
  convolution sees all channels, pooling has no parameters, the head is linear;
  `pool='average'` and `activation='tanh'` are the paper's. With `channels=(16,
  32)`, `kernels=(8, 4)`, `strides=(2, 2)`, `pool_stride=1`, `hidden=(32,)` and
  tanh it is the network of Papernot et al., 2021 (arXiv:2007.14191), figure 1,
  which bears the noise of privacy well.

  Attributes:
    num_outputs: number of classes or other outputs.
    channels: of the two convolutions.
    kernels: side of each; the first is padded, so that its output has the size
      of its input, divided by its stride.
    strides: of each.
    hidden: width of each fully connected layer before the head.
    pool: `max` or `average`, over 2x2 pixels.
    pool_stride: between those windows.
    activation: see `layers.activation`.
    dropout: share dropped after each fully connected layer.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  channels: tuple[Size, Size] = (6, 16)
  kernels: tuple[Size, Size] = (5, 5)
  strides: tuple[Size, Size] = (1, 1)
  hidden: Sequence[Size] = (120, 84)
  pool: Literal['max', 'average'] = 'max'
  pool_stride: Size = 2
  activation: Activation = 'relu'
  dropout: Rate = 0.0
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    dense = (f'dense{n}' for n in range(1, len(self.hidden) + 1))
    return ('conv1', 'conv2', *dense, 'head')

  @property
  def _min_side(self) -> int:
    """Of an image that leaves a position behind the last pooling."""
    pooled = self.kernels[1] + self.strides[1]
    side = (pooled - 1) * self.pool_stride + 2
    return (side - 1) * self.strides[0] + 1

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    del mask
    options.check_size('LeNet', x, self._min_side)
    act = activation_named(self.activation)
    init = kernel_init(self.activation)
    x = x.astype(self.dtype)
    for index, padding in enumerate(('SAME', 'VALID')):
      x = Conv(
        self.channels[index],
        (self.kernels[index],) * 2,
        (self.strides[index],) * 2,
        padding=padding,
        use_bias=True,
        kernel_init=init,
        dtype=self.dtype,
        name=f'conv{index + 1}',
      )(x)
      x = _POOLS[self.pool](act(x), 2, self.pool_stride)
    x = x.reshape(x.shape[0], -1)
    for index, width in enumerate(self.hidden):
      name = f'dense{index + 1}'
      x = Dense(width, dtype=self.dtype, kernel_init=init, name=name)(x)
      drop = nn.Dropout(
        self.dropout, deterministic=not train, name=f'dropout{index + 1}'
      )
      x = drop(act(x))
    features = at_least_float32(x)
    head = nn.Dense(self.num_outputs, name='head')
    return head(features), {'features': features}


lenet = options.factory(LeNet, 'lenet')
