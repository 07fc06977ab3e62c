"""The gradient of a private step: clipped row by row, summed, and noised.

See `engine.privacy`. What a row adds depends on itself alone: it is run as a
batch of its own, its dropout is drawn by its number, and a row without a finite
gradient adds nothing. So the sum is the same over any number of devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from recog_jax.tasks.base import Batch, Terms

# (params, batch of one row, rngs) -> (its loss, terms)
Objective = Callable[[Any, Batch, dict[str, jax.Array]], tuple[Any, Terms]]


class Private(NamedTuple):
  """What a private step does.

  Attributes:
    clip: the norm to which each row's gradient is clipped.
    noise: standard deviation of the noise of the sum, in multiples of `clip`.
    batch_size: rows of a step on average, by which the sum is divided.
    parts: in which a batch is run, one after another.
  """

  clip: float
  noise: float
  batch_size: float
  parts: int


def clipped(tree: Any, clip: float, counts: jax.Array) -> tuple[Any, jax.Array]:
  """What one unit adds to a sum, and the norm that it had.

  Args:
    tree: its gradient, or its change of the weights.
    clip: the norm that is left at most.
    counts: bool, False where nothing is added; nor is what is not finite.
  """
  norm = optax.global_norm(tree)
  kept = counts & jnp.isfinite(norm)
  factor = clip / jnp.maximum(norm, clip)
  return jax.tree.map(lambda x: jnp.where(kept, x * factor, 0), tree), norm


def with_noise(
  total: Any, scale: float, key: jax.Array, still: Any = None
) -> Any:
  """A sum with Gaussian noise.

  Args:
    total: a tree.
    scale: standard deviation of the noise.
    key: of which each leaf has its own.
    still: a tree of bools, True where a leaf gets none; None: all do.
  """
  leaves, tree = jax.tree.flatten(total)
  held = [False] * len(leaves) if still is None else jax.tree.leaves(still)
  keys = jax.random.split(key, len(leaves))
  return jax.tree.unflatten(
    tree,
    [
      x if left else x + scale * jax.random.normal(k, x.shape, x.dtype)
      for x, k, left in zip(leaves, keys, held, strict=True)
    ],
  )


def clipped_sums(
  objective: Objective,
  private: Private,
  params: Any,
  batch: Batch,
  key: jax.Array,
) -> tuple[Any, jax.Array, Terms]:
  """Sums over the valid rows of a batch.

  Args:
    objective: of one row.
    private: see `Private`.
    params: of the model.
    batch: `b` rows, which divide into the parts.
    key: of dropout; a row's own follows from its `index`.

  Returns:
    The sum of the clipped gradients; the sum of the losses; and the sums of the
    terms, with `clipped`: how many gradients were above the clip, of how many.
  """

  def one(row):
    alone = jax.tree.map(lambda x: x[None], row)
    rngs = {'dropout': jax.random.fold_in(key, row['index'])}
    (loss, terms), grads = jax.value_and_grad(objective, has_aux=True)(
      params, alone, rngs
    )
    grads, norm = clipped(grads, private.clip, row['valid'])
    valid = row['valid'].astype(jnp.float32)
    above = valid * (norm > private.clip)
    terms = {**terms, 'clipped': (above, valid)}
    return grads, jnp.where(row['valid'], loss, 0), terms

  def part(sums, rows):
    found = jax.tree.map(lambda x: jnp.sum(x, 0), jax.vmap(one)(rows))
    return jax.tree.map(jnp.add, sums, found), None

  # Strided, so that a batch over devices stays divided in each part.
  rows = jax.tree.map(
    lambda x: jnp.swapaxes(
      x.reshape(x.shape[0] // private.parts, private.parts, *x.shape[1:]), 0, 1
    ),
    dict(batch),
  )
  like = jax.eval_shape(one, jax.tree.map(lambda x: x[0, 0], rows))
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
  (grads, loss, terms), _ = jax.lax.scan(part, zeros, rows)
  return grads, loss, terms


def noised(private: Private, sums: Any, key: jax.Array, frozen: Any) -> Any:
  """The private gradient: sums over all devices, noised, then divided.

  Args:
    private: see `Private`.
    sums: of the clipped gradients.
    key: of this step's noise, the same on all devices.
    frozen: a tree of bools, True where nothing is trained; None: all is.
  """
  total = with_noise(sums, private.clip * private.noise, key, frozen)
  return jax.tree.map(lambda g: g / private.batch_size, total)
