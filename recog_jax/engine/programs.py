"""The compiled side of an experiment: its functions on its mesh."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from recog_jax import registry, tracing
from recog_jax.compress import pruning
from recog_jax.engine import (
  checkpoint_base,
  memory,
  privacy,
  rng,
  sharding,
  step,
)
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.freezing import carry_over, make_freezing, with_held
from recog_jax.engine.optimizer import make_optimizer, map_state
from recog_jax.engine.parallelism import make_view
from recog_jax.errors import UserError, listed


@dataclasses.dataclass(frozen=True)
class Program:
  """The compiled side of an experiment, for one phase of its freezing.

  Attributes:
    abstract: the state's shapes, dtypes and shardings.
    init: global batch -> state, born sharded.
    train_step: (state, batch) -> (state, scalars), jitted, state donated.
    eval_step: (variables, batch) -> (metric state, records), jitted.
    merge: joins two metric states, jitted.
    parameters: number of the model's scalars.
    frozen: number of those that this phase does not train.
    enter: the last state of the phase before -> the first state of this one.
  """

  abstract: Any
  init: Callable[..., Any]
  train_step: Callable[..., Any]
  eval_step: Callable[..., Any]
  merge: Callable[..., Any]
  parameters: int
  frozen: int
  enter: Callable[[step.TrainState], step.TrainState]


@dataclasses.dataclass(frozen=True)
class Evaluator:
  """What evaluation alone needs of a `Program`; nothing of a training.

  Attributes:
    eval_step: see `Program`.
    merge: see `Program`.
    place: {path: array} of a checkpoint -> variables, sharded.
  """

  eval_step: Callable[..., Any]
  merge: Callable[..., Any]
  place: Callable[[Mapping[str, np.ndarray]], Any]


def shapes_of(ex: Experiment, batch: Mapping[str, np.ndarray]) -> Any:
  """Shapes and dtypes of an experiment's variables, for a local batch."""
  spec = {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in batch.items()}
  make = step.make_variables(ex.task, ex.module, rng.root(ex.settings.seed))
  params, state = jax.eval_shape(make, spec)
  return {'params': params, **state}


def evaluator(ex: Experiment, batch: Mapping[str, np.ndarray]) -> Evaluator:
  """The compiled side of an evaluation.

  Args:
    ex: the experiment, which may have no data to train on.
    batch: shapes and dtypes of a local batch.
  """
  variables = shapes_of(ex, batch)
  params = variables['params']
  memory.check_size(params, 'the model')
  specs = sharding.tree_specs(ex.mesh, ex.settings.sharding_rules, params)
  everywhere: Any = mesh_lib.replicated(ex.mesh)
  shardings = {
    'params': sharding.tree_shardings(ex.mesh, specs),
    **{
      name: jax.tree.map(lambda _: everywhere, tree)
      for name, tree in variables.items()
      if name != 'params'
    },
  }
  wanted: dict[str, Any] = flatten_dict(variables, sep='/')
  places: dict[str, Any] = flatten_dict(shardings, sep='/')

  def place(found: Mapping[str, np.ndarray]) -> Any:
    problems = [
      f'{path} is {found[path].shape} there and {leaf.shape} here'
      if path in found
      else f'{path} is missing'
      for path, leaf in wanted.items()
      if path not in found or found[path].shape != leaf.shape
    ]
    if problems:
      raise UserError(
        f'the checkpoint is not of the model of its config: {listed(problems)}'
      )
    put = {k: jax.device_put(found[k], places[k]) for k in wanted}
    return unflatten_dict(put, sep='/')

  return Evaluator(*_eval_step(ex), place)


def _eval_step(ex: Experiment) -> tuple[Any, Any]:
  """`Program.eval_step` and `merge`."""
  eval_step = _jit(
    ex,
    step.make_eval_step(ex.task, ex.module),
    out_shardings=(
      mesh_lib.replicated(ex.mesh),
      mesh_lib.batch_sharding(ex.mesh),
    ),
  )
  return eval_step, jax.jit(lambda a, b: a.merge(b))


def _jit(ex: Experiment, function: Callable[..., Any], **options: Any) -> Any:
  """`jax.jit` for the mesh's devices, which need not be here."""
  platform = mesh_lib.platform_of(ex.mesh)

  @functools.wraps(function)
  def traced(*args: Any) -> Any:
    memory.note(function, args)
    with tracing.target_backend(platform):
      return function(*args)

  return jax.jit(traced, **options)


