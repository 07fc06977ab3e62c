"""Pooling written so that its gradient is fast on the CPU too."""

import functools

import jax
import jax.numpy as jnp


def max_pool(x: jax.Array, size: int) -> jax.Array:
  """Maximum over windows that do not overlap; what is left over is cut.

  XLA's gradient of a windowed maximum is a select-and-scatter, which on the CPU
  takes longer than the convolution before it. Equal maxima share the gradient.

  Args:
    x: `b h w c`.
    size: side of the window, and the stride.

  Returns:
    `b h/size w/size c`.
  """
  h, w = (side // size * size for side in x.shape[1:3])
  x = functools.reduce(jnp.maximum, [x[:, i:h:size] for i in range(size)])
  return functools.reduce(jnp.maximum, [x[:, :, i:w:size] for i in range(size)])
