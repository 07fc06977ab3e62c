"""VGG (Simonyan and Zisserman, 2015), with and without batch norm."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel
from recog_jax.models.image.dense_head import DenseHead
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import Activation
from recog_jax.models.layers.conv_norm import conv_norm_of
from recog_jax.models.layers.pool import adaptive_avg_pool, max_pool
from recog_jax.models.layers.widths import NO_CHANNELS, Channels
from recog_jax.ranges import Rate, Size

# Simonyan and Zisserman, "Very deep convolutional networks for large-scale
# image recognition", ICLR 2015 (arXiv:1409.1556), table 1, columns A, B, D, E:
# layers with weights -> convolutions before each of the five poolings.
TABLE_1 = {
  11: (1, 1, 2, 2, 2),
  13: (2, 2, 2, 2, 2),
  16: (2, 2, 3, 3, 3),
  19: (2, 2, 4, 4, 4),
}


class Vgg(ImageModel):
  """VGG-11, 13, 16 or 19 (Simonyan and Zisserman, 2015, arXiv:1409.1556).

  The weights' shapes do not depend on the size of the images, which are pooled
  to 7 x 7 before the dense layers as in torchvision; nothing changes at the
  paper's 224 x 224. For images of 32 x 32: `pool_size=1`, with `hidden=(512,)`
  after Liu and Deng (2015), or `hidden=()`, a head alone, as is now usual.
  Kernels start as He et al. (2015) by fan out, dense layers normal with
  deviation 0.01.

  Attributes:
    num_outputs: number of classes or other outputs.
    blocks: convolutions before each pooling; see `TABLE_1`.
    batch_norm: BatchNorm after each convolution (Ioffe and Szegedy, 2015).
    width: channels of the first block.
    pool_size: side of what the dense layers see.
    hidden: sizes of the dense layers before the head.
    activation: see `layers.activation`.
    dropout: after each hidden dense layer; without those there is none.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    channels: outputs of single convolutions by their path, such as
      {'conv1_1/conv': 48}, where they are not the table's;
      `init_from.macs` sets them.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  blocks: tuple[int, ...]
  batch_norm: bool
  width: Size = 64
  pool_size: Size = 7
  hidden: Sequence[Size] = (4096, 4096)
  activation: Activation = 'relu'
  dropout: Rate = 0.5
  norm_momentum: Rate = 0.9
  norm_epsilon: Rate = 1e-5
  channels: Channels = NO_CHANNELS
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    blocks = (f'conv{n}_.*' for n in range(1, len(self.blocks) + 1))
    return (*blocks, 'classifier')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    options.check_size('VGG', x, 2 ** len(self.blocks))
    layer = conv_norm_of(
      self, activation=self.activation, norm=self.batch_norm, use_bias=True
    )
    x = x.astype(self.dtype)
    for block, count in enumerate(self.blocks, 1):
      for index in range(1, count + 1):
        name = f'conv{block}_{index}'
        width = self.width * min(2 ** (block - 1), 8)
        width = self.channels.get(f'{name}/conv', width)
        x = layer(width, (3, 3), name=name)(x, train=train, mask=mask)
      x = max_pool(x, 2)
    x = adaptive_avg_pool(x, self.pool_size)
    return DenseHead(
      num_outputs=self.num_outputs,
      hidden=self.hidden,
      activation=self.activation,
      dropout=self.dropout,
      dtype=self.dtype,
      name='classifier',
    )(x.reshape(x.shape[0], -1), train=train)


def _vgg(depth, batch_norm):
  name = f'vgg{depth}_bn' if batch_norm else f'vgg{depth}'
  return options.factory(
    Vgg, name, blocks=TABLE_1[depth], batch_norm=batch_norm
  )


vgg11 = _vgg(11, batch_norm=False)
vgg13 = _vgg(13, batch_norm=False)
vgg16 = _vgg(16, batch_norm=False)
vgg19 = _vgg(19, batch_norm=False)
vgg11_bn = _vgg(11, batch_norm=True)
vgg13_bn = _vgg(13, batch_norm=True)
vgg16_bn = _vgg(16, batch_norm=True)
vgg19_bn = _vgg(19, batch_norm=True)
