"""Private training: the step, its accounting, and what breaks the promise."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import privacy, private_step, train
from recog_jax.errors import UserError
from tests.engine import toys

pytest.importorskip('dp_accounting')

MLP = {'name': 'mlp', 'hidden': (8,), 'dtype': 'float32', 'dropout': 0.5}
KEYS = {
  'model': MLP,
  'task__label_smoothing': 0.0,
  'checkpoint__keep_best': 0,
  'privacy': {'epsilon': 8.0, 'noise': 4.0, 'microbatch': 8, 'delta': 1e-3},
}


def make(root, **changes):
  return toys.make(root, **{**KEYS, **changes})


# -- the step ------------------------------------------------------------------


def _quadratic(params, row, rngs):
  """A loss whose gradient is the input, times a factor drawn by dropout."""
  kept = jax.random.bernoulli(rngs['dropout'], 0.5).astype(jnp.float32)
  value = (1 + kept) * (params['w'] * row['inputs'][0]).sum()
  return value, {'loss': (value, jnp.ones(()))}


def test_the_gradient_is_that_of_a_loop_over_single_examples():
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(12, 3)) * np.geomspace(0.05, 5, 12)[:, None]
  inputs[4] = np.nan  # Adds nothing.
  batch = {
    'inputs': jnp.asarray(inputs, jnp.float32),
    'index': jnp.arange(100, 112),
    'valid': jnp.arange(12) < 10,
  }
  params, key = {'w': jnp.ones(3)}, jax.random.key(1)
  wanted, above = np.zeros(3), 0
  for i in range(10):
    if i != 4:
      drawn = jax.random.bernoulli(jax.random.fold_in(key, 100 + i), 0.5)
      gradient = (1 + float(drawn)) * inputs[i]
      norm = np.linalg.norm(gradient)
      above += norm > 0.7
      wanted += gradient * min(1, 0.7 / norm)
  for parts in (1, 4):
    private = private_step.Private(0.7, 2.0, 9.0, parts)
    grads, _, terms = private_step.clipped_sums(
      _quadratic, private, params, batch, key
    )
    np.testing.assert_allclose(grads['w'], wanted, rtol=1e-5)
    assert terms['clipped'] == (above, 10)


def test_the_noise_has_its_size_and_spares_what_is_frozen():
  private = private_step.Private(0.5, 3.0, 10.0, 1)
  sums = {'a': jnp.zeros(40_000), 'b': jnp.ones(10)}
  found = private_step.noised(
    private, sums, jax.random.key(0), {'a': False, 'b': True}
  )
  assert np.std(found['a']) == pytest.approx(0.5 * 3 / 10, rel=0.02)
  np.testing.assert_allclose(found['b'], 0.1)


@pytest.mark.slow
def test_no_example_moves_the_step_by_more_than_the_clip(root):
  ex = make(
    root,
    privacy={**KEYS['privacy'], 'clip': 0.3},
    optimizer={'name': 'sgd', 'learning_rate': 1.0},
    schedule={'name': 'constant'},
  )
  batch = next(_batches(ex, 1))
  from recog_jax.engine.programs import compile_program

  def stepped(batch):
    program = compile_program(ex, batch)
    batch = mesh_lib.to_global(ex.mesh, batch)
    state = program.init(batch)
    before = jax.device_get(state.params)
    after = jax.device_get(program.train_step(state, batch)[0].params)
    # The noise is the same in both.
    return jax.tree.map(np.subtract, after, before)

  (first, *_) = np.flatnonzero(batch['valid'])
  without = {**batch, 'valid': batch['valid'].copy()}
  without['valid'][first] = False
  apart = jax.tree.map(np.subtract, stepped(batch), stepped(without))
  moved = float(optax.global_norm(apart))
  assert 0 < moved <= 0.3 / ex.privacy.batch_size * 1.001


def _batches(ex, steps):
  with ex.data.train(
    mesh_lib.rows_of(ex.mesh), start_step=0, stop_step=steps, total_steps=4
  ) as batches:
    yield from batches


@pytest.mark.slow
def test_one_device_is_eight_and_pjit_is_pmap(root):
  one, a = toys.run_steps(make(root, devices=jax.devices()[:1]), 2)
  for changes in ({}, {'parallelism': 'pmap'}):
    many, b = toys.run_steps(make(root, **changes), 2)
    np.testing.assert_allclose(a, b, rtol=1e-5)
    toys.assert_close(one.params, many.params, rtol=1e-5, atol=1e-6)


# -- the run -------------------------------------------------------------------


def _rows(folder):
  rows = (json.loads(r) for r in (folder / 'metrics.jsonl').open())
  return [
    {k: v for k, v in row.items() if not k.startswith('time/')} for row in rows
  ]


@pytest.mark.slow
def test_a_resumed_run_is_the_same_to_the_bit_and_spends_the_same(
  root, tmp_path
):
  whole = make(root)
  summary = train.train(whole, tmp_path / 'whole')
  train.train(make(root, stop_step=2), tmp_path / 'halves')
  again = train.train(make(root), tmp_path / 'halves')
  assert again['privacy'] == summary['privacy']
  assert summary['privacy']['epsilon'] == whole.privacy.spent(4) <= 8
  trained = [r for r in _rows(tmp_path / 'whole') if r['kind'] == 'train']
  assert [r['epsilon'] for r in trained] == [
    whole.privacy.spent(s) for s in (2, 4)
  ]
  assert trained == [
    r for r in _rows(tmp_path / 'halves') if r['kind'] == 'train'
  ]
  with pytest.raises(UserError, match='of this run would spend'):
    train.train(
      make(root, total_steps=6, privacy={**KEYS['privacy'], 'noise': 5.0}),
      tmp_path / 'halves',
    )


# -- accounting ----------------------------------------------------------------


def plan(steps=40, batch_size=64, units=1200, **keys):
  keys = privacy.Privacy(**{'epsilon': 3.0, **keys})
  return privacy.make_plan(
    keys, units=units, batch_size=batch_size, steps=steps, devices=8
  )


def test_the_noise_is_the_least_that_keeps_epsilon():
  found = plan()
  assert (
    2.9
    < found.spent(40)
    <= 3
    < plan(epsilon=30, noise=found.noise - 0.02).spent(40)
  )
  spent = [found.spent(step) for step in (0, 10, 20, 40)]
  assert spent[0] == 0
  assert spent == sorted(spent)


def test_a_large_epsilon_still_has_some_noise():
  assert plan(epsilon=1000.0, steps=1).noise == privacy._LEAST_NOISE


def test_the_capacity_is_exceeded_less_often_than_delta_allows():
  from scipy import stats

  found = plan()
  tail = stats.binom.sf(found.capacity, found.units + 1, found.rate)
  assert (1 + np.exp(found.epsilon)) * found.steps * tail <= 1e-3 * found.delta
  assert found.capacity % (8 * found.parts) == 0
  assert found.capacity < 2.5 * 64


def test_epsilon_is_that_of_the_gaussian_mechanism_where_all_are_drawn():
  # Balle and Wang, 2018: delta of one Gaussian query, in closed form.
  from scipy.stats import norm

  sigma, epsilon = 2.0, 1.5
  delta = norm.cdf(0.5 / sigma - epsilon * sigma) - np.exp(epsilon) * norm.cdf(
    -0.5 / sigma - epsilon * sigma
  )
  found = privacy._epsilon(sigma, 1.0, 1, delta)
  assert found == pytest.approx(epsilon, rel=2e-3)


@pytest.mark.parametrize(
  ('keys', 'told'),
  [
    ({'noise': 0.6}, 'cannot be kept over 40 steps with noise=0.6.*keeps it'),
    ({'delta': 0.01}, 'is not below 1 / 1200 units'),
    ({'batch_size': 1200}, 'smaller config.data.batch_size'),
  ],
)
def test_a_promise_that_cannot_be_kept_is_refused(keys, told):
  with pytest.raises(UserError, match=told):
    plan(**keys)


@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    ({'model': {'name': 'resnet8'}}, 'BatchNorm'),
    ({'task__mixup_alpha': 0.2}, 'mixup_alpha'),
    ({'task__class_weights': 'balanced'}, "class_weights='balanced'"),
    ({'checkpoint__keep_best': 1}, 'keep_best'),
    ({'data__balance': ('label',)}, 'config.data.balance'),
    ({'accumulate_steps': 2}, 'microbatch'),
    ({'mesh': {'data': 4, 'fsdp': 2}}, 'fsdp and tensor be 1'),
    ({'privacy': {'epsilon': 1.0, 'clip': 0.0}}, 'config.privacy.clip'),
    ({'privacy': {'epsilon': 1.0, 'unit': 'patient'}}, 'config.privacy.unit'),
  ],
)
def test_what_breaks_the_promise_is_refused_by_name(root, changes, told):
  with pytest.raises(UserError, match=told):
    ex = make(root, **changes)
    next(_compiled(ex))


def _compiled(ex):
  from recog_jax.engine.programs import compile_program

  yield compile_program(ex, next(_batches(ex, 1)))


def test_bucketed_batches_are_refused():
  from recog_jax.data.speech.poisson import speech_units
  from tests.data.speech import test_order

  order = test_order.make_order()
  with pytest.raises(UserError, match='buckets.count=1'):
    speech_units('example', order, {}, dict)
