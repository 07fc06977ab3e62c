"""Convolutions over time that look back only, as keyword networks have them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.mask import length_mask
from recog_jax.models.layers.norm import BatchNorm


class CausalConv(nn.Module):
  """A convolution over time and frequency, BatchNorm and ReLU.

  Attributes:
    features: output channels.
    kernel: over time and frequency.
    strides: of both.
    groups: of channels.
    relu: whether there is a ReLU.
    same: whether frequencies are padded so that none is lost.
    dtype: of the computation.
  """

  features: int
  kernel: tuple[int, int]
  strides: tuple[int, int] = (1, 1)
  groups: int = 1
  relu: bool = True
  same: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b t f c` with int32 `b` frames to `b t' f' features`."""
    time, band = self.kernel
    sides = ((band - 1) // 2, band // 2) if self.same else (0, 0)
    x = Conv(
      self.features,
      self.kernel,
      self.strides,
      padding=((time - 1, 0), sides),
      groups=self.groups,
      dtype=self.dtype,
      name='conv',
    )(x)
    left = strided(frame_len, self.strides[0])
    mask = length_mask(left, x.shape[1])
    x = BatchNorm(dtype=self.dtype, name='norm')(x, train=train, mask=mask)
    return nn.relu(x) if self.relu else x


def strided(count: Any, stride: int) -> Any:
  """Frames that a causal convolution leaves of some; integers or arrays."""
  if isinstance(count, jax.Array):
    # Not `//`: its sign needs a remainder, which ONNX has of known shapes only.
    return lax.div(count + (stride - 1), jnp.asarray(stride, count.dtype))
  return -(-count // stride)
