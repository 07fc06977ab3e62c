"""ResNet (He et al., 2016), version 1.5, with an ImageNet or a CIFAR stem."""

import functools
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import Activation
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.norm import batch_norm_of
from recog_jax.models.layers.pool import max_pool
from recog_jax.models.layers.remat import Policy, call_block
from recog_jax.models.layers.widths import NO_CHANNELS, Channels, below
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Rate, Size

# He et al., "Deep residual learning for image recognition", CVPR 2016
# (arXiv:1512.03385), table 1: depth -> kind of block, blocks in each stage.
_TABLE_1 = {
  18: ('basic', (2, 2, 2, 2)),
  34: ('basic', (3, 4, 6, 3)),
  50: ('bottleneck', (3, 4, 6, 3)),
  101: ('bottleneck', (3, 4, 23, 3)),
  152: ('bottleneck', (3, 8, 36, 3)),
}


class BasicBlock(nn.Module):
  """Two 3x3 convolutions beside a shortcut.

  Attributes:
    width: channels of both convolutions.
    stride: of the first convolution, in both directions.
    conv: makes a convolution (its dtype is bound).
    norm: makes a BatchNorm (its momentum, epsilon and dtype are bound).
    act: activation function.
    last_scale_init: initialiser of the last BatchNorm's scale.
    project: whether the shortcut is a convolution.
    channels: of convolutions that have another width, by name.
  """

  width: int
  stride: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]
  act: Callable[[jax.Array], jax.Array]
  last_scale_init: nn.initializers.Initializer
  project: bool
  channels: Channels = NO_CHANNELS

  @nn.compact
  def __call__(self, x, mask, *, train: bool):
    keys = {'train': train, 'mask': mask}
    strides = (self.stride, self.stride)
    first, second = map(self.outputs, ('conv1', 'conv2'))
    y = self.conv(first, (3, 3), strides, padding=1, name='conv1')(x)
    y = self.act(self.norm(name='norm1')(y, **keys))
    y = self.conv(second, (3, 3), padding=1, name='conv2')(y)
    y = self.norm(scale_init=self.last_scale_init, name='norm2')(y, **keys)
    return self.act(self.shortcut(x, y, **keys) + y)

  @nn.nowrap
  def outputs(self, name: str, usual: int | None = None) -> int:
    """Channels of a convolution."""
    return self.channels.get(name, usual or self.width)

  @nn.nowrap
  def shortcut(self, x, y, **keys):
    """x in the shape of y: projected where the two differ."""
    if not self.project:
      return x
    strides = (self.stride, self.stride)
    x = self.conv(y.shape[-1], (1, 1), strides, name='shortcut_conv')(x)
    return self.norm(name='shortcut_norm')(x, **keys)


class PaddedBlock(BasicBlock):
  """A `BasicBlock` whose shortcut has no parameters (the paper's option A).

  Every other pixel where the stride is 2, and new channels are zero.
  """

  @nn.nowrap
  def shortcut(self, x, y, **keys):
    x = x[:, :: self.stride, :: self.stride]
    new = y.shape[-1] - x.shape[-1]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, new)))


class BottleneckBlock(BasicBlock):
  """1x1, 3x3, 1x1 convolutions beside a shortcut, stride in the 3x3 one.

  The paper has the stride in the first 1x1; in the 3x3 ("v1.5") it is about
  half a point better on ImageNet and what torchvision has. The last
  convolution has 4 * width channels.
  """

  @nn.compact
  def __call__(self, x, mask, *, train: bool):
    keys = {'train': train, 'mask': mask}
    strides = (self.stride, self.stride)
    first, second = map(self.outputs, ('conv1', 'conv2'))
    third = self.outputs('conv3', 4 * self.width)
    y = self.conv(first, (1, 1), name='conv1')(x)
    y = self.act(self.norm(name='norm1')(y, **keys))
    y = self.conv(second, (3, 3), strides, padding=1, name='conv2')(y)
    y = self.act(self.norm(name='norm2')(y, **keys))
    y = self.conv(third, (1, 1), name='conv3')(y)
    y = self.norm(scale_init=self.last_scale_init, name='norm3')(y, **keys)
    return self.act(self.shortcut(x, y, **keys) + y)


