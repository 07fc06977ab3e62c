"""The optimizer: any of optax by name, with decay, clipping, freezing, groups.

What happens to a gradient, in this order: leaves that are frozen get none;
all others are clipped by their common norm; then each group of parameters goes
through its own optimizer, with its weight decay and its learning rate.
"""

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from recog_jax import ranges, registry
from recog_jax.engine import freezing as freezing_lib
from recog_jax.engine import paths
from recog_jax.engine.schedule import Schedule, check_keys, make_schedule
from recog_jax.errors import UserError
from recog_jax.ranges import NotNegative, Positive, Range, Rate, Size
from recog_jax.signatures import keys_of

# Of optax's optimizers these do not fit a step that has one gradient and a
# learning rate for each update.
_UNFIT = {
  'dpsgd': 'needs the gradient of every example',
  'lbfgs': 'needs to evaluate the loss again within a step',
  'momo': 'needs the loss itself',
  'momo_adam': 'needs the loss itself',
  'polyak_sgd': 'needs the loss itself',
  'noisy_sgd': 'needs random numbers of its own',
  'sophia': 'needs an estimate of the Hessian',
  'schedule_free': 'evaluates other parameters than it trains',
  'schedule_free_adamw': 'evaluates other parameters than it trains',
  'schedule_free_sgd': 'evaluates other parameters than it trains',
  'optimistic_adam': 'takes no schedule (optimistic_adam_v2 does)',
  'rprop': 'takes no schedule',
  'sm3': 'takes no schedule',
}

# Keywords of optax's that are set here, or that no config can hold.
_OURS = frozenset(
  {
    'learning_rate',
    'weight_decay',
    'weight_decay_mask',
    'weight_decay_rate',
    'adam_weight_decay',
    'mask',
    'trust_ratio_mask',
    'muon_weight_dimension_numbers',
  }
)
# Of optax's keywords, which say no ranges themselves.
_RATES = ('momentum', 'b1', 'b2', 'b3', 'beta', 'decay', 'rho')
_RANGES: Mapping[str, Any] = {
  **dict.fromkeys((*_RATES, 'adam_b1', 'adam_b2'), Rate),
  **dict.fromkeys(('eps', 'eps_root', 'adam_eps_root'), NotNegative),
  **dict.fromkeys(('initial_scale', 'initial_accumulator_value'), NotNegative),
  'weight_decay': NotNegative,
}
# What is no key of config.optimizer.
GIVEN = _OURS - {'learning_rate', 'weight_decay'} | {
  'params',
  'total_steps',
  'steps_per_epoch',
  'schedule',
  'stages',
  'freezing',
  'start',
  'where',
  'rate',
}


