"""A small fast network for CIFAR-10, after cifar10-airbench."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.models.image.base import ImageModel
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import Activation
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.norm import BatchNorm
from recog_jax.models.layers.pool import max_pool
from recog_jax.models.layers.widths import NO_CHANNELS, Channels, below
from recog_jax.ranges import Positive, Rate, Size

# The side of a patch of the whitening convolution.
_PATCH = 2


def whitening_init(x: jax.Array, epsilon: float = 5e-4) -> jax.Array:
  """The eigenvectors of the patches' covariance, scaled to unit variance.

  Args:
    x: normalised images `b h w c`, from the training data.
    epsilon: added to the eigenvalues, so that faint directions stay faint.

  Returns:
    float32 kernel, 2 x 2 x c x 8c: every eigenvector, and its negative.
  """
  side = _PATCH
  c = x.shape[-1]
  h, w = x.shape[1] - side + 1, x.shape[2] - side + 1
  views = [x[:, i : i + h, j : j + w] for i in range(side) for j in range(side)]
  patches = jnp.stack(views, 3).reshape(-1, side * side * c)
  patches = patches.astype(jnp.float32)
  covariance = jnp.matmul(
    patches.T, patches, precision=lax.Precision.HIGHEST
  ) / len(patches)
  values, vectors = jnp.linalg.eigh(covariance)
  kernel = vectors / jnp.sqrt(values + epsilon)
  # eigh leaves the sign of an eigenvector open; its largest entry is positive.
  largest = jnp.take_along_axis(
    kernel, jnp.abs(kernel).argmax(0, keepdims=True), 0
  )
  kernel = kernel * jnp.sign(largest)
  kernel = jnp.concatenate([kernel, -kernel], 1)
  return kernel.reshape(side, side, c, -1)


def _dirac_init(key, shape, dtype=jnp.float32):
  """He-uniform, with the first inputs passed through unchanged."""
  kernel = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')(
    key, shape, dtype
  )
  kh, kw, c, features = shape
  passed = min(c, features)
  kernel = kernel.at[:, :, :, :passed].set(0)
  return kernel.at[kh // 2, kw // 2, :passed, :passed].set(jnp.eye(passed))


class _Block(nn.Module):
  """Convolution, pooling, norm, convolution, norm."""

  features: int
  activation: str
  norm_momentum: float
  dtype: jnp.dtype
  channels: Channels = NO_CHANNELS

  @nn.compact
  def __call__(self, x, *, train, mask):
    act = activation_named(self.activation)
    for i in (1, 2):
      x = Conv(
        self.channels.get(f'conv{i}', self.features),
        (3, 3),
        padding=1,
        kernel_init=_dirac_init,
        dtype=self.dtype,
        name=f'conv{i}',
      )(x)
      if i == 1:
        x = max_pool(x, 2)
      x = BatchNorm(
        momentum=self.norm_momentum, dtype=self.dtype, name=f'norm{i}'
      )(x, train=train, mask=mask)
      x = act(x)
    return x


class Airbench(ImageModel):
  """A network that learns CIFAR-10 in few epochs.

  Jordan, "94% on CIFAR-10 in 3.29 seconds on a single A100 GPU" (arXiv
  2404.00498): a first convolution over 2x2 patches that whitens them, computed
  from the first training batch and then fixed; blocks of two 3x3 convolutions
  that begin near the identity; global maximum pooling; a scaled linear head.
  Deviations: batch norm has a scale as well as a bias, and the whitening has no
  bias, whose gradient alone would need that of the largest convolution's input.

  Attributes:
    num_outputs: number of logits.
    widths: channels of each block; each block halves the image.
    activation: see `layers.activation`.
    norm_momentum: share of the running statistics that a step keeps.
    head_scale: multiplies the logits.
    channels: outputs of single convolutions by their path, such as
      {'block1/conv1': 48}, where they are not the table's;
      `init_from.macs` sets them.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  widths: Sequence[Size] = (64, 128, 256)
  activation: Activation = 'relu'
  norm_momentum: Rate = 0.8
  head_scale: Positive = 1 / 9
  channels: Channels = NO_CHANNELS
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    blocks = (f'block{n}' for n in range(1, len(self.widths) + 1))
    return ('whitening', *blocks, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    act = activation_named(self.activation)
    whitening = self.param('whitening', lambda key: whitening_init(x))
    x = lax.conv_general_dilated(
      x.astype(self.dtype),
      lax.stop_gradient(whitening).astype(self.dtype),
      (1, 1),
      'VALID',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    x = act(x)
    for i, width in enumerate(self.widths):
      x = _Block(
        width,
        self.activation,
        self.norm_momentum,
        self.dtype,
        below(self.channels, f'block{i + 1}'),
        name=f'block{i + 1}',
      )(x, train=train, mask=mask)
    features = x.max((1, 2)).astype(jnp.float32)
    head = nn.Dense(
      self.num_outputs,
      use_bias=False,
      kernel_init=nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform'),
      name='head',
    )
    return head(features) * self.head_scale, {'features': features}


airbench = options.factory(Airbench, 'airbench')
