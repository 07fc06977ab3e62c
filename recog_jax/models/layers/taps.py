"""What each place of a convolution's kernel sees of an image."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def taps(
  x: jax.Array,
  kernel_size: Sequence[int],
  strides: Sequence[int],
  pads: Sequence[tuple[int, int]],
) -> list[jax.Array]:
  """For each kernel tap the strided view of x that it multiplies.

  Args:
    x: `b h w c`.
    kernel_size: height and width.
    strides: vertical, horizontal.
    pads: ((top, bottom), (left, right)) rows and columns of zeros.

  Returns:
    `b h' w' c` for each tap, row by row.
  """
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
  (kh, kw), (sh, sw) = kernel_size, strides
  h, w = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
  return [
    x[:, i : i + sh * (h - 1) + 1 : sh, j : j + sw * (w - 1) + 1 : sw]
    for i in range(kh)
    for j in range(kw)
  ]
