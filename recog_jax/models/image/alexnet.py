"""AlexNet, in the one-tower form of Krizhevsky (2014)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel
from recog_jax.models.image.dense_head import DenseHead
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import Activation
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.pool import adaptive_avg_pool, max_pool
from recog_jax.ranges import Rate, Size

# Krizhevsky, "One weird trick for parallelizing convolutional neural networks"
# (arXiv:1404.5997), with the paddings and the 64 first channels that torch and
# torchvision have: features, kernel, stride, padding, whether pooling follows.
TABLE = (
  (64, 11, 4, 2, True),
  (192, 5, 1, 2, True),
  (384, 3, 1, 1, False),
  (256, 3, 1, 1, False),
  (256, 3, 1, 1, True),
)
_MIN_SIDE = 63
_POOL_SIZE = 6


class AlexNet(ImageModel):
  """AlexNet (Krizhevsky et al., 2012) as of Krizhevsky (2014, 1404.5997).

  One tower, no local response normalisation. Images of any size are pooled to
  6 x 6 before the dense layers, as in torchvision.

  Attributes:
    num_outputs: number of classes or other outputs.
    hidden: sizes of the dense layers before the head.
    activation: see `layers.activation`.
    dropout: of the input of each hidden dense layer.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  hidden: Sequence[Size] = (4096, 4096)
  activation: Activation = 'relu'
  dropout: Rate = 0.5
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    convolutions = (f'conv{n}' for n in range(1, len(TABLE) + 1))
    return (*convolutions, 'classifier')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    del mask
    options.check_size('AlexNet', x, _MIN_SIDE)
    x = x.astype(self.dtype)
    for number, (features, side, stride, pad, pooled) in enumerate(TABLE, 1):
      x = Conv(
        features,
        (side, side),
        (stride, stride),
        padding=pad,
        use_bias=True,
        dtype=self.dtype,
        name=f'conv{number}',
      )(x)
      x = activation_named(self.activation)(x)
      if pooled:
        x = max_pool(x, 3, 2)
    x = adaptive_avg_pool(x, _POOL_SIZE)
    return DenseHead(
      num_outputs=self.num_outputs,
      hidden=self.hidden,
      activation=self.activation,
      dropout=self.dropout,
      dropout_first=True,
      dtype=self.dtype,
      name='classifier',
    )(x.reshape(x.shape[0], -1), train=train)


alexnet = options.factory(AlexNet, 'alexnet')
