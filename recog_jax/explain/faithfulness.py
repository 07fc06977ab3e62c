"""Whether an explanation says what the model does.

A map may please the eye and have nothing to do with the model (Adebayo et al.,
"Sanity checks for saliency maps", NeurIPS 2018, arXiv:1810.03292): here it is
measured against random maps, against edges, and against other weights.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
import scipy.stats

from recog_jax.explain.gradients import Score, noisy


def curves(
  score: Score,
  x: jax.Array,
  heat: jax.Array,
  baseline: jax.Array,
  *,
  steps: int = 20,
  insert: bool = False,
) -> jax.Array:
  """Scores while the places of an input are replaced, the highest first.

  Petsiuk et al., 2018 (arXiv:1806.07421).

  Args:
    score: see `gradients`; as a rule a probability.
    x: float `b h w ...`.
    heat: `b h w`; of two that are equal the first in the row goes first.
    baseline: what stands where a place is deleted, broadcast to x.
    steps: that all places are replaced in.
    insert: begins with the baseline and inserts the input.

  Returns:
    float32 `b (steps + 1)`, from nothing to everything replaced. The mean over
    the steps, by `area`, is low where deletion finds what matters, and high
    where insertion does.
  """
  b, h, w = heat.shape
  order = jnp.argsort(-heat.reshape(b, -1), axis=1, stable=True)
  rank = jnp.argsort(order, axis=1).reshape(b, h, w, *(1,) * (x.ndim - 3))
  start, end = (baseline, x) if insert else (x, baseline)

  def at(count):
    return score(jnp.where(rank < count, end, start))

  counts = np.rint(np.linspace(0, h * w, steps + 1)).astype(np.int32)
  return jax.lax.map(at, jnp.asarray(counts)).T


def area(values: Any) -> np.ndarray:
  """The area under curves `b n`, by the trapezoid rule: `b`."""
  return np.trapezoid(np.asarray(values), dx=1 / (np.shape(values)[1] - 1))


def random_heat(shape: tuple[int, ...], seed: int) -> np.ndarray:
  """The control that knows nothing: `b h w`."""
  return np.random.default_rng(seed).random(shape, np.float32)


def edges(x: Any) -> np.ndarray:
  """The control that knows the picture alone: Sobel's edges.

  Args:
    x: float `b h w c`, or `b h w`.

  Returns:
    float `b h w`, the length of the gradient, summed over channels.
  """
  x = np.asarray(x, np.float64)
  x = x[..., None] if x.ndim == 3 else x
  down, along = (
    scipy.ndimage.sobel(x, axis, mode='nearest') for axis in (1, 2)
  )
  return np.hypot(down, along).sum(-1)


def rank_correlation(a: Any, b: Any) -> np.ndarray:
  """Spearman's, between maps `b ...`: float `b`; 0 where one is constant."""
  a, b = (scipy.stats.rankdata(_rows(x), axis=1) for x in (a, b))
  a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
  below = np.sqrt((a**2).sum(1) * (b**2).sum(1))
  return np.where(below > 0, (a * b).sum(1) / np.maximum(below, 1e-12), 0.0)


def _rows(x: Any) -> np.ndarray:
  x = np.asarray(x, np.float64)
  return x.reshape(len(x), -1)


def randomised(
  params: Any, seed: int, keep: Callable[[str], bool] | None = None
):
  """Weights that were never trained: those of each array in another order.

  A network of these has the same layers and the same distribution of weights,
  and knows nothing. Arrays of one value, such as scales that are all 1, stay.

  Args:
    params: a tree of arrays.
    seed: of the order.
    keep: by the path of an array, whether it stays as it is; None: none does.
  """
  generator = np.random.default_rng(seed)

  def leaf(path, x):
    name = '/'.join(str(getattr(p, 'key', p)) for p in path)
    x = np.asarray(x)
    mixed = generator.permutation(x.reshape(-1)).reshape(x.shape)
    return x if keep is not None and keep(name) else mixed

  return jax.tree_util.tree_map_with_path(leaf, params)


def stability(
  explain: Callable[[jax.Array], jax.Array],
  x: jax.Array,
  key: jax.Array,
  *,
  samples: int = 8,
  noise: float = 0.02,
) -> np.ndarray:
  """How much of a map is left where the input is moved by little.

  Args:
    explain: inputs `b ...` -> maps `b ...`.
    x: the inputs.
    key: of the noise.
    samples: noisy inputs.
    noise: deviation, as a share of each input's range.

  Returns:
    float `b`, the lowest rank correlation of the maps of the noisy inputs with
    that of the input itself; 1 is as stable as can be.
  """
  own = explain(x)
  found = []
  for each in jax.random.split(key, samples):
    moved = noisy(x, each, noise)
    found.append(rank_correlation(own, explain(moved)))
  return np.min(found, 0)
