"""ResNet (He et al., 2016), version 1.5, with an ImageNet or a CIFAR stem."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers import options
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.norm import batch_norm_of
from recog_jax.models.layers.pool import max_pool
from recog_jax.models.layers.remat import call_block, check_policy
from recog_jax.precision import at_least_float32

# He et al., "Deep residual learning for image recognition", CVPR 2016
# (arXiv:1512.03385), table 1: depth -> kind of block, blocks in each stage.
_TABLE_1 = {
  18: ('basic', (2, 2, 2, 2)),
  34: ('basic', (3, 4, 6, 3)),
  50: ('bottleneck', (3, 4, 6, 3)),
  101: ('bottleneck', (3, 4, 23, 3)),
  152: ('bottleneck', (3, 8, 36, 3)),
}
_EXPANSION = {'basic': 1, 'bottleneck': 4}
STEMS = ('imagenet', 'cifar')


class BasicBlock(nn.Module):
  """Two 3x3 convolutions beside a shortcut.

  Attributes:
    width: channels of both convolutions.
    stride: of the first convolution, in both directions.
    conv: makes a convolution (its dtype is bound).
    norm: makes a BatchNorm (its momentum, epsilon and dtype are bound).
    act: activation function.
    last_scale_init: initialiser of the last BatchNorm's scale.
  """

  width: int
  stride: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]
  act: Callable[[jax.Array], jax.Array]
  last_scale_init: nn.initializers.Initializer

  @nn.compact
  def __call__(self, x, mask, *, train: bool):
    strides = (self.stride, self.stride)
    y = self.conv(self.width, (3, 3), strides, padding=1, name='conv1')(x)
    y = self.act(self.norm(name='norm1')(y, train=train, mask=mask))
    y = self.conv(self.width, (3, 3), padding=1, name='conv2')(y)
    last = self.norm(scale_init=self.last_scale_init, name='norm2')
    y = last(y, train=train, mask=mask)
    if x.shape != y.shape:
      x = self.conv(self.width, (1, 1), strides, name='shortcut_conv')(x)
      x = self.norm(name='shortcut_norm')(x, train=train, mask=mask)
    return self.act(x + y)


class BottleneckBlock(nn.Module):
  """1x1, 3x3, 1x1 convolutions beside a shortcut, stride in the 3x3 one.

  The paper has the stride in the first 1x1; in the 3x3 ("v1.5") it is about
  half a point better on ImageNet and what torchvision has.

  Attributes: as `BasicBlock`'s; the last convolution has 4 * width channels.
  """

  width: int
  stride: int
  conv: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]
  act: Callable[[jax.Array], jax.Array]
  last_scale_init: nn.initializers.Initializer

  @nn.compact
  def __call__(self, x, mask, *, train: bool):
    strides = (self.stride, self.stride)
    wide = self.width * _EXPANSION['bottleneck']
    y = self.conv(self.width, (1, 1), name='conv1')(x)
    y = self.act(self.norm(name='norm1')(y, train=train, mask=mask))
    y = self.conv(self.width, (3, 3), strides, padding=1, name='conv2')(y)
    y = self.act(self.norm(name='norm2')(y, train=train, mask=mask))
    y = self.conv(wide, (1, 1), name='conv3')(y)
    last = self.norm(scale_init=self.last_scale_init, name='norm3')
    y = last(y, train=train, mask=mask)
    if x.shape != y.shape:
      x = self.conv(wide, (1, 1), strides, name='shortcut_conv')(x)
      x = self.norm(name='shortcut_norm')(x, train=train, mask=mask)
    return self.act(x + y)


class ResNet(nn.Module):
  """Residual network over `b h w c`; see `make` for the attributes."""

  num_outputs: int
  block: str
  blocks: tuple[int, ...]
  stem: str
  width: int
  activation: str
  dropout: float
  zero_init_last_gamma: bool
  norm_momentum: float
  norm_epsilon: float
  remat: str
  dtype: jnp.dtype

  @property
  def stages(self) -> tuple[str, ...]:
    """Regexes, from the input to the head; see `models.image.stages`."""
    stages = (f'stage{n}_.*' for n in range(1, len(self.blocks) + 1))
    return ('stem_.*', *stages, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Class scores of images.

    Args:
      x: float `b h w c`, normalised.
      train: use batch statistics and dropout.
      mask: bool `b`, rows that count in batch statistics; None for all.

    Returns:
      float32 logits `b v`, and `features`: float32 `b f`, the head's input.
    """
    act = activation_named(self.activation)
    conv = functools.partial(Conv, dtype=self.dtype)
    norm = batch_norm_of(self)
    x = x.astype(self.dtype)
    if self.stem == 'cifar':
      x = conv(self.width, (3, 3), padding=1, name='stem_conv')(x)
    else:
      x = conv(self.width, (7, 7), (2, 2), padding=3, name='stem_conv')(x)
    x = act(norm(name='stem_norm')(x, train=train, mask=mask))
    if self.stem == 'imagenet':
      x = max_pool(x, 3, 2, padding=1)

    last_scale_init = nn.initializers.ones
    if self.zero_init_last_gamma:
      last_scale_init = nn.initializers.zeros
    block = {'basic': BasicBlock, 'bottleneck': BottleneckBlock}[self.block]
    for stage, count in enumerate(self.blocks):
      for index in range(count):
        unit = block(
          width=self.width * 2**stage,
          stride=2 if stage > 0 and index == 0 else 1,
          conv=conv,
          norm=norm,
          act=act,
          last_scale_init=last_scale_init,
          name=f'stage{stage + 1}_block{index + 1}',
        )
        x = call_block(self.remat, unit, x, mask, train=train)

    features = at_least_float32(x).mean((1, 2))
    x = nn.Dropout(self.dropout, deterministic=not train, name='dropout')(
      features
    )
    head = nn.Dense(
      self.num_outputs,
      kernel_init=nn.initializers.normal(0.01),
      name='head',
    )
    return head(x), {'features': features}


