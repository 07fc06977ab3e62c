"""SqueezeNet (Iandola et al., 2016), versions 1.0 and 1.1."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel, by_size
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import Activation
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.norm import batch_norm_of
from recog_jax.models.layers.pool import max_pool
from recog_jax.models.layers.widths import NO_CHANNELS, Channels, below
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Rate

# Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
# and < 0.5 MB model size" (arXiv:1602.07360), table 1, and the authors' release
# of version 1.1: features and side of the first kernel, and the fire modules
# ahead of which there is a pooling.
TABLE_1 = {'1.0': (96, 7, (2, 5, 9)), '1.1': (64, 3, (2, 4, 6))}
# Fire module -> channels of the 1x1 that squeezes; it expands to eightfold.
FIRE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}


class Fire(nn.Module):
  """A 1x1 convolution to few channels, then 1x1 and 3x3 side by side.

  Attributes:
    squeeze: channels of the first; each of the others has four times as many.
    norm: makes a BatchNorm, after every convolution; None for none.
    activation: after that.
    dtype: of the computation.
    channels: of convolutions that have another width, by name.
  """

  squeeze: int
  norm: Callable[..., nn.Module] | None
  activation: str
  dtype: jnp.dtype
  channels: Channels = NO_CHANNELS

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, mask=None) -> jax.Array:
    """`b h w c` to `b h w 8*squeeze`."""

    def convolve(x, features, side, name):
      x = Conv(
        self.channels.get(name, features),
        (side, side),
        padding=side // 2,
        use_bias=self.norm is None,
        dtype=self.dtype,
        name=name,
      )(x)
      if self.norm is not None:
        x = self.norm(name=f'{name}_norm')(x, train=train, mask=mask)
      return activation_named(self.activation)(x)

    x = convolve(x, self.squeeze, 1, 'squeeze')
    one = convolve(x, 4 * self.squeeze, 1, 'expand1x1')
    three = convolve(x, 4 * self.squeeze, 3, 'expand3x3')
    return jnp.concatenate([one, three], -1)


class SqueezeNet(ImageModel):
  """SqueezeNet 1.0 or 1.1 (Iandola et al., 2016, arXiv:1602.07360).

  Kernels start as He et al. (2015) by fan out, the last normal with deviation
  0.01.

  Attributes:
    num_outputs: number of classes or other outputs.
    version: '1.0' (the paper's) or '1.1' (the same accuracy at 2.4 times less
      computation, by the authors).
    stem: `imagenet`, or `cifar`: a 3x3 convolution of stride 1, so that images
      of 32 x 32 end at 4 x 4.
    batch_norm: BatchNorm after each convolution but the last, in the place of
      its bias; the paper has none.
    head_activation: the last convolution's outputs go through the activation
      before their mean, as in the paper, so logits are not negative, and one
      that is zero for every image learns no more; False trains more safely.
    activation: see `layers.activation`.
    dropout: before the last convolution.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    channels: outputs of single convolutions by their path, such as
      {'fire2/squeeze': 12}, where they are not the table's;
      `init_from.macs` sets them.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  version: str
  stem: Literal['imagenet', 'cifar'] = 'imagenet'
  batch_norm: bool = False
  head_activation: bool = True
  activation: Activation = 'relu'
  dropout: Rate = 0.5
  norm_momentum: Rate = 0.9
  norm_epsilon: Rate = 1e-5
  channels: Channels = NO_CHANNELS
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    _, _, pooled = TABLE_1[self.version]
    fires = ((f'fire{n}', n in pooled) for n in FIRE)
    stages = by_size((('conv1.*', True), *fires))
    return (*stages, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    options.check_size('SqueezeNet', x, 8 if self.stem == 'cifar' else 21)
    act = activation_named(self.activation)
    features, side, pooled = TABLE_1[self.version]
    stride = 2
    if self.stem == 'cifar':
      side, stride = 3, 1
    x = Conv(
      self.channels.get('conv1', features),
      (side, side),
      (stride, stride),
      padding=1 if self.stem == 'cifar' else 0,
      use_bias=not self.batch_norm,
      dtype=self.dtype,
      name='conv1',
    )(x.astype(self.dtype))
    norm = batch_norm_of(self) if self.batch_norm else None
    if norm is not None:
      x = norm(name='conv1_norm')(x, train=train, mask=mask)
    x = act(x)
    for number, squeeze in FIRE.items():
      if number in pooled:
        x = max_pool(x, 3, 2, ceil=True)
      name = f'fire{number}'
      x = Fire(
        squeeze,
        norm,
        self.activation,
        self.dtype,
        below(self.channels, name),
        name=name,
      )(x, train=train, mask=mask)
    features = at_least_float32(x).mean((1, 2))
    x = Dropout(self.dropout, name='dropout')(x, train=train)
    x = Conv(
      self.num_outputs,
      (1, 1),
      use_bias=True,
      dtype=self.dtype,
      kernel_init=nn.initializers.normal(0.01),
      name='head',
    )(x)
    x = act(x) if self.head_activation else x
    logits = at_least_float32(x).mean((1, 2))
    return logits, {'features': features}


squeezenet1_0 = options.factory(SqueezeNet, 'squeezenet1_0', version='1.0')
squeezenet1_1 = options.factory(SqueezeNet, 'squeezenet1_1', version='1.1')