def make_optimizer(
  params: Any,
  *,
  total_steps: Size,
  steps_per_epoch: float | None = None,
  name: str,
  learning_rate: NotNegative,
  schedule: Mapping[str, Any] | None = None,
  clip_norm: Positive | None = None,
  groups: Sequence[Mapping[str, Any]] = (),
  layer_decay: Annotated[float, Range(0, 1, above=True)] | None = None,
  stages: Sequence[str] | None = None,
  freezing: freezing_lib.Freezing | None = None,
  start: int = 0,
  **options: Any,
) -> tuple[optax.GradientTransformation, Schedule]:
  """The gradient transformation of a run and its learning-rate schedule.

  Weight decay has two forms, and which one is meant must be said. `coupled`
  adds weight_decay * p to the gradient before the optimizer sees it (L2
  regularisation; what torch's SGD and Adam do). `decoupled` subtracts
  learning_rate(t) * weight_decay * p after it (Loshchilov and Hutter, AdamW,
  ICLR 2019; the learning rate is that of the schedule, as in torch and optax).
  In LAMB the decoupled term enters before the trust ratio, as its paper has it.
  Decay spares leaves of rank below two, that is norms and biases, unless
  `weight_decay_params` says otherwise. optax's own defaults for decay (1e-4 for
  adamw, 1e-3 for lion) do not apply: it is 0 unless given.

  A group is a dict with these keys; groups are tried in their order, and what
  none of them matches takes the main optimizer:
    pattern: regex for whole parameter paths, for example 'stem/.*'.
    learning_rate_scale: multiplies the schedule (1).
    name: another optimizer; the group's keys are then all that it gets.
      Without, they are added to those of the main optimizer.
    and any of the keys in `options` below.

  `muon` (Jordan et al., "Muon: An optimizer for hidden layers in neural
  networks", 2024) takes a leaf of rank two and more as a matrix of all axes
  but the last by the last, which is right for dense and convolution kernels;
  optax gives vectors to AdamW.

  Args:
    params: the parameters or their shapes; only paths and ranks are read.
    total_steps: the schedule's horizon, in updates.
    steps_per_epoch: for durations that a config gives in epochs.
    name: an optimizer of `optax` or `optax.contrib`, or a user's own: called
      with learning_rate=(t -> rate) and the other keys.
    learning_rate: the schedule's peak.
    schedule: the keys of `make_schedule`; constant by default.
    clip_norm: the largest global norm of the gradient, over all leaves that
      are trained; before decay.
    groups: dicts with `pattern` and other keys for some parameters, see above.
    layer_decay: the learning rate is multiplied by it once for each stage that
      lies between a leaf's stage and the last one (Bao et al., "BEiT", ICLR
      2022), on top of a group's scale.
    stages: the model's, see `freezing.stage_numbers`; for layer_decay.
    freezing: which leaves stay as they are, without gradient, decay and
      optimizer state. What is unfrozen later has a state of its own from then
      on, and the schedule's learning rate of those steps.
    start: when the phase of `freezing` begins that this is the optimizer of.
    **options: those of `with_decay`, and the optimizer's own keywords under
      optax's names.

  Returns:
    The transformation, whose update needs `params`, and t -> learning rate.

  Raises:
    UserError: unknown name or key, or a pattern that matches no parameter.
  """
  rate = _make_rate(
    schedule or {'name': 'constant'},
    learning_rate=learning_rate,
    total_steps=total_steps,
    steps_per_epoch=steps_per_epoch,
  )
  main = {'name': name, **options}
  recipes = {-1: (main, 1.0, 'optimizer')}
  patterns = []
  for i, group in enumerate(groups):
    where = f'optimizer.groups[{i}]'
    group = dict(group)
    if 'pattern' not in group:
      raise UserError(f"{where} lacks 'pattern', a regex for parameter paths.")
    patterns.append(group.pop('pattern'))
    scale = group.pop('learning_rate_scale', 1.0)
    recipes[i] = (
      group if 'name' in group else {**main, **group},
      scale,
      where,
    )
  paths.check_used(patterns, params, 'optimizer.groups', first=True)

  plan = freezing or freezing_lib.nothing_frozen(params)
  frozen = plan.frozen(start)
  members = [  # The main optimizer's keys are checked though no leaf be its.
    (-1, 1.0, 0),
    *zip(
      jax.tree.leaves(paths.match_tree(patterns, params)),
      _stage_scales(layer_decay, stages, params),
      jax.tree.leaves(plan.trained_from),
      strict=True,
    ),
  ]
  parts, labels = {}, []
  for member, still in zip(
    members, [False, *jax.tree.leaves(frozen)], strict=True
  ):
    i, stage_scale, since = member
    label = 'frozen' if still else f'{i} x{stage_scale:.6g} from {since}'
    labels.append(label)
    if not still and label not in parts:
      keys, scale, where = recipes[i]
      own = _scale(rate, scale * stage_scale, since)
      parts[label] = with_decay(params, where, own, **keys)
  chain = []
  if clip_norm is not None:
    if 'frozen' in labels:  # Frozen leaves take no part in the norm.
      chain.append(optax.masked(optax.set_to_zero(), frozen))
    chain.append(optax.clip_by_global_norm(clip_norm))
  if len({*labels}) > 1 or len(plan.starts) > 1:
    parts['frozen'] = optax.set_to_zero()
    tree = jax.tree.unflatten(jax.tree.structure(params), labels[1:])
    chain.append(optax.partition(parts, tree))
  else:
    chain.extend(parts.values())
  return optax.chain(*chain), rate


