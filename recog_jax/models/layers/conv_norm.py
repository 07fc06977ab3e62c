"""Convolution, batch norm and activation: what most image networks repeat."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.activation import activation
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.norm import BatchNorm


class ConvNorm(nn.Module):
  """A convolution (`conv`), BatchNorm (`norm`) and activation.

  Attributes:
    features: number of output channels.
    kernel: height and width of the kernel.
    stride: in both directions.
    padding: rows and columns of zeros on each side; None for half the kernel,
      which keeps the size of an image at stride 1.
    groups: number of channel groups.
    activation: see `layers.activation`; `identity` for none.
    norm: whether there is a BatchNorm.
    use_bias: whether the convolution has a bias; None for where there is no
      BatchNorm, whose own takes its place.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    dtype: of the computation.
  """

  features: int
  kernel: tuple[int, int] = (1, 1)
  stride: int = 1
  padding: tuple[int, int] | None = None
  groups: int = 1
  activation: str = 'relu'
  norm: bool = True
  use_bias: bool | None = None
  norm_momentum: float = 0.9
  norm_epsilon: float = 1e-5
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> jax.Array:
    """`b h w c` to `b h' w' features`; the rest is `BatchNorm`'s."""
    pads = self.padding
    if pads is None:
      pads = tuple((side - 1) // 2 for side in self.kernel)
    x = Conv(
      self.features,
      self.kernel,
      (self.stride, self.stride),
      padding=tuple((pad, pad) for pad in pads),
      groups=self.groups,
      use_bias=not self.norm if self.use_bias is None else self.use_bias,
      dtype=self.dtype,
      name='conv',
    )(x)
    if self.norm:
      x = BatchNorm(
        momentum=self.norm_momentum,
        epsilon=self.norm_epsilon,
        dtype=self.dtype,
        name='norm',
      )(x, train=train, mask=mask)
    return activation(self.activation)(x)


def conv_norm_of(model: nn.Module, **more) -> functools.partial:
  """`ConvNorm` with a model's momentum, epsilon and dtype.

  Args:
    model: has `norm_momentum`, `norm_epsilon` and `dtype`.
    **more: other attributes that all its layers have.
  """
  return functools.partial(
    ConvNorm,
    norm_momentum=model.norm_momentum,
    norm_epsilon=model.norm_epsilon,
    dtype=model.dtype,
    **more,
  )
