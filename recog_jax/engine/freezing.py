"""Which parameters are trained, and from which step on.

A frozen parameter gets no gradient, no weight decay and no optimizer state, and
its running statistics are held: a module whose parameters are all frozen runs
as in evaluation, so that its BatchNorm normalises by the statistics that its
weights were trained with, and its dropout is off.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from recog_jax.engine import paths
from recog_jax.errors import UserError, unknown_name

NEVER = -1  # A step from which on something frozen for good is trained.
_KEYS = ('params', 'all_but_last', 'from_step', 'from_epoch')
_WHERE = 'config.freeze'


@dataclasses.dataclass(frozen=True)
class Freezing:
  """The plan of a run.

  Attributes:
    trained_from: a tree like the parameters: the step from which on a leaf is
      trained, 0 for most of them, or NEVER.
    starts: the steps at which the set of frozen leaves changes; 0 is first.
  """

  trained_from: Any
  starts: tuple[int, ...]

  def start_of(self, step: int) -> int:
    """When the phase of the step number `step`, counted from 0, began."""
    return max(s for s in self.starts if s <= step)

  @property
  def never(self) -> Any:
    """A tree of bools: the leaves that are held in every phase."""
    return jax.tree.map(lambda s: s == NEVER, self.trained_from)

  def frozen(self, start: int) -> Any:
    """A tree of bools: the leaves that do not change in a phase."""
    return jax.tree.map(lambda s: s == NEVER or s > start, self.trained_from)


def nothing_frozen(params: Any) -> Freezing:
  """Every leaf is trained from the first step on."""
  return Freezing(jax.tree.map(lambda _: 0, params), (0,))


def make_freezing(
  spec: Any,
  params: Any,
  *,
  stages: Sequence[str] | None,
  steps_per_epoch: float | None = None,
) -> Freezing:
  """Reads `config.freeze`.

  It is a list of regexes for whole parameter paths; or a dict with one of
    params: such a list,
    all_but_last: a number of stages of the model that are trained; 1 is the
      head alone;
  or, to unfreeze in stages (Howard and Ruder, "Universal language model
  fine-tuning for text classification", ACL 2018), a list of such dicts, each
  with from_step or from_epoch, from which on it holds. A leaf's optimizer
  state begins when it is unfrozen.

  Args:
    spec: the config's value; empty freezes nothing.
    params: the parameters or their shapes.
    stages: the model's, from its input to its head: regexes for the begin of
      parameter paths; None if it has none.
    steps_per_epoch: for from_epoch.

  Raises:
    UserError: a pattern that matches nothing, a model without stages, a leaf
      that would be frozen later than it is trained, or nothing to train.
  """
  phases = [
    _read_phase(keys, params, stages, steps_per_epoch)
    for keys in _as_phases(spec)
  ]
  if not phases:
    return nothing_frozen(params)
  phases.sort(key=lambda phase: phase[0])
  starts = tuple(start for start, _ in phases)
  if starts[0] != 0 or len({*starts}) < len(starts):
    raise UserError(
      f'{_WHERE}: its phases begin at the steps {list(starts)}: the first one '
      'must begin at 0, and no two at the same step'
    )
  names = paths.path_names(params)
  frozen = [jax.tree.leaves(mask) for _, mask in phases]
  trained_from = []
  for i, name in enumerate(names):
    still = [leaves[i] for leaves in frozen]
    if still != sorted(still, reverse=True):
      raise UserError(
        f'{_WHERE}: {name} would be trained first and frozen later: freeze in '
        'a phase only what was frozen in the one before'
      )
    thawed = still.count(True)
    trained_from.append(NEVER if thawed == len(starts) else starts[thawed])
  _check_some(trained_from)
  tree = jax.tree.unflatten(jax.tree.structure(params), trained_from)
  return Freezing(tree, starts)


def with_held(plan: Freezing, held: Any) -> Freezing:
  """The plan of a model that holds some of its parameters for good.

  Args:
    plan: of `config.freeze`.
    held: a tree of bools like the parameters.

  Raises:
    UserError: together they leave nothing to train.
  """
  tree = jax.tree.map(lambda s, h: NEVER if h else s, plan.trained_from, held)
  _check_some(tree)
  return dataclasses.replace(plan, trained_from=tree)


def _check_some(trained_from: Any) -> None:
  if 0 not in jax.tree.leaves(trained_from):
    raise UserError(
      f'{_WHERE} freezes every parameter: nothing would be learnt'
    )


def _as_phases(spec: Any) -> list[Mapping[str, Any]]:
  if isinstance(spec, Mapping):
    return [spec]
  if isinstance(spec, str):
    return [{'params': (spec,)}]
  spec = list(spec or ())
  if spec and all(isinstance(part, str) for part in spec):
    return [{'params': spec}]
  if not all(isinstance(part, Mapping) for part in spec):
    raise UserError(
      f'{_WHERE} is a list of regexes for parameter paths, or of dicts with '
      f'the keys {", ".join(_KEYS)}'
    )
  return spec


def _read_phase(keys, params, stages, steps_per_epoch) -> tuple[int, Any]:
  """When it begins, and a tree of bools: what it freezes."""
  for key in keys:
    if key not in _KEYS:
      raise unknown_name(f'key of {_WHERE}', key, _KEYS)
  if {'params', 'all_but_last'} <= {*keys} or {'from_step', 'from_epoch'} <= {
    *keys
  }:
    raise UserError(
      f'{_WHERE}: say params or all_but_last, and from_step or from_epoch, '
      'not both'
    )
  start = keys.get('from_step', 0)
  if 'from_epoch' in keys:
    start = round(keys['from_epoch'] * steps_per_epoch)
  if 'all_but_last' in keys:
    return start, _first_stages(keys['all_but_last'], params, stages)
  patterns = keys.get('params', ())
  paths.check_used(patterns, params, _WHERE)
  return start, paths.make_mask(patterns)(params)


def _first_stages(count: int, params: Any, stages) -> Any:
  numbers = stage_numbers(stages, params, f'{_WHERE}.all_but_last')
  if not 1 <= count <= len(stages):
    raise UserError(
      f'{_WHERE}.all_but_last={count}: the model has {len(stages)} stages '
      f'({", ".join(stages)}); at least one is trained'
    )
  return jax.tree.map(lambda i: i < len(stages) - count, numbers)


def stage_numbers(stages: Sequence[str] | None, params: Any, where: str) -> Any:
  """The stage of each leaf, 0 at the model's input.

  Raises:
    UserError: the model has no stages.
  """
  if not stages:
    raise UserError(
      f'{where}: this model does not say what its stages are; give patterns '
      'of parameter paths instead'
    )
  found = paths.match_tree([f'(?:{s})(/.*)?' for s in stages], params)
  for name, i in zip(
    paths.path_names(params), jax.tree.leaves(found), strict=True
  ):
    if i < 0:
      raise ValueError(f'{name} belongs to none of the stages {stages}')
  return found


def make_hold(frozen: Any) -> Callable[..., Any]:
  """An interceptor for `flax.linen.intercept_methods`.

  Modules whose parameters are all frozen are called with train=False.

  Args:
    frozen: a tree of bools like the parameters.
  """
  still: dict[tuple[str, ...], bool] = {}
  leaves, _ = jax.tree_util.tree_flatten_with_path(frozen)
  for path, value in leaves:
    parts = tuple(paths.path_name(path).split('/'))
    for n in range(len(parts)):
      still[parts[:n]] = still.get(parts[:n], True) and value

  def hold(call, args, kwargs, context):
    if kwargs.get('train') and still.get(context.module.path, False):
      kwargs = {**kwargs, 'train': False}
    return call(*args, **kwargs)

  return hold


def keep_frozen(frozen: Any, old: Any, new: Any) -> Any:
  """`new`, with the frozen leaves of `old`."""
  return jax.tree.map(lambda f, a, b: a if f else b, frozen, old, new)


def carry_over(old: Any, fresh: Any) -> Any:
  """The optimizer state of a new phase.

  Args:
    old: that of the phase before.
    fresh: the state that the new phase's optimizer would begin with.

  Returns:
    `fresh`, with all leaves that `old` has: what is unfrozen begins anew.
  """
  leaves, _ = jax.tree_util.tree_flatten_with_path(old)
  kept = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: kept.get(jax.tree_util.keystr(path), leaf), fresh
  )
