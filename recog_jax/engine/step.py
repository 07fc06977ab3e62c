"""The pure functions of an experiment: init, train step, evaluation step."""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from recog_jax import tracing
from recog_jax.compress import pruning
from recog_jax.compress import training as quantized_training
from recog_jax.engine import adapt, freezing, private_step, rng
from recog_jax.engine.optimizer import ema_update
from recog_jax.engine.parallelism import View
from recog_jax.tasks.base import Batch, Task, Terms


class TrainState(flax.struct.PyTreeNode):
  """All that training changes. No random key: streams depend on `step`.

  Attributes:
    step: int32 scalar, optimizer steps done.
    params: the module's parameters, float32.
    model_state: the module's other collections (running statistics).
    opt_state: optax's.
    ema: {'params', 'model_state'} averaged over steps, or None.
  """

  step: jax.Array
  params: Any
  model_state: Any
  opt_state: Any
  ema: Any = None

  def evaluated(self) -> dict[str, Any]:
    """The variables that evaluation uses: averaged ones where there are."""
    source = self.ema or {
      'params': self.params,
      'model_state': self.model_state,
    }
    return {'params': source['params'], **source['model_state']}


def make_variables(
  task: Task, module: nn.Module, root_key: jax.Array, *, blank: bool = False
) -> Callable:
  """batch -> (params, model_state), the module's fresh variables.

  The batch is the run's real first one: initialisers may depend on data; of
  `blank` ones they see the shapes alone.
  """

  def variables(batch: Batch) -> tuple[Any, Any]:
    if blank:
      batch = jax.tree.map(jnp.zeros_like, dict(batch))
    batch = task.preprocess(batch, rng.stream(root_key, 'mixup', 0), train=True)
    keys = {k: rng.stream(root_key, k, 0) for k in ('params', 'dropout')}
    model_state = dict(task.init(module, keys, batch))
    params = model_state.pop('params')
    return params, model_state

  return variables


def make_init(
  variables: Callable, tx: optax.GradientTransformation, *, ema: bool
) -> Callable[[Batch], TrainState]:
  """batch -> the state before step 0."""

  def init(batch: Batch) -> TrainState:
    params, model_state = variables(batch)
    averaged = {'params': params, 'model_state': model_state} if ema else None
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      model_state=model_state,
      opt_state=tx.init(params),
      # A copy: two leaves of a donated state must not share a buffer.
      ema=jax.tree.map(jnp.copy, averaged),
    )

  return init


def _split_rows(batch: Batch, parts: int) -> Batch:
  """Leading axis b -> (parts, b / parts); part i has rows i, i + parts, ...

  Strided, so that a batch sharded over its rows stays sharded in each part.
  """
  return jax.tree.map(
    lambda x: jnp.swapaxes(
      x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 0, 1
    ),
    dict(batch),
  )


def total_loss(task: Task, terms: Terms, weights: Mapping[str, jax.Array]):
  """Each term divided once, by its own weight over the global batch."""
  total = 0.0
  for name, (value, _) in terms.items():
    weight = weights[name]
    mean = jnp.where(weight > 0, value / jnp.where(weight > 0, weight, 1.0), 0)
    total += task.coefficients.get(name, 1.0) * mean
  return total