_BLOCKS = {
  'basic': BasicBlock,
  'padded': PaddedBlock,
  'bottleneck': BottleneckBlock,
}


class ResNet(ImageModel):
  """ResNet-18, 34, 50, 101 or 152 (He et al., 2016, arXiv:1512.03385).

  Version 1.5. Kernels start as He et al. (2015) by fan out, the head normal
  with deviation 0.01 (Goyal et al., 2017, arXiv:1706.02677).

  Attributes:
    num_outputs: number of classes or other outputs.
    block: `basic`, `padded` (basic, its shortcut without parameters and the
      head after He et al., 2015) or `bottleneck`.
    blocks: in each stage, which has twice the width of the one before.
    stem: `imagenet` (7x7 convolution and 3x3 max pooling, stride 2 each) or
      `cifar` (one 3x3 convolution, stride 1, no pooling).
    width: channels of the first stage.
    activation: see `layers.activation`.
    dropout: share of the features dropped before the head.
    zero_init_last_gamma: residual branches start as nothing (Goyal et al.).
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    remat: what each block keeps for its gradient; see `layers.remat`.
    channels: outputs of single convolutions by their path, such as
      {'stage1_block1/conv1': 12}, where they are not the table's;
      `init_from.macs` sets them.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  block: str
  blocks: tuple[int, ...]
  stem: Literal['imagenet', 'cifar'] = 'imagenet'
  width: Size = 64
  activation: Activation = 'relu'
  dropout: Rate = 0.0
  zero_init_last_gamma: bool = True
  norm_momentum: Rate = 0.9
  norm_epsilon: Rate = 1e-5
  remat: Policy = 'none'
  channels: Channels = NO_CHANNELS
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    stages = (f'stage{n}_.*' for n in range(1, len(self.blocks) + 1))
    return ('stem_.*', *stages, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    act = activation_named(self.activation)
    conv = functools.partial(Conv, dtype=self.dtype)
    norm = batch_norm_of(self)
    x = x.astype(self.dtype)
    width = self.channels.get('stem_conv', self.width)
    if self.stem == 'cifar':
      x = conv(width, (3, 3), padding=1, name='stem_conv')(x)
    else:
      x = conv(width, (7, 7), (2, 2), padding=3, name='stem_conv')(x)
    x = act(norm(name='stem_norm')(x, train=train, mask=mask))
    if self.stem == 'imagenet':
      x = max_pool(x, 3, 2, padding=1)

    last_scale_init = nn.initializers.ones
    if self.zero_init_last_gamma:
      last_scale_init = nn.initializers.zeros
    block = _BLOCKS[self.block]
    for stage, count in enumerate(self.blocks):
      for index in range(count):
        name = f'stage{stage + 1}_block{index + 1}'
        unit = block(
          width=self.width * 2**stage,
          stride=2 if stage > 0 and index == 0 else 1,
          conv=conv,
          norm=norm,
          act=act,
          last_scale_init=last_scale_init,
          # Where width or stride change: not by what is pruned.
          project=index == 0 and (stage > 0 or self.block == 'bottleneck'),
          channels=below(self.channels, name),
          name=name,
        )
        x = call_block(self.remat, unit, x, mask, train=train)

    features = at_least_float32(x).mean((1, 2))
    x = nn.Dropout(self.dropout, deterministic=not train, name='dropout')(
      features
    )
    init = nn.initializers.normal(0.01)
    if self.block == 'padded':
      init = nn.initializers.he_normal()
    head = nn.Dense(self.num_outputs, kernel_init=init, name='head')
    return head(x), {'features': features}


def _resnet(depth):
  block, blocks = _TABLE_1[depth]
  return options.factory(ResNet, f'resnet{depth}', block=block, blocks=blocks)


resnet18 = _resnet(18)
resnet34 = _resnet(34)
resnet50 = _resnet(50)
resnet101 = _resnet(101)
resnet152 = _resnet(152)
