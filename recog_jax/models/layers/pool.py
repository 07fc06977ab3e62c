"""Pooling written so that its gradient is fast on the CPU too.

XLA's gradient of a windowed maximum is a select-and-scatter, which on the CPU
takes longer than the convolution before it. Here a window is a few shifted
views, whose elementwise maximum or sum has an elementwise gradient.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def _views(x, axis, size, stride, padding, ceil, fill):
  """For each place in a window along the axis, its value in all windows."""
  n = x.shape[axis]
  span = n + 2 * padding - size
  windows = (-(-span // stride) if ceil else span // stride) + 1
  if ceil and (windows - 1) * stride >= n + padding:
    windows -= 1  # As in torch, no window starts in the padding at the end.
  if windows < 1:
    raise ValueError(f'{n} positions are fewer than a window of {size}')
  pads = [(0, 0)] * x.ndim
  end = (windows - 1) * stride + size
  pads[axis] = (padding, max(end - n - padding, 0))
  if any(pads[axis]):
    x = jnp.pad(x, pads, constant_values=fill)
  last = (windows - 1) * stride + 1
  return [
    jax.lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(size)
  ]


def max_pool(
  x: jax.Array,
  size: int,
  stride: int | None = None,
  *,
  padding: int = 0,
  ceil: bool = False,
) -> jax.Array:
  """Maximum over square windows. Equal maxima share the gradient.

  Args:
    x: `b h w c`.
    size: side of the window.
    stride: between windows; the size, if None.
    padding: rows and columns on each side that never are the maximum.
    ceil: also windows that reach over the end (torch's `ceil_mode`); else what
      is left over is cut.

  Returns:
    `b h' w' c`.

  Raises:
    ValueError: an image smaller than a window.
  """
  for axis in (1, 2):
    views = _views(x, axis, size, stride or size, padding, ceil, -jnp.inf)
    x = functools.reduce(jnp.maximum, views)
  return x


def avg_pool(
  x: jax.Array, size: int, stride: int | None = None, *, padding: int = 0
) -> jax.Array:
  """Mean over square windows; zeros of the padding count.

  Args:
    x: `b h w c`.
    size: side of the window.
    stride: between windows; the size, if None.
    padding: rows and columns of zeros on each side.

  Returns:
    `b h' w' c`.

  Raises:
    ValueError: an image smaller than a window.
  """
  for axis in (1, 2):
    x = sum(_views(x, axis, size, stride or size, padding, False, 0))
  return x / size**2


def adaptive_avg_pool(x: jax.Array, size: int) -> jax.Array:
  """Mean over `size` by `size` regions that cover the image, as torch cuts it.

  Region i of n positions runs from floor(i n / size) to ceil((i + 1) n / size),
  so that regions overlap where size does not divide n, and repeat positions
  where n is smaller.

  Args:
    x: `b h w c`.
    size: regions along each side.

  Returns:
    `b size size c`.
  """
  for axis in (1, 2):
    n = x.shape[axis]
    if n == size:
      continue
    weights = np.zeros((n, size), np.float32)
    for i in range(size):
      region = slice(i * n // size, -(-(i + 1) * n // size))
      weights[region, i] = 1 / (region.stop - region.start)
    x = jnp.tensordot(x, weights.astype(x.dtype), (axis, 0))
    x = jnp.moveaxis(x, -1, axis)
  return x
