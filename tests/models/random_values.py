"""Values for a model's variables under which no layer hides."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def random_like(
  shapes: Any, *, spread: float | None = None, seed: int = 1
) -> Any:
  """Random values of every variable, biases and statistics too.

  Zeros and ones, with which most parameters begin, would leave a layer that is
  missing or wrong unseen. Scales and variances are positive, around one.

  Args:
    shapes: a tree as of `jax.eval_shape`, by the variables' names.
    spread: standard deviation of all others; None for what keeps the size of a
      signal through ReLUs in kernels (He et al., 2015), and 1 elsewhere.
    seed: of the draws.
  """
  draw = np.random.default_rng(seed)

  def values(path, leaf):
    x = draw.standard_normal(leaf.shape)
    name = path[-1].key
    if name in ('scale', 'var'):
      x = 0.5 + np.abs(x if spread is None else spread * x)
    elif spread is not None:
      x = spread * x
    elif name == 'kernel':
      x = x * np.sqrt(2 / np.prod(leaf.shape[:-1]))
    return jnp.asarray(x, jnp.float32)

  return jax.tree_util.tree_map_with_path(values, shapes)