def _make_rate(schedule: Mapping[str, Any], **run: Any) -> Schedule:
  if 'name' not in schedule:
    raise UserError("The schedule has no name: say which one, as 'cosine'.")
  for key in run:
    if key in schedule:
      raise UserError(f"'{key}' is no key of the schedule: set it outside.")
  return make_schedule(**schedule, **run)


def _scale(rate: Schedule, scale: float, since: int = 0) -> Schedule:
  """The schedule times `scale`, for an optimizer that counts from `since`."""
  return lambda step: scale * rate(step + since)


def _stage_scales(
  layer_decay: float | None, stages: Sequence[str] | None, params: Any
) -> list[float]:
  """What multiplies each leaf's learning rate, in the order of the leaves."""
  if layer_decay is None:
    return [1.0] * len(jax.tree.leaves(params))
  found = freezing_lib.stage_numbers(
    stages, params, 'config.optimizer.layer_decay'
  )
  last = len(stages or ()) - 1
  return [layer_decay ** (last - i) for i in jax.tree.leaves(found)]


def with_decay(
  params: Any,
  where: str,
  rate: Schedule,
  *,
  name: str,
  weight_decay: NotNegative = 0.0,
  weight_decay_form: str | None = None,
  weight_decay_params: Sequence[str] | None = None,
  normalize_weights: bool = False,
  **options: Any,
) -> optax.GradientTransformation:
  """One optimizer with its weight decay.

  Args:
    params: the parameters or their shapes.
    where: the place in the config, for messages.
    rate: t -> learning rate.
    name: the optimizer's.
    weight_decay: its factor.
    weight_decay_form: 'coupled' or 'decoupled', see `make_optimizer`.
    weight_decay_params: regexes for the parameters that decay; None: those of
      rank two and more.
    normalize_weights: scale each leaf of rank two and more to the norm
      sqrt(size of its last axis) before each update, as cifar10-airbench does
      for Muon on convolutions.
    **options: the optimizer's own keywords.
  """
  make = _find(name)
  keywords = inspect.signature(make).parameters
  own = keys_of(make, given=_OURS)
  others = ('weight_decay', 'weight_decay_form', 'weight_decay_params')
  check_keys(f"{where} '{name}'", options, [*own, *others, 'normalize_weights'])
  given = {**options, 'weight_decay': weight_decay}
  hints = {key: known.hint for key, known in own.items()}
  ranges.check(given, hints, f'config.{where}')
  given = {key: value for key, value in given.items() if value is not None}
  ranges.check(given, _RANGES, f'config.{where}')
  if weight_decay and weight_decay_form not in ('coupled', 'decoupled'):
    raise UserError(
      f"{where} '{name}' has weight_decay but its weight_decay_form is "
      f"{weight_decay_form!r}: say 'coupled' (added to the gradient, as in "
      "torch's SGD) or 'decoupled' (as in AdamW)."
    )
  if weight_decay_params is None:
    mask = _matrices
  else:
    key = f'{where}.weight_decay_params'
    paths.check_used(weight_decay_params, params, key)
    mask = paths.make_mask(weight_decay_params)

  ours: dict[str, Any] = {'learning_rate': rate}
  if 'weight_decay' in keywords:
    ours['weight_decay'] = 0.0
  if 'trust_ratio_mask' in keywords:
    ours['trust_ratio_mask'] = mask
  if 'muon_weight_dimension_numbers' in keywords:
    ours['muon_weight_dimension_numbers'] = _muon_axes
  chain = []
  if weight_decay and weight_decay_form == 'coupled':
    chain.append(optax.add_decayed_weights(weight_decay, mask))
  elif weight_decay and name == 'lamb':
    ours.update(weight_decay=weight_decay, mask=mask)
  chain.append(make(**ours, **options))
  if weight_decay and weight_decay_form == 'decoupled' and name != 'lamb':
    by = _scale(rate, -weight_decay)
    chain.append(optax.add_decayed_weights(by, mask))
  if normalize_weights:
    chain.append(_normalize_weights())
  return optax.chain(*chain) if len(chain) > 1 else chain[0]


