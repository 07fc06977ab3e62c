"""Depthwise convolution over images, in a form that is fast on the CPU.

XLA's CPU compiler has no fast routine for as many groups as channels; see
`depthwise`, which is the same over time.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.models.layers.taps import taps


def _weighted_sum(x, kernel, strides, pads):
  views = taps(x, kernel.shape[:2], strides, pads)
  weights = kernel.reshape(-1, kernel.shape[-1])
  return sum(view * weight for view, weight in zip(views, weights, strict=True))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv2d(
  x: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int],
  pads: tuple[tuple[int, int], tuple[int, int]],
) -> jax.Array:
  """Convolves each channel of `b h w c` with its own kernel.

  Args:
    x: `b h w c`.
    kernel: `kh kw 1 c`.
    strides: vertical, horizontal.
    pads: ((top, bottom), (left, right)) rows and columns of zeros.

  Returns:
    `b h' w' c`.
  """
  return _weighted_sum(x, kernel, strides, pads)


def _fwd(x, kernel, strides, pads):
  return depthwise_conv2d(x, kernel, strides, pads), (x, kernel)


def _bwd(strides, pads, saved, dy):
  x, kernel = saved
  sides, c = kernel.shape[:2], kernel.shape[-1]
  size = dy.shape[1:3]
  # The gradient of x is the convolution of dy, spread out by the strides, with
  # the kernel turned round.
  edges = []
  for n, k, s, pad, out in zip(
    x.shape[1:3], sides, strides, pads, size, strict=True
  ):
    low = k - 1 - pad[0]
    spread = (out - 1) * s + 1
    edges.append((low, n + k - 1 - low - spread, s - 1))
  zero = jnp.zeros((), dy.dtype)
  spread = lax.pad(dy, zero, [(0, 0, 0), *edges, (0, 0, 0)])
  dx = _weighted_sum(spread, kernel[::-1, ::-1], (1, 1), ((0, 0), (0, 0)))

  # Image by image, what is added up stays in the cache.
  def add_row(total, row):
    x, dy = (a.astype(jnp.float32)[None] for a in row)
    views = taps(x, sides, strides, pads)
    parts = [jnp.sum(view * dy, (0, 1, 2)) for view in views]
    return total + jnp.stack(parts), None

  zeros = jnp.zeros((sides[0] * sides[1], c), jnp.float32)
  total, _ = lax.scan(add_row, zeros, (x, dy))
  return dx, total.reshape(kernel.shape).astype(kernel.dtype)


depthwise_conv2d.defvjp(_fwd, _bwd)
