"""LeNet-5: convolution, pooling, convolution, pooling, fully connected."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers import options
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.activation import kernel_init
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.pool import avg_pool, max_pool
from recog_jax.precision import at_least_float32

_POOLS = {
  'max': lambda x: max_pool(x, 2),
  'average': lambda x: avg_pool(x, 2),
}
_MIN_SIDE = 12


class LeNet(nn.Module):
  """Convolutional network over `b h w c`; see `lenet` for the attributes."""

  num_outputs: int
  channels: tuple[int, int]
  hidden: tuple[int, ...]
  pool: str
  activation: str
  dropout: float
  dtype: jnp.dtype

  @property
  def stages(self) -> tuple[str, ...]:
    """Regexes, from the input to the head; see `models.image.stages`."""
    dense = (f'dense{n}' for n in range(1, len(self.hidden) + 1))
    return ('conv1', 'conv2', *dense, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Class scores of images.

    Args:
      x: float `b h w c`, normalised; h, w and c are fixed by the parameters.
      train: use dropout.
      mask: rows that count in batch statistics; there are none here.

    Returns:
      float32 logits `b v`, and `features`: float32 `b f`, the head's input.

    Raises:
      UserError: images too small for two convolutions and poolings.
    """
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


def lenet(
  *,
  num_outputs: int,
  channels: Sequence[int] = (6, 16),
  hidden: Sequence[int] = (120, 84),
  pool: str = 'max',
  activation: str = 'relu',
  dropout: float = 0.0,
  dtype: jnp.dtype = jnp.float32,
) -> LeNet:
  """A convolutional network after LeNet-5 (LeCun et al., 1998).

  With 28 x 28 images the layers have LeNet-5's sizes. Deviations: the second
  convolution sees all channels, pooling has no parameters, the head is linear;
  `pool='average'` and `activation='tanh'` are the paper's.

  Args:
    num_outputs: number of classes or other outputs.
    channels: of the two 5x5 convolutions.
    hidden: width of each fully connected layer before the head.
    pool: `max` or `average`, over 2x2 pixels.
    activation: see `layers.activation`.
    dropout: share dropped after each fully connected layer.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    UserError: an option that is out of range.
  """
  return options.build(
    LeNet,
    num_outputs=num_outputs,
    channels=options.check_counts('channels', channels, length=2),
    hidden=hidden,
    pool=options.check_choice('pool', pool, tuple(_POOLS)),
    activation=activation,
    dropout=dropout,
    dtype=dtype,
  )
