"""Magnitude pruning while a model is trained: small weights become zero.

Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for
model compression", 2017 (arXiv:1710.01878): the share of zeros rises from 0 to
the final sparsity s along s (1 - (1 - x)^3), x going from 0 to 1 between two
steps of the training. What is zero stays zero.

The masks are part of the optimizer's state, so that a checkpoint has them, and
a run that was killed goes on with the very same ones. When they change depends
on the step alone, and what they become on the weights alone.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from recog_jax.engine.paths import check_used, make_mask
from recog_jax.errors import UserError
from recog_jax.ranges import Range, Share, Size

_WHERE = 'config.prune'


class Pruning(NamedTuple):
  """A plan: what `make_pruning` read from the keys.

  Attributes:
    sparsity: the final share of zeros among the targets.
    first: the optimizer step after which the first weights are removed.
    last: the step after which the last ones are.
    every: steps between two changes of the masks.
    layerwise: whether every leaf has the same sparsity, and not all together.
    targets: a tree of bools like the parameters.
  """

  sparsity: float
  first: int
  last: int
  every: int
  layerwise: bool
  targets: Any


class State(NamedTuple):
  """Of the transformation.

  Attributes:
    count: int32, updates done.
    masks: bool, like the parameters: False where a weight is removed. All True
      where a leaf is none of the targets.
    inner: state of the optimizer.
  """

  count: jax.Array
  masks: Any
  inner: Any


def make_pruning(
  params: Any,
  *,
  total_steps: Size,
  sparsity: Annotated[float, Range(0, 1, below=True)] = 0.8,
  begin: Share = 0.1,
  end: Share = 0.7,
  every: Size | None = None,
  scope: Literal['global', 'layer'] = 'global',
  targets: str | Sequence[str] = '.*kernel',
) -> Pruning:
  """Reads `config.prune`.

  Args:
    params: the parameters or their shapes; only paths and ranks are read.
    total_steps: the run's.
    sparsity: share of the targets' weights that are zero at the end, in [0, 1).
    begin: share of the steps after which pruning begins.
    end: share of the steps after which nothing is removed any more; the rest of
      the training mends what is left.
    every: steps between two changes; by default a fiftieth of the way.
    scope: 'global' removes the smallest of all weights together; 'layer' the
      same share of every parameter.
    targets: regexes for whole parameter paths.

  Raises:
    UserError: a pattern that matches nothing, or an end before the begin.
  """
  if end < begin:
    raise UserError(
      f'{_WHERE}: end={end} lies before begin={begin}: both are shares of the '
      'steps of the training'
    )
  check_used(targets, params, f'{_WHERE}.targets')
  first, last = round(begin * total_steps), round(end * total_steps)
  chosen = make_mask(targets)(params)
  return Pruning(
    sparsity=float(sparsity),
    first=first,
    last=last,
    every=every or max(1, (last - first) // 50),
    layerwise=scope == 'layer',
    targets=chosen,
  )


def sparsity_at(plan: Pruning, step: jax.Array | int) -> jax.Array:
  """The share of zeros that is asked for after a step; equation 1."""
  way = (jnp.asarray(step, jnp.float32) - plan.first) / max(
    plan.last - plan.first, 1
  )
  if plan.last == plan.first:
    way = jnp.where(jnp.asarray(step) >= plan.first, 1.0, 0.0)
  return plan.sparsity * (1 - (1 - jnp.clip(way, 0, 1)) ** 3)


def due(plan: Pruning, step: jax.Array | int) -> jax.Array:
  """Whether the masks change after a step; they do after the last one."""
  step = jnp.asarray(step)
  inside = (step >= plan.first) & (step <= plan.last)
  return inside & (
    ((step - plan.first) % plan.every == 0) | (step == plan.last)
  )


def masks_of(plan: Pruning, params: Any, masks: Any, share: jax.Array) -> Any:
  """The masks that remove a share of the targets' smallest weights.

  Args:
    plan: says which they are.
    params: the weights; those removed before are zero, and go first.
    masks: what was left so far; nothing comes back.
    share: float scalar in [0, 1).
  """
  leaves, tree = jax.tree.flatten(params)
  chosen, kept = jax.tree.leaves(plan.targets), jax.tree.leaves(masks)
  sizes = [
    jnp.abs(w * m).ravel()
    for w, m, c in zip(leaves, kept, chosen, strict=True)
    if c
  ]
  if plan.layerwise:
    bounds = iter([_bound(w, share) for w in sizes])
  else:
    bound = _bound(jnp.concatenate(sizes), share)
    bounds = iter([bound] * len(sizes))
  new = [
    m & (jnp.abs(w) > next(bounds)) if c else m
    for w, m, c in zip(leaves, kept, chosen, strict=True)
  ]
  return jax.tree.unflatten(tree, new)


def _bound(sizes: jax.Array, share: jax.Array) -> jax.Array:
  """The largest of the smallest `share` of some numbers; -1 for none."""
  count = jnp.floor(share * sizes.size + 1e-3).astype(jnp.int32)
  ordered = jnp.sort(sizes)
  return jnp.where(count > 0, ordered[jnp.maximum(count - 1, 0)], -1.0)


def prune(
  tx: optax.GradientTransformation, plan: Pruning
) -> optax.GradientTransformation:
  """An optimizer whose updates keep removed weights at exactly zero.

  Removed weights get no gradient, so that they fill no momentum.

  Args:
    tx: the optimizer.
    plan: see `make_pruning`.
  """

  def init(params: Any) -> State:
    masks = jax.tree.map(lambda p: jnp.ones(p.shape, bool), params)
    return State(jnp.zeros((), jnp.int32), masks, tx.init(params))

  def update(grads: Any, state: State, params: Any = None) -> tuple[Any, State]:
    if params is None:
      raise ValueError('pruning needs the parameters')
    grads = _masked(state.masks, grads)
    updates, inner = tx.update(grads, state.inner, params)
    moved = optax.apply_updates(params, updates)
    count = state.count + 1
    masks = jax.lax.cond(
      due(plan, count),
      lambda: masks_of(plan, moved, state.masks, sparsity_at(plan, count)),
      lambda: state.masks,
    )
    updates = jax.tree.map(
      lambda m, u, p: jnp.where(m, u, -p), masks, updates, params
    )
    return updates, State(count, masks, inner)

  return optax.GradientTransformation(init, update)


def _masked(masks: Any, tree: Any) -> Any:
  return jax.tree.map(lambda m, x: jnp.where(m, x, 0), masks, tree)


def applied(opt_state: Any, params: Any) -> Any:
  """The parameters with zeros where they are removed, for example averages."""
  if not isinstance(opt_state, State):
    return params
  return _masked(opt_state.masks, params)


def zeros_of(plan: Pruning, opt_state: State) -> tuple[jax.Array, jax.Array]:
  """Removed weights and all weights of the targets, float32 scalars."""
  chosen = jax.tree.leaves(plan.targets)
  masks = [
    m
    for m, c in zip(jax.tree.leaves(opt_state.masks), chosen, strict=True)
    if c
  ]
  total = sum(math.prod(m.shape) for m in masks)
  kept = sum(jnp.sum(m, dtype=jnp.float32) for m in masks)
  return total - kept, jnp.asarray(total, jnp.float32)
