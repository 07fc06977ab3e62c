"""VGG (Simonyan and Zisserman, 2015), with and without batch norm."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.dense_head import DenseHead
from recog_jax.models.layers import options
from recog_jax.models.layers.conv_norm import conv_norm_of
from recog_jax.models.layers.pool import adaptive_avg_pool, max_pool

# Simonyan and Zisserman, "Very deep convolutional networks for large-scale
# image recognition", ICLR 2015 (arXiv:1409.1556), table 1, columns A, B, D, E:
# layers with weights -> convolutions before each of the five poolings.
TABLE_1 = {
  11: (1, 1, 2, 2, 2),
  13: (2, 2, 2, 2, 2),
  16: (2, 2, 3, 3, 3),
  19: (2, 2, 4, 4, 4),
}


class Vgg(nn.Module):
  """3x3 convolutions and poolings over `b h w c`; see `make`."""

  num_outputs: int
  blocks: tuple[int, ...]
  batch_norm: bool
  width: int
  pool_size: int
  hidden: tuple[int, ...]
  activation: str
  dropout: float
  norm_momentum: float
  norm_epsilon: float
  dtype: jnp.dtype

  @property
  def stages(self) -> tuple[str, ...]:
    """Regexes, from the input to the head; see `models.image.stages`."""
    blocks = (f'conv{n}_.*' for n in range(1, len(self.blocks) + 1))
    return (*blocks, 'classifier')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Class scores of images.

    Args:
      x: float `b h w c`, normalised.
      train: use dropout, and batch statistics where there are any.
      mask: bool `b`, rows that count in batch statistics; None for all.

    Returns:
      float32 logits `b v`, and `features`: float32 `b f`, the head's input.

    Raises:
      UserError: images smaller than 32 x 32.
    """
    options.check_size('VGG', x, 2 ** len(self.blocks))
    layer = conv_norm_of(
      self, activation=self.activation, norm=self.batch_norm, use_bias=True
    )
    x = x.astype(self.dtype)
    for block, count in enumerate(self.blocks, 1):
      for index in range(1, count + 1):
        x = layer(
          self.width * min(2 ** (block - 1), 8),
          (3, 3),
          name=f'conv{block}_{index}',
        )(x, train=train, mask=mask)
      x = max_pool(x, 2)
    x = adaptive_avg_pool(x, self.pool_size)
    return DenseHead(
      num_outputs=self.num_outputs,
      hidden=self.hidden,
      activation=self.activation,
      dropout=self.dropout,
      dtype=self.dtype,
      name='classifier',
    )(x.reshape(len(x), -1), train=train)


def make(
  *,
  num_outputs: int,
  depth: int,
  batch_norm: bool,
  width: int = 64,
  pool_size: int = 7,
  hidden: Sequence[int] = (4096, 4096),
  activation: str = 'relu',
  dropout: float = 0.5,
  norm_momentum: float = 0.9,
  norm_epsilon: float = 1e-5,
  dtype: jnp.dtype = jnp.float32,
) -> Vgg:
  """VGG-11, 13, 16 or 19 (Simonyan and Zisserman, 2015, arXiv:1409.1556).

  The weights' shapes do not depend on the size of the images, which are pooled
  to 7 x 7 before the dense layers as in torchvision; nothing changes at the
  paper's 224 x 224. For images of 32 x 32: `pool_size=1`, with `hidden=(512,)`
  after Liu and Deng (2015), or `hidden=()`, a head alone, as is now usual.
  Kernels start as He et al. (2015) by fan out, dense layers normal with
  deviation 0.01.

  Args:
    num_outputs: number of classes or other outputs.
    depth: number of layers with weights.
    batch_norm: BatchNorm after each convolution (Ioffe and Szegedy, 2015).
    width: channels of the first block.
    pool_size: side of what the dense layers see.
    hidden: sizes of the dense layers before the head.
    activation: see `layers.activation`.
    dropout: after each hidden dense layer; without those there is none.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    UserError: an option that is out of range.
  """
  options.check_choice('depth', str(depth), [str(known) for known in TABLE_1])
  return options.build(
    Vgg,
    num_outputs=num_outputs,
    blocks=TABLE_1[depth],
    batch_norm=batch_norm,
    width=options.check_count('width', width),
    pool_size=pool_size,
    hidden=hidden,
    activation=activation,
    dropout=dropout,
    norm_momentum=norm_momentum,
    norm_epsilon=norm_epsilon,
    dtype=dtype,
  )


vgg11 = options.variant(make, 'vgg11', depth=11, batch_norm=False)
vgg13 = options.variant(make, 'vgg13', depth=13, batch_norm=False)
vgg16 = options.variant(make, 'vgg16', depth=16, batch_norm=False)
vgg19 = options.variant(make, 'vgg19', depth=19, batch_norm=False)
vgg11_bn = options.variant(make, 'vgg11_bn', depth=11, batch_norm=True)
vgg13_bn = options.variant(make, 'vgg13_bn', depth=13, batch_norm=True)
vgg16_bn = options.variant(make, 'vgg16_bn', depth=16, batch_norm=True)
vgg19_bn = options.variant(make, 'vgg19_bn', depth=19, batch_norm=True)
