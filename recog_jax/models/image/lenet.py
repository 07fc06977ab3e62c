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

_POOLS = {
  'max': lambda x: max_pool(x, 2),
  'average': lambda x: avg_pool(x, 2),
}
_MIN_SIDE = 12


class LeNet(ImageModel):
  """A convolutional network after LeNet-5 (LeCun et al., 1998).

  With 28 x 28 images the layers have LeNet-5's sizes. Deviations: the second
  convolution sees all channels, pooling has no parameters, the head is linear;
  `pool='average'` and `activation='tanh'` are the paper's.

  Attributes:
    num_outputs: number of classes or other outputs.
    channels: of the two 5x5 convolutions.
    hidden: width of each fully connected layer before the head.
    pool: `max` or `average`, over 2x2 pixels.
    activation: see `layers.activation`.
    dropout: share dropped after each fully connected layer.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  channels: tuple[Size, Size] = (6, 16)
  hidden: Sequence[Size] = (120, 84)
  pool: Literal['max', 'average'] = 'max'
  activation: Activation = 'relu'
  dropout: Rate = 0.0
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    dense = (f'dense{n}' for n in range(1, len(self.hidden) + 1))
    return ('conv1', 'conv2', *dense, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    del mask
    options.check_size('LeNet', x, _MIN_SIDE)
    act = activation_named(self.activation)
    init = kernel_init(self.activation)
    x = x.astype(self.dtype)
    for index, padding in enumerate(('SAME', 'VALID')):
      x = Conv(
        self.channels[index],
        (5, 5),
        padding=padding,
        use_bias=True,
        kernel_init=init,
        dtype=self.dtype,
        name=f'conv{index + 1}',
      )(x)
      x = _POOLS[self.pool](act(x))
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