def _find(name: str) -> Callable[..., optax.GradientTransformation]:
  """optax's factory of that name.

  Raises:
    UserError: no such optimizer, or one that does not fit.
  """
  if name in _UNFIT:
    raise UserError(
      f"optimizer '{name}' cannot be used here: it {_UNFIT[name]}."
    )
  return registry.lookup('optimizer', name)


def optimizers() -> dict[str, Callable[..., optax.GradientTransformation]]:
  """optax's factories: the public functions that take a learning rate first."""
  found = {}
  for module in (optax.contrib, optax):
    for name, value in vars(module).items():
      if name in _UNFIT or name.startswith(('_', 'scale_by')):
        continue
      if isinstance(value, types.FunctionType | functools.partial):
        first = next(iter(inspect.signature(value).parameters), None)
        if first == 'learning_rate':
          found[name] = value
  return found


def _matrices(params: Any) -> Any:
  """True for leaves of rank two and more: no norms, no biases."""
  return jax.tree.map(lambda x: x.ndim >= 2, params)


def _muon_axes(params: Any) -> Any:
  """How optax's Muon is to see each leaf as a matrix; None: not at all."""

  def axes(x):
    if x.ndim < 2:
      return None
    return optax.contrib.MuonDimensionNumbers(
      reduction_axis=tuple(range(x.ndim - 1)), output_axis=x.ndim - 1
    )

  return jax.tree.map(axes, params)


def _normalize_weights() -> optax.GradientTransformation:
  """Adds to the update what brings the weights to the norm sqrt(out) first.

  A convolution before a normalisation layer computes the same whatever its
  norm; a fixed norm fixes how far a step of Muon turns it (Keller Jordan,
  cifar10-airbench, 2024).
  """

  def update(updates, params):
    def add(u, p):
      if p.ndim < 2:
        return u
      norm = jnp.sqrt(jnp.sum(jnp.square(p)))
      return u + p * (
        jnp.sqrt(p.shape[-1] * 1.0) / jnp.maximum(norm, 1e-12) - 1
      )

    return jax.tree.map(add, updates, params)

  return optax.stateless(update)


def map_state(
  tx: optax.GradientTransformation,
  fn: Callable[..., Any],
  state: Any,
  *trees: Any,
  other: Callable[[Any], Any],
) -> Any:
  """Maps an optimizer state together with trees shaped like the parameters.

  Args:
    tx: the transformation whose state it is.
    fn: (state leaf, *tree leaves) -> new leaf, for leaves that belong to a
      parameter, such as its momentum. Their shape may be another (Adafactor).
    state: the state, or its shapes.
    *trees: one leaf for each parameter, for example a sharding.
    other: state leaf -> new leaf, for all others, such as counters.

  Returns:
    The state's structure with the new leaves. A parameter that is frozen, or
    belongs to another group, has no leaf in a group's state.
  """

  def masked(x):
    return isinstance(x, optax.MaskedNode)

  return optax.tree_map_params(
    tx,
    lambda leaf, *values: leaf if masked(leaf) else fn(leaf, *values),
    state,
    *trees,
    transform_non_params=other,
    is_leaf=masked,
  )


def ema_update(ema: Any, new: Any, step: Any, decay: float) -> Any:
  """The exponential moving average of parameters and batch statistics.

  The decay is min(decay, (1 + step) / (10 + step)), as TensorFlow's
  `ExponentialMovingAverage(num_updates=step)` has it: a young average forgets
  its random start quickly.

  Args:
    ema: any pytree of arrays, for example {'params': ..., 'model_state': ...}.
    new: the same tree after this update.
    step: number of updates before this one.
    decay: the final decay, for example 0.9999.

  Returns:
    The new average; leaves that are not floating point are taken from `new`.
  """
  step = jnp.asarray(step, jnp.float32)
  kept = jnp.minimum(decay, (1.0 + step) / (10.0 + step))

  def update(old, value):
    if not jnp.issubdtype(value.dtype, jnp.floating):
      return value
    # Written as a step towards the new value: kept * old + (1 - kept) * value
    # would move even where both are equal; and -0 + 0 is 0.
    moved = old + (1.0 - kept).astype(old.dtype) * (value - old)
    return jnp.where(value == old, old, moved)

  return jax.tree.map(update, ema, new)
