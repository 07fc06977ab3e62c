"""The small ResNets that He et al. (2016) made for CIFAR-10."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers import options
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.norm import batch_norm_of
from recog_jax.precision import at_least_float32

# He et al., "Deep residual learning for image recognition", CVPR 2016
# (arXiv:1512.03385), section 4.2 and table 6: depth = 6n + 2 -> n blocks in
# each of the three stages. 8 is the smallest of the rule, not in the table.
_TABLE_6 = {8: 1, 20: 3, 32: 5, 44: 7, 56: 9, 110: 18}


class Block(nn.Module):
  """Two 3x3 convolutions beside the paper's shortcut without parameters.

  Option A: every other pixel where the stride is 2, new channels are zero.

  Attributes:
    width: channels of both convolutions.
    stride: of the first convolution, in both directions.
    conv: makes a 3x3 convolution (its padding and dtype are bound).
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
  def __call__(self, x, *, train: bool, mask=None):
    strides = (self.stride, self.stride)
    y = self.conv(self.width, strides=strides, name='conv1')(x)
    y = self.act(self.norm(name='norm1')(y, train=train, mask=mask))
    y = self.conv(self.width, name='conv2')(y)
    last = self.norm(scale_init=self.last_scale_init, name='norm2')
    y = last(y, train=train, mask=mask)
    x = x[:, :: self.stride, :: self.stride]
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.width - x.shape[-1])))
    return self.act(x + y)


class CifarResNet(nn.Module):
  """Residual network over `b h w c`; see `make` for the attributes."""

  num_outputs: int
  blocks: int
  width: int
  activation: str
  dropout: float
  zero_init_last_gamma: bool
  norm_momentum: float
  norm_epsilon: float
  dtype: jnp.dtype

  @property
  def stages(self) -> tuple[str, ...]:
    """Regexes, from the input to the head; see `models.image.stages`."""
    return ('stem_.*', *(f'stage{n}_.*' for n in (1, 2, 3)), 'head')

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
    conv = functools.partial(Conv, kernel=(3, 3), padding=1, dtype=self.dtype)
    norm = batch_norm_of(self)
    last_scale_init = nn.initializers.ones
    if self.zero_init_last_gamma:
      last_scale_init = nn.initializers.zeros

    x = conv(self.width, name='stem_conv')(x.astype(self.dtype))
    x = act(norm(name='stem_norm')(x, train=train, mask=mask))
    for stage in range(3):
      for index in range(self.blocks):
        x = Block(
          width=self.width * 2**stage,
          stride=2 if stage > 0 and index == 0 else 1,
          conv=conv,
          norm=norm,
          act=act,
          last_scale_init=last_scale_init,
          name=f'stage{stage + 1}_block{index + 1}',
        )(x, train=train, mask=mask)

    features = at_least_float32(x).mean((1, 2))
    x = nn.Dropout(self.dropout, deterministic=not train, name='dropout')(
      features
    )
    head = nn.Dense(
      self.num_outputs,
      kernel_init=nn.initializers.he_normal(),
      name='head',
    )
    return head(x), {'features': features}


def make(
  *,
  num_outputs: int,
  depth: int,
  width: int = 16,
  activation: str = 'relu',
  dropout: float = 0.0,
  zero_init_last_gamma: bool = False,
  norm_momentum: float = 0.9,
  norm_epsilon: float = 1e-5,
  dtype: jnp.dtype = jnp.float32,
) -> CifarResNet:
  """ResNet-20, 32, 44, 56 or 110 for small images, or the still smaller 8.

  Section 4.2 of He et al., 2016 (arXiv:1512.03385), with its shortcuts without
  parameters (option A) and its initialisation (He et al., 2015).

  Args:
    num_outputs: number of classes or other outputs.
    depth: number of layers with weights.
    width: channels of the first stage; the paper's is 16.
    activation: see `layers.activation`.
    dropout: share of the features dropped before the head.
    zero_init_last_gamma: residual branches start as nothing (Goyal et al.,
      2017); the paper's do not.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    UserError: an option that is out of range.
  """
  options.check_choice('depth', str(depth), [str(known) for known in _TABLE_6])
  return options.build(
    CifarResNet,
    num_outputs=num_outputs,
    blocks=_TABLE_6[depth],
    width=options.check_count('width', width),
    activation=activation,
    dropout=dropout,
    zero_init_last_gamma=zero_init_last_gamma,
    norm_momentum=norm_momentum,
    norm_epsilon=norm_epsilon,
    dtype=dtype,
  )


resnet8 = options.variant(make, 'resnet8', depth=8)
resnet20 = options.variant(make, 'resnet20', depth=20)
resnet32 = options.variant(make, 'resnet32', depth=32)
resnet44 = options.variant(make, 'resnet44', depth=44)
resnet56 = options.variant(make, 'resnet56', depth=56)
resnet110 = options.variant(make, 'resnet110', depth=110)