def make_train_step(
  task: Task,
  module: nn.Module,
  tx: optax.GradientTransformation,
  schedule: Callable[[jax.Array], jax.Array],
  root_key: jax.Array,
  *,
  accumulate_steps: int = 1,
  ema_decay: float | None = None,
  frozen: Any = None,
  prune: pruning.Pruning | None = None,
  total_steps: int = 0,
  private: private_step.Private | None = None,
  view: View,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Any]]]:
  """The train step: a pure function, to be jitted once with its state donated.

  Args:
    task: see `recog_jax.tasks.base`.
    module: the Linen module.
    tx: the optimizer.
    schedule: step -> learning rate, for the log.
    root_key: the run's root key.
    accumulate_steps: the batch is run in so many parts, one after another, and
      their gradients are added; without BatchNorm and dropout the step is the
      same function as with 1.
    ema_decay: of the average of params and model_state; None for no average.
    frozen: a tree of bools like the parameters, True for those that stay as
      they are; see `recog_jax.engine.freezing`. None freezes nothing.
    prune: what `tx` removes, for the log and for averages.
    total_steps: the run's, which says when `config.quantize` begins.
    private: clips the gradient of each row and adds noise to their sum; None:
      the gradient is that of the mean.
    view: what the step sees of the batch; see `recog_jax.engine.parallelism`.

  Returns:
    (state, batch) -> (state, scalars): `terms` are those of the loss and of
    `train_metrics` as (sum, weight), beside them `total`, `grad_norm`,
    `learning_rate` and, where weights are removed, `sparsity`.
  """

  hold = contextlib.nullcontext
  if frozen is not None:
    hold = functools.partial(nn.intercept_methods, freezing.make_hold(frozen))

  def forward(params, model_state, batch, rngs):
    if frozen is not None:
      stopped = jax.lax.stop_gradient(params)
      params = freezing.keep_frozen(frozen, stopped, params)
    params = view.in_use(params)
    # One row at a time is not divided over devices.
    context = view.context() if private is None else tracing.own_weights()
    with hold(), context:
      outputs, model_state = task.forward(
        module, {'params': params, **model_state}, batch, rngs=rngs, train=True
      )
    shown = task.train_metrics(outputs, batch)
    return model_state, task.loss(outputs, batch), shown

  def alone(params, row, rngs):
    """The loss of one row, and the terms that are logged."""
    _, terms, shown = forward(params, {}, row, rngs)
    weights = {k: w for k, (_, w) in terms.items()}
    return total_loss(task, terms, weights), {**terms, **shown}

  def global_weights(terms):
    own = {k: w for k, (_, w) in terms.items()}
    return view.add(jax.lax.stop_gradient(own))

  def gradients(params, model_state, batch, rngs, weights):
    def objective(params):
      new_state, terms, shown = forward(params, model_state, batch, rngs)
      total = total_loss(task, terms, weights or global_weights(terms))
      return total, (new_state, {**terms, **shown})

    (total, aux), grads = jax.value_and_grad(objective, has_aux=True)(params)
    return grads, total, *aux

  def accumulate(params, model_state, batch, rngs):
    parts = _split_rows(batch, accumulate_steps)
    order = jnp.arange(accumulate_steps)

    def part_rngs(i):
      return {k: jax.random.fold_in(v, i) for k, v in rngs.items()}

    def weigh(carry, xs):
      i, part = xs
      _, terms, _ = forward(params, model_state, part, part_rngs(i))
      return carry, {k: w for k, (_, w) in terms.items()}

    # Only the weights are used, which depend on lengths and masks alone: the
    # compiler drops the rest of this pass.
    _, weights = jax.lax.scan(weigh, None, (order, parts))
    weights = view.add(jax.tree.map(lambda w: jnp.sum(w, 0), weights))

    def body(carry, xs):
      grads, model_state = carry
      i, part = xs
      more, total, model_state, terms = gradients(
        params, model_state, part, part_rngs(i), weights
      )
      return (jax.tree.map(jnp.add, grads, more), model_state), (total, terms)

    zeros = jax.tree.map(jnp.zeros_like, params)
    (grads, model_state), (totals, terms) = jax.lax.scan(
      body, (zeros, model_state), (order, parts)
    )
    terms = jax.tree.map(lambda x: jnp.sum(x, 0), terms)
    return grads, jnp.sum(totals), model_state, terms

  def train_step(state: TrainState, batch: Batch):
    mixup, dropout = (
      view.own_key(rng.stream(root_key, name, state.step))
      for name in ('mixup', 'dropout')
    )
    batch = task.preprocess(batch, mixup, train=True)
    rngs = {'dropout': dropout}
    with quantized_training.at_step(state.step, total_steps):
      if private is not None:
        dropout = rng.stream(root_key, 'dropout', state.step)
        grads, total, terms = private_step.clipped_sums(
          alone, private, state.params, batch, dropout
        )
        model_state = state.model_state
      elif accumulate_steps == 1:
        grads, total, model_state, terms = gradients(
          state.params, state.model_state, batch, rngs, None
        )
      else:
        grads, total, model_state, terms = accumulate(
          state.params, state.model_state, batch, rngs
        )
    grads = view.add_gradients(grads)
    total, terms = view.add((total, terms))
    if private is not None:
      noise = rng.stream(root_key, 'noise', state.step)
      grads = private_step.noised(private, grads, noise, frozen)
      total = total / jnp.maximum(terms['clipped'][1], 1)
    model_state = view.average(model_state)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    if frozen is not None:  # Adding 0 would turn -0 into 0.
      params = freezing.keep_frozen(frozen, state.params, params)
    ema = state.ema
    if ema_decay is not None:
      new = {'params': params, 'model_state': model_state}
      ema = ema_update(ema, new, state.step, ema_decay)
      if prune is not None:
        averaged = pruning.applied(opt_state, ema['params'])
        ema = {**ema, 'params': averaged}
    scalars = {
      'terms': terms,
      'total': total,
      'grad_norm': optax.global_norm(grads),
      'learning_rate': schedule(state.step),
    }
    if prune is not None:
      zeros, total = pruning.zeros_of(prune, opt_state)
      scalars['sparsity'] = zeros / total
    state = TrainState(state.step + 1, params, model_state, opt_state, ema)
    return state, scalars

  return view.wrap(train_step)


def make_eval_step(
  task: Task, module: nn.Module
) -> Callable[[Any, Batch], tuple[Any, dict[str, jax.Array]]]:
  """(variables, batch) -> (metric state, one record for each row)."""
  settled = adapt.settled(module)

  def eval_step(variables: Any, batch: Batch):
    # No key: nothing is random in evaluation.
    batch = task.preprocess(batch, None, train=False)
    variables = adapt.merged(module, variables)
    outputs, _ = task.forward(settled, variables, batch, rngs={}, train=False)
    return task.metrics(outputs, batch), task.records(outputs, batch)

  return eval_step