class Programs:
  """The programs of a run: one, or one for each phase of `config.freeze`."""

  def __init__(self, ex: Experiment, batch: Mapping[str, np.ndarray]):
    """Nothing is compiled yet.

    Args:
      ex: the experiment.
      batch: shapes and dtypes of a local training batch.
    """
    self._ex = ex
    self._root = rng.root(ex.settings.seed)
    # No parameter depends on the number of rows, of which these are the local.
    self._spec = {
      k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in batch.items()
    }
    self._variables = step.make_variables(
      ex.task, ex.module, self._root, blank=ex.privacy is not None
    )
    self._params, state = jax.eval_shape(self._variables, self._spec)
    if ex.privacy is not None:
      privacy.check_model(state)
    memory.check_size(self._params, 'the model')
    self._specs = sharding.tree_specs(
      ex.mesh, ex.settings.sharding_rules, self._params
    )
    self._view = make_view(
      ex.mesh,
      self._specs,
      parallelism=ex.settings.parallelism,
      sync_batch_norm=ex.settings.sync_batch_norm,
      reduce_dtype=ex.settings.reduce_dtype,
    )
    whole = getattr(ex.task, 'whole', lambda module: module)(ex.module)
    self._stages = getattr(whole, 'stages', None)
    self._freezing = make_freezing(
      ex.settings.freeze,
      self._params,
      stages=self._stages,
      steps_per_epoch=ex.data.steps_per_epoch,
    )
    if held := getattr(ex.module, 'held', None):
      self._freezing = with_held(self._freezing, held(self._params))
    # Evaluation is the same in every phase.
    self._eval_step, self._merge = _eval_step(ex)
    self._made: dict[int, Program] = {}

  def at(self, step: int) -> Program:
    """The program of the step that is run after `step` others."""
    start = self._freezing.start_of(step)
    if start not in self._made:
      self._made[start] = self._make(start)
    return self._made[start]

  @property
  def held(self) -> tuple[str, ...]:
    """Paths of the parameters that no step of the run changes."""
    return checkpoint_base.names_of(self._freezing.never)

  def abstract(self, step: int) -> step.TrainState:
    """What a checkpoint of that step looks like: as the step before left it."""
    return self.at(max(0, step - 1)).abstract

  def _pruning(self, frozen: Any) -> pruning.Pruning | None:
    """What `config.prune` removes of what is trained."""
    settings = self._ex.settings
    if settings.prune is None:
      return None
    plan = registry.call(
      pruning.make_pruning,
      settings.prune,
      'config.prune',
      params=self._params,
      total_steps=self._ex.total_steps,
    )
    trained = jax.tree.map(lambda t, f: t and not f, plan.targets, frozen)
    if not any(jax.tree.leaves(trained)):
      raise UserError(
        'config.prune: all its targets are frozen by config.freeze, and '
        'nothing can be removed: change one of the two'
      )
    return plan._replace(targets=trained)

  def _make(self, start: int) -> Program:
    """The program of the phase of `config.freeze` that begins at `start`."""
    ex, params = self._ex, self._params
    settings, mesh = ex.settings, ex.mesh
    frozen = self._freezing.frozen(start)
    still = jax.tree.leaves(frozen)
    tx, schedule = registry.call(
      make_optimizer,
      settings.optimizer,
      'config.optimizer',
      params=params,
      schedule=dict(settings.schedule),
      total_steps=ex.total_steps,
      steps_per_epoch=ex.data.steps_per_epoch,
      stages=self._stages,
      freezing=self._freezing,
      start=start,
    )
    plan = self._pruning(frozen)
    if plan is not None:
      tx = pruning.prune(tx, plan)
    init = step.make_init(
      self._variables, tx, ema=settings.ema_decay is not None
    )
    abstract = jax.eval_shape(init, self._spec)
    shardings = _state_shardings(mesh, self._specs, tx, abstract)
    train_step = step.make_train_step(
      ex.task,
      ex.module,
      tx,
      schedule,
      self._root,
      accumulate_steps=settings.accumulate_steps,
      ema_decay=settings.ema_decay,
      frozen=frozen if any(still) else None,
      prune=plan,
      total_steps=ex.total_steps,
      private=ex.privacy and ex.privacy.in_step(),
      view=self._view,
    )

    def enter(state: step.TrainState) -> step.TrainState:
      fresh = tx.init(state.params)
      return state.replace(opt_state=carry_over(state.opt_state, fresh))

    sizes = [x.size for x in jax.tree.leaves(params)]
    return Program(
      abstract=jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        abstract,
        shardings,
      ),
      init=_jit(
        ex, init, out_shardings=shardings, compiler_options=_quick_compile(mesh)
      ),
      train_step=_jit(
        ex,
        train_step,
        donate_argnums=0,
        out_shardings=(shardings, mesh_lib.replicated(mesh)),
      ),
      eval_step=self._eval_step,
      merge=self._merge,
      parameters=sum(sizes),
      frozen=sum(n for n, f in zip(sizes, still, strict=True) if f),
      enter=jax.jit(enter, out_shardings=shardings, donate_argnums=0),
    )


def compile_program(ex: Experiment, batch: Mapping[str, np.ndarray]) -> Program:
  """Jits an experiment's functions; XLA compiles them at their first call.

  Args:
    ex: the experiment; of a `config.freeze` with phases, the first.
    batch: shapes and dtypes of a local training batch.
  """
  return Programs(ex, batch).at(0)


def _quick_compile(mesh: jax.sharding.Mesh) -> dict[str, int] | None:
  """For what runs once: on the CPU, LLVM's full effort took 11 s of 17."""
  if mesh_lib.platform_of(mesh) == 'cpu':
    return {'xla_backend_optimization_level': 1}
  return None


def _state_shardings(
  mesh: jax.sharding.Mesh,
  specs: Any,
  tx: optax.GradientTransformation,
  state: step.TrainState,
) -> step.TrainState:
  """Those of the parameters; optimizer leaves go with their parameter."""
  everywhere: Any = mesh_lib.replicated(mesh)
  params = sharding.tree_shardings(mesh, specs)

  def follow(leaf: Any, param: Any, like: Any) -> Any:
    return like if leaf.shape == param.shape else everywhere

  opt_state = map_state(
    tx,
    follow,
    state.opt_state,
    state.params,
    params,
    other=lambda _: everywhere,
  )
  model_state = jax.tree.map(lambda _: everywhere, state.model_state)
  return step.TrainState(
    step=everywhere,
    params=params,
    model_state=model_state,
    opt_state=opt_state,
    ema=state.ema and {'params': params, 'model_state': model_state},
  )