def make(
  *,
  num_outputs: int,
  depth: int,
  stem: str = 'imagenet',
  width: int = 64,
  activation: str = 'relu',
  dropout: float = 0.0,
  zero_init_last_gamma: bool = True,
  norm_momentum: float = 0.9,
  norm_epsilon: float = 1e-5,
  remat: str = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> ResNet:
  """ResNet-18, 34, 50, 101 or 152 (He et al., 2016, arXiv:1512.03385).

  Version 1.5. Kernels start as He et al. (2015) by fan out, the head normal
  with deviation 0.01 (Goyal et al., 2017, arXiv:1706.02677).

  Args:
    num_outputs: number of classes or other outputs.
    depth: number of layers with weights.
    stem: `imagenet` (7x7 convolution and 3x3 max pooling, stride 2 each) or
      `cifar` (one 3x3 convolution, stride 1, no pooling).
    width: channels of the first stage.
    activation: see `layers.activation`.
    dropout: share of the features dropped before the head.
    zero_init_last_gamma: residual branches start as nothing (Goyal et al.).
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    UserError: an option that is out of range.
  """
  depths = [str(known) for known in _TABLE_1]
  options.check_choice('depth', str(depth), depths)
  block, blocks = _TABLE_1[depth]
  return options.build(
    ResNet,
    num_outputs=num_outputs,
    block=block,
    blocks=blocks,
    stem=options.check_choice('stem', stem, STEMS),
    width=options.check_count('width', width),
    activation=activation,
    dropout=dropout,
    zero_init_last_gamma=zero_init_last_gamma,
    norm_momentum=norm_momentum,
    norm_epsilon=norm_epsilon,
    remat=check_policy(remat),
    dtype=dtype,
  )


resnet18 = options.variant(make, 'resnet18', depth=18)
resnet34 = options.variant(make, 'resnet34', depth=34)
resnet50 = options.variant(make, 'resnet50', depth=50)
resnet101 = options.variant(make, 'resnet101', depth=101)
resnet152 = options.variant(make, 'resnet152', depth=152)
