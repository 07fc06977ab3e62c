"""Invariances of the train step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.engine import mesh, rng
from recog_jax.engine.programs import compile_program
from recog_jax.errors import UserError
from tests.engine import toys

MLP = {'name': 'mlp', 'hidden': (32,), 'dtype': 'float32'}
CLOSE = {'rtol': 2e-4, 'atol': 2e-6}


def test_one_device_equals_eight(root):
  eight, losses8 = toys.run_steps(toys.make(root), 4)
  alone = toys.make(root, devices=jax.devices()[:1])
  one, losses1 = toys.run_steps(alone, 4)
  np.testing.assert_allclose(losses1, losses8, rtol=1e-4)
  toys.assert_close(one.params, eight.params, rtol=2e-3, atol=2e-4)
  toys.assert_close(one.model_state, eight.model_state, rtol=1e-3, atol=1e-4)


def test_accumulating_four_parts_equals_one(root):
  once, losses1 = toys.run_steps(
    toys.make(root, model=MLP, data__batch_size=32), 3
  )
  four, losses4 = toys.run_steps(
    toys.make(root, model=MLP, data__batch_size=32, accumulate_steps=4), 3
  )
  np.testing.assert_allclose(losses1, losses4, rtol=1e-5)
  toys.assert_close(once.params, four.params, **CLOSE)


def test_accumulating_weighted_losses_divides_once(root):
  # Parts of other classes have other sums of weights.
  task = {'name': 'classification', 'class_weights': tuple(range(1, 11))}
  keys = {'model': MLP, 'task': task, 'data__batch_size': 32}
  once, losses1 = toys.run_steps(toys.make(root, **keys), 2)
  four, losses4 = toys.run_steps(toys.make(root, accumulate_steps=4, **keys), 2)
  np.testing.assert_allclose(losses1, losses4, rtol=1e-5)
  toys.assert_close(once.params, four.params, **CLOSE)


def test_accumulation_does_not_run_the_forward_pass_twice(root):
  def flops(parts):
    ex = toys.make(root, model=MLP, data__batch_size=64, accumulate_steps=parts)
    rows = mesh.rows_of(ex.mesh)
    with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
      batch = next(it)
    program = compile_program(ex, batch)
    lowered = program.train_step.lower(
      program.abstract, mesh.to_global(ex.mesh, batch)
    )
    text = lowered.compile().as_text()
    return text.count(' dot(') + text.count('__onednn$matmul')

  # In a loop the products of one part stand once, whatever the number of
  # parts: twice as many would be the pass that only weighs.
  assert flops(4) <= flops(1) + 1


def test_ema_starts_at_the_weights_and_covers_statistics(root):
  state, _ = toys.run_steps(toys.make(root, ema_decay=0.5), 3)
  assert set(state.ema) == {'params', 'model_state'}
  stats = jax.tree.leaves(state.ema['model_state'])
  assert stats
  difference = jax.tree.map(
    lambda a, b: float(np.abs(a - b).max()), state.ema['params'], state.params
  )
  assert 0 < max(jax.tree.leaves(difference)) < 1
  used = state.evaluated()['params']
  toys.assert_close(used, state.ema['params'], rtol=0)


@pytest.mark.smoke
def test_streams_differ_by_name_and_step_and_repeat():
  root_key = rng.root(7)
  draw = lambda name, step: float(  # noqa: E731
    jax.random.uniform(rng.stream(root_key, name, step))
  )
  assert draw('dropout', 1) == draw('dropout', jnp.int32(1))
  values = {draw(n, s) for n in ('params', 'dropout', 'mixup') for s in (0, 1)}
  assert len(values) == 6


def test_same_seed_same_run_other_seed_another(root):
  one, a = toys.run_steps(toys.make(root, model=MLP), 3)
  two, b = toys.run_steps(toys.make(root, model=MLP), 3)
  _, c = toys.run_steps(toys.make(root, model=MLP, seed=1), 3)
  np.testing.assert_array_equal(a, b)
  jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
  assert np.abs(a - c).max() > 1e-3


def test_rules_shard_parameters_and_their_optimizer_state(root):
  model = {'name': 'mlp', 'hidden': (512,), 'dtype': 'float32'}
  plain, losses = toys.run_steps(toys.make(root, model=model), 2)
  ex = toys.make(
    root,
    model=model,
    mesh={'data': 2, 'fsdp': 4},
    sharding_rules=(('.*/kernel', ('fsdp', None)),),
  )
  rows = mesh.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
    program = compile_program(ex, next(it))
  specs = {
    f'P{tuple(leaf.sharding.spec)}'
    for leaf in jax.tree.leaves(program.abstract)
    if leaf.size == 64 * 512
  }
  assert specs == {"P('fsdp', None)"}  # parameter and momentum
  sharded, losses_sharded = toys.run_steps(ex, 2)
  np.testing.assert_allclose(losses, losses_sharded, rtol=1e-5)
  toys.assert_close(plain.params, sharded.params, **CLOSE)


@pytest.mark.parametrize(
  ('overrides', 'told'),
  [
    ({'data__batch_size': 12}, 'does not divide over 8 devices: take 16'),
    ({'accumulate_steps': 3}, 'accumulate_steps=3'),
    ({'mesh': {'data': 3}}, 'does not fit 8 device'),
    ({'mesh': {'model': 2}}, "unknown key of config.mesh 'model'"),
    ({'model': {'name': 'mlp', 'hiden': (1,)}}, 'did you mean hidden'),
    ({'model': {'name': 'resnet9'}}, 'did you mean resnet8'),
    ({'checkpoint': {'keep_lastest': 1}}, 'did you mean keep_latest'),
    ({'evaluation': {}}, 'need every_steps or every_epochs'),
    ({'task': {'name': 'clasification'}}, 'did you mean classification'),
    ({'data__source': {'name': 'tdfs'}}, 'did you mean tfds'),
  ],
)
def test_bad_configs_are_told(root, overrides, told):
  with pytest.raises(UserError, match=told):
    toys.make(root, **overrides)
