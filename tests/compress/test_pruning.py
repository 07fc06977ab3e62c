"""Magnitude pruning: its schedule, its masks, and runs that were killed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recog_jax.compress import pruning
from recog_jax.engine import train
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.errors import UserError
from tests.engine import toys

KEYS = {'sparsity': 0.75, 'begin': 0.0, 'end': 0.5, 'every': 2}


def _params():
  rng = np.random.default_rng(0)
  return {
    'a': {'kernel': jnp.asarray(rng.normal(size=(8, 10)), jnp.float32)},
    'b': {'kernel': jnp.asarray(10 * rng.normal(size=(4, 5)), jnp.float32)},
    'norm': {'scale': jnp.ones(5)},
  }


def _run(scope, steps=20, **keys):
  params = _params()
  plan = pruning.make_pruning(
    params, total_steps=steps, scope=scope, **{**KEYS, **keys}
  )
  tx = pruning.prune(optax.sgd(0.01, momentum=0.9), plan)
  state, zeros = tx.init(params), []
  rng = np.random.default_rng(1)
  for _ in range(steps):
    grads = jax.tree.map(
      lambda p: jnp.asarray(rng.normal(size=p.shape)), params
    )
    updates, state = tx.update(grads, state, params)
    before, params = params, optax.apply_updates(params, updates)
    zeros.append(jax.tree.map(lambda p: np.asarray(p == 0), params))
    del before
  return plan, params, state, zeros


def test_sparsity_rises_along_the_cubic_curve():
  plan, _, _, zeros = _run('global')
  for step in (2, 4, 6, 8, 10):
    x = step / 10
    wanted = 0.75 * (1 - (1 - x) ** 3)
    found = zeros[step - 1]
    count = found['a']['kernel'].sum() + found['b']['kernel'].sum()
    assert count == int(wanted * 100 + 1e-3)
    assert float(pruning.sparsity_at(plan, step)) == pytest.approx(wanted)


@pytest.mark.slow
def test_the_smallest_of_all_are_removed_or_those_of_each_layer():
  _, _, _, zeros = _run('global')
  # b is ten times larger: nearly all is taken from a.
  assert zeros[-1]['a']['kernel'].mean() > 0.85
  assert zeros[-1]['b']['kernel'].mean() < 0.4
  _, _, _, zeros = _run('layer')
  assert zeros[-1]['a']['kernel'].mean() == 0.75
  assert zeros[-1]['b']['kernel'].mean() == 0.75


def test_what_is_zero_stays_zero_and_fills_no_momentum():
  _, params, state, zeros = _run('global')
  for before, after in zip(zeros, zeros[1:], strict=False):
    assert not np.any(before['a']['kernel'] & ~after['a']['kernel'])
  assert not zeros[-1]['norm']['scale'].any()
  trace = state.inner[0].trace['a']['kernel']
  late = zeros[9]['a']['kernel']  # Ten steps without a gradient.
  np.testing.assert_array_less(np.abs(trace[late]), np.abs(trace).max())
  plan = pruning.make_pruning(params, total_steps=20, **KEYS)
  removed, total = pruning.zeros_of(plan, state)
  assert (float(removed), float(total)) == (75.0, 100.0)


@pytest.mark.parametrize(
  ('keys', 'said'),
  [
    ({'targets': 'nothing/.*'}, 'matches nothing'),
    ({'targets': '('}, 'not a regular expression'),
    ({'begin': 0.5, 'end': 0.2}, 'lies before'),
  ],
)
def test_bad_keys_are_one_sentence(keys, said):
  with pytest.raises(UserError, match=said):
    pruning.make_pruning(_params(), total_steps=10, **keys)


@pytest.mark.parametrize('value', [1.0, -0.1, 'much'])
def test_a_sparsity_out_of_range_is_refused(root, value):
  ex = toys.make(root, prune={'sparsity': value})
  with pytest.raises(UserError, match=r'config\.prune\.sparsity'):
    toys.run_steps(ex, 1)


def _pruned(root, **more):
  keys = {'sparsity': 0.8, 'begin': 0.0, 'end': 0.6, 'every': 1}
  return toys.make(root, prune=keys, total_steps=8, ema_decay=0.9, **more)


@pytest.mark.slow
def test_a_run_with_pauses_ends_with_the_bits_of_a_straight_one(root, tmp_path):
  ends = []
  for name, stops in (('straight', ()), ('pieces', (3,))):
    for stop in (*stops, None):
      train.train(_pruned(root, stop_step=stop), tmp_path / name)
    points = Checkpoints(tmp_path / name, read_only=True)
    ends.append(points.variables(8))
    points.close()
  jax.tree.map(np.testing.assert_array_equal, *ends)
  # The averaged weights, which evaluation takes, have the same zeros.
  kernels = [v for k, v in ends[0].items() if k.endswith('kernel')]
  share = np.mean(np.concatenate([np.ravel(k) for k in kernels]) == 0)
  assert share == pytest.approx(0.8, abs=1e-3)


@pytest.mark.slow
def test_every_mesh_removes_the_same_weights(root):
  one = _pruned(root, devices=jax.devices()[:1])
  many = _pruned(root, mesh={'data': 2, 'fsdp': 2}, devices=jax.devices()[:4])
  zeros = []
  for ex in (one, many):
    state, _ = toys.run_steps(ex, 2)
    zeros.append(jax.tree.map(lambda p: np.mean(p == 0), state.params))
  toys.assert_close(*zeros, atol=0.02)


@pytest.mark.slow
def test_what_is_frozen_keeps_its_weights(root):
  ex = _pruned(root, freeze=('stem_conv/.*',))
  state, _ = toys.run_steps(ex, 5)
  assert np.all(state.params['stem_conv']['kernel'] != 0)
  assert np.any(state.params['head']['kernel'] == 0)
  with pytest.raises(UserError, match='frozen by config.freeze'):
    keys = {'targets': 'stem_conv/.*'}
    toys.run_steps(toys.make(root, prune=keys, freeze=('stem_conv/.*',)), 1)
