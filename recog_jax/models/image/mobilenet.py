"""MobileNet v1 and v2 (Howard et al., 2017; Sandler et al., 2018)."""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel, by_size
from recog_jax.models.layers import options
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.conv_norm import conv_norm_of
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.widths import NO_CHANNELS, Channels
from recog_jax.precision import at_least_float32, spread
from recog_jax.ranges import Positive, Rate, Size

# Howard et al., "MobileNets: efficient convolutional neural networks for mobile
# vision applications" (arXiv:1704.04861), table 1: channels and stride of each
# depthwise separable convolution.
V1_TABLE_1 = (
  (64, 1),
  (128, 2),
  (128, 1),
  (256, 2),
  (256, 1),
  (512, 2),
  *[(512, 1)] * 5,
  (1024, 2),
  (1024, 1),
)
# Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks"
# (arXiv:1801.04381), table 2: expansion t, channels c, blocks n, stride s.
V2_TABLE_2 = (
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 2),
  (6, 320, 1, 1),
)


def round_channels(channels: float, divisor: int = 8) -> int:
  """The nearest multiple of the divisor that loses at most a tenth.

  As in the authors' code, so that narrower networks have the published shapes.
  """
  rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
  return rounded + divisor if rounded < 0.9 * channels else rounded


class SqueezeExcite(nn.Module):
  """Scales channels by a small network of their means (Hu et al., 2018).

  Attributes:
    hidden: channels between the two layers.
    dtype: of the computation.
  """

  hidden: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`b h w c` to the same."""
    y = x.mean((1, 2), keepdims=True)
    layer = functools.partial(
      Conv, kernel=(1, 1), use_bias=True, dtype=self.dtype
    )
    y = jax.nn.relu(layer(self.hidden, name='reduce')(y))
    gate = jax.nn.hard_sigmoid(layer(x.shape[-1], name='expand')(y))
    return x * spread(gate, x)


class InvertedResidual(nn.Module):
  """Expansion, depthwise convolution and a linear projection.

  With a shortcut where the block keeps the shape.

  Attributes:
    inner: channels inside; where the input has as many already the expansion
      is left out.
    features: channels of the output.
    stride: of the depthwise convolution.
    layer: makes a `ConvNorm`.
    activation: after all but the projection.
    side: of the depthwise kernel.
    excite: whether there is a `SqueezeExcite` after it (v3).
    expand: whether there is an expansion; None: see `inner`.
    shortcut: whether there is one; None: where the block keeps the shape.
  """

  inner: int
  features: int
  stride: int
  layer: functools.partial
  activation: str
  side: Size = 3
  excite: bool = False
  expand: bool | None = None
  shortcut: bool | None = None

  @nn.compact
  def __call__(self, x, *, train: bool, mask=None):
    layer = functools.partial(self.layer, activation=self.activation)
    y = x
    expand = self.inner != x.shape[-1] if self.expand is None else self.expand
    if expand:
      y = layer(self.inner, name='expand')(y, train=train, mask=mask)
    y = layer(
      self.inner,
      (self.side, self.side),
      stride=self.stride,
      groups=self.inner,
      name='depthwise',
    )(y, train=train, mask=mask)
    if self.excite:
      hidden = round_channels(self.inner // 4)
      y = SqueezeExcite(hidden, y.dtype, name='squeeze_excite')(y)
    project = self.layer(self.features, activation='identity', name='project')
    y = project(y, train=train, mask=mask)
    same = x.shape == y.shape if self.shortcut is None else self.shortcut
    return x + y if same else y


class Separable(nn.Module):
  """A depthwise convolution, then a 1x1 one; see `InvertedResidual`."""

  features: int
  stride: int
  layer: functools.partial
  activation: str

  @nn.compact
  def __call__(self, x, *, train: bool, mask=None):
    layer = functools.partial(self.layer, activation=self.activation)
    c = x.shape[-1]
    depthwise = layer(c, (3, 3), stride=self.stride, groups=c, name='depthwise')
    x = depthwise(x, train=train, mask=mask)
    return layer(self.features, name='pointwise')(x, train=train, mask=mask)


def blocks_of(version: int) -> list[tuple[int, int, int]]:
  """Of each block: expansion (0 in v1), channels before rounding, stride."""
  if version == 1:
    return [(0, c, stride) for c, stride in V1_TABLE_1]
  return [
    (t, c, s if index == 0 else 1)
    for t, c, n, s in V2_TABLE_2
    for index in range(n)
  ]


class MobileNet(ImageModel):
  """MobileNet v1 (Howard et al., 2017) or v2 (Sandler et al., 2018).

  Kernels start as He et al. (2015) by fan out, the head normal with deviation
  0.01.

  Attributes:
    num_outputs: number of classes or other outputs.
    version: 1 (arXiv:1704.04861) or 2 (arXiv:1801.04381).
    width: multiplies the channels (the first paper has 1, 0.75, 0.5, 0.25).
    stem: `imagenet`, or `cifar`: the stem and the first block with a stride of
      2 have 1, so that images of 32 x 32 end at 4 x 4.
    activation: see `layers.activation`.
    dropout: before the head.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    channels: outputs of single convolutions by their path, such as
      {'block2/expand/conv': 60}, where they are not the table's;
      `init_from.macs` sets them.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  version: int
  activation: str
  dropout: Rate
  width: Positive = 1.0
  stem: Literal['imagenet', 'cifar'] = 'imagenet'
  norm_momentum: Rate = 0.9
  norm_epsilon: Rate = 1e-5
  channels: Channels = NO_CHANNELS
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    rows = enumerate(blocks_of(self.version), 1)
    blocks = by_size((f'block{n}', stride > 1) for n, (*_, stride) in rows)
    last = ('last',) if self.version == 2 else ()
    return ('stem', *blocks, *last, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    layer = conv_norm_of(self)
    before = round_channels(32 * self.width)  # As in the table.
    x = layer(
      self.channels.get('stem/conv', before),
      (3, 3),
      stride=1 if self.stem == 'cifar' else 2,
      activation=self.activation,
      name='stem',
    )(x.astype(self.dtype), train=train, mask=mask)
    blocks = blocks_of(self.version)
    first_stride = [stride for _, _, stride in blocks].index(2) + 1
    for number, (expansion, c, stride) in enumerate(blocks, 1):
      # Images of 32 x 32 keep their size in the stem and the first stride.
      if self.stem == 'cifar' and number == first_stride:
        stride = 1
      name, after = f'block{number}', round_channels(c * self.width)
      block, last_layer = Separable, 'pointwise'
      if expansion:
        last_layer, inner = 'project', x.shape[-1]
        if expansion > 1:
          inner = before * expansion
          inner = self.channels.get(f'{name}/expand/conv', inner)
        block = functools.partial(
          InvertedResidual,
          inner=inner,
          # Where the table has them: not by what is pruned.
          expand=expansion > 1,
          shortcut=before == after and stride == 1,
        )
      x = block(
        features=self.channels.get(f'{name}/{last_layer}/conv', after),
        stride=stride,
        layer=layer,
        activation=self.activation,
        name=name,
      )(x, train=train, mask=mask)
      before = after
    if self.version == 2:
      # The last layer is not made narrower than the paper's, only wider.
      last = round_channels(1280 * max(1.0, self.width))
      last = self.channels.get('last/conv', last)
      x = layer(last, activation=self.activation, name='last')(
        x, train=train, mask=mask
      )
    features = at_least_float32(x).mean((1, 2))
    x = Dropout(self.dropout, name='dropout')(features, train=train)
    head = nn.Dense(
      self.num_outputs, kernel_init=nn.initializers.normal(0.01), name='head'
    )
    return head(x), {'features': features}


mobilenet_v1 = options.factory(
  MobileNet,
  'mobilenet_v1',
  version=1,
  defaults={'activation': 'relu', 'dropout': 0.001},
)
mobilenet_v2 = options.factory(
  MobileNet,
  'mobilenet_v2',
  version=2,
  defaults={'activation': 'relu6', 'dropout': 0.2},
)
