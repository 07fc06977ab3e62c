"""Explanations by what a score loses where the input is covered.

They need no gradient, and so fit any model.
"""

import math

import jax
import jax.numpy as jnp

from recog_jax.explain.gradients import Score


def rise(
  score: Score,
  x: jax.Array,
  baseline: jax.Array,
  key: jax.Array,
  *,
  masks: int = 512,
  cells: int = 7,
  share: float = 0.5,
) -> jax.Array:
  """RISE (Petsiuk et al., 2018, arXiv:1806.07421).

  The mean of random masks, each weighted by the score of what it leaves. The
  mean score is taken off first, which changes no map but its noise.

  Args:
    score: see `gradients`.
    x: float `b h w ...`.
    baseline: what is seen where a mask covers, broadcast to x.
    key: of the masks, which are the same for all rows.
    masks: how many there are, one after another.
    cells: of a mask along each axis before it is enlarged, at most one a place.
    share: of the cells that are left.

  Returns:
    float32 `b h w`.
  """
  size = x.shape[1:3]
  grid = tuple(min(cells, n) for n in size)
  # A cell, so that masks can be moved by less than one.
  step = tuple(math.ceil(n / g) for n, g in zip(size, grid, strict=True))
  large = tuple((g + 1) * s for g, s in zip(grid, step, strict=True))
  more = (1,) * (x.ndim - 3)

  def add(carry, key):
    total, scores, weight = carry
    cell, move = jax.random.split(key)
    small = jax.random.uniform(cell, (grid[0] + 1, grid[1] + 1)) < share
    mask = jax.image.resize(small.astype(x.dtype), large, 'linear')
    at = jax.random.randint(move, (2,), 0, jnp.array(step))
    mask = jax.lax.dynamic_slice(mask, (at[0], at[1]), size)
    seen = mask.reshape(1, *size, *more)
    value = score(baseline + seen * (x - baseline))
    total = total + value[:, None, None] * mask
    return (total, scores + value, weight + mask), None

  start = (
    jnp.zeros((len(x), *size)),
    jnp.zeros(len(x)),
    jnp.zeros(size),
  )
  (total, scores, weight), _ = jax.lax.scan(
    add, start, jax.random.split(key, masks)
  )
  mean = (scores / masks)[:, None, None]
  return (total - mean * weight) / jnp.maximum(weight, 1e-6)


def occlusion(
  score: Score,
  x: jax.Array,
  baseline: jax.Array,
  *,
  window: tuple[int, int],
  stride: tuple[int, int],
) -> jax.Array:
  """What the score loses where a window is covered (Zeiler and Fergus, 2014).

  Args:
    score: see `gradients`.
    x: float `b h w ...`.
    baseline: what is seen in the window, broadcast to x.
    window: its rows and columns.
    stride: from one window to the next.

  Returns:
    float32 `b h w`, the mean over the windows that cover a place.
  """
  size = x.shape[1:3]
  # The last window ends with the input.
  tops, lefts = (
    sorted({*range(0, max(n - w, 0) + 1, s), max(n - w, 0)})
    for n, w, s in zip(size, window, stride, strict=True)
  )
  places = jnp.array([(t, left) for t in tops for left in lefts], jnp.int32)
  rows, columns = (jnp.arange(n) for n in size)
  whole = score(x)
  more = (1,) * (x.ndim - 3)

  def add(carry, place):
    total, times = carry
    covered = (rows >= place[0]) & (rows < place[0] + window[0])
    covered = covered[:, None] & (
      (columns >= place[1]) & (columns < place[1] + window[1])
    )
    seen = jnp.where(covered.reshape(1, *size, *more), baseline, x)
    lost = whole - score(seen)
    here = covered.astype(x.dtype)
    return (total + lost[:, None, None] * here, times + here), None

  start = (jnp.zeros((len(x), *size)), jnp.zeros(size))
  (total, times), _ = jax.lax.scan(add, start, places)
  return total / jnp.maximum(times, 1)
