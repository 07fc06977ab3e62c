"""Freezing: no gradient, no decay, no optimizer state, statistics held."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.engine import mesh, train
from recog_jax.engine.freezing import NEVER, make_freezing
from recog_jax.engine.optimizer import make_optimizer
from recog_jax.engine.programs import Programs, compile_program
from recog_jax.errors import UserError
from tests.engine import toys

PARAMS = {
  'stem': {'kernel': jnp.full((3, 4), -0.0)},
  'block1': {'scale': jnp.ones(4), 'conv': {'kernel': jnp.ones((4, 4))}},
  'head': {'kernel': jnp.ones((4, 2)), 'bias': jnp.zeros(2)},
}
STAGES = ('stem', 'block1', 'head')
ADAM = {
  'name': 'adam',
  'learning_rate': 0.1,
  'weight_decay': 0.1,
  'weight_decay_form': 'decoupled',
}


def make(spec, **keys):
  keys = {'stages': STAGES, 'steps_per_epoch': 10.0, **keys}
  return make_freezing(spec, PARAMS, **keys)


def named(tree):
  flat, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(p, simple=True, separator='/'): x for p, x in flat
  }


@pytest.mark.parametrize(
  'spec', ['stem/.*', ['stem/.*'], {'params': ['stem/.*']}, {'all_but_last': 2}]
)
def test_four_ways_to_freeze_the_stem(spec):
  found = named(make(spec).trained_from)
  assert found.pop('stem/kernel') == NEVER
  assert set(found.values()) == {0}


def test_phases_unfreeze_from_the_head_down():
  plan = make(
    [
      {'all_but_last': 1},
      {'all_but_last': 2, 'from_step': 5},
      {'from_epoch': 2.0},
    ]
  )
  assert plan.starts == (0, 5, 20)
  assert named(plan.trained_from) == {
    'stem/kernel': 20,
    'block1/scale': 5,
    'block1/conv/kernel': 5,
    'head/kernel': 0,
    'head/bias': 0,
  }
  assert [plan.start_of(s) for s in (0, 4, 5, 19, 20, 99)] == [
    0,
    0,
    5,
    5,
    20,
    20,
  ]
  assert sum(jax.tree.leaves(plan.frozen(5))) == 1


@pytest.mark.parametrize(
  ('spec', 'sentence'),
  [
    ('stm/.*', "pattern 'stm/\\.\\*' matches nothing"),
    ('.*', 'freezes every parameter'),
    ({'all_but_last': 4}, 'the model has 3 stages'),
    ({'all_but_last': 0}, 'at least one is trained'),
    ({'stages': 2}, 'stages'),
    ({'params': 'stem/.*', 'all_but_last': 1}, 'not both'),
    ([{'params': 'stem/.*', 'from_step': 3}], 'must begin at 0'),
    ([{}, {'params': 'stem/.*', 'from_step': 3}], 'trained first and frozen'),
    (['stem/.*', {'all_but_last': 1}], 'list of regexes'),
  ],
)
def test_a_plan_that_makes_no_sense_is_told(spec, sentence):
  with pytest.raises(UserError, match=sentence):
    make(spec)


def test_stages_are_asked_for_only_where_a_model_has_them():
  with pytest.raises(UserError, match='does not say what its stages are'):
    make({'all_but_last': 1}, stages=None)
  assert make(['stem/.*'], stages=None).starts == (0,)


def test_layer_decay_scales_the_rate_of_each_stage():
  tx, _ = make_optimizer(
    PARAMS,
    total_steps=4,
    name='sgd',
    learning_rate=0.1,
    layer_decay=0.5,
    stages=STAGES,
    groups=[{'pattern': 'head/bias', 'learning_rate_scale': 10.0}],
  )
  grads = jax.tree.map(jnp.ones_like, PARAMS)
  updates = named(tx.update(grads, tx.init(PARAMS), PARAMS)[0])
  rates = {name: -float(u.ravel()[0]) for name, u in updates.items()}
  assert rates == pytest.approx(
    {
      'stem/kernel': 0.025,
      'block1/scale': 0.05,
      'block1/conv/kernel': 0.05,
      'head/kernel': 0.1,
      'head/bias': 1.0,
    }
  )


# -- a network with batch normalisation and dropout ---------------------------


def bits(tree):
  return {k: np.asarray(v).tobytes() for k, v in named(tree).items()}


def frozen_names(params, *starts):
  return {k for k in named(params) if k.startswith(starts)}


def test_a_frozen_run_leaves_parameters_and_statistics_bit_identical(root):
  ex = toys.make(
    root, optimizer=ADAM, freeze={'all_but_last': 2}, ema_decay=0.9
  )
  before, _ = toys.run_steps(ex, 0 + 1)
  first = toys.run_steps(toys.make(root, optimizer=ADAM), 1)[0]
  after, _ = toys.run_steps(ex, 4)
  still = frozen_names(after.params, 'stem', 'stage1', 'stage2')
  assert 0 < len(still) < len(named(after.params))
  old, new = bits(before.params), bits(after.params)
  assert {k for k in old if old[k] == new[k]} == still
  old, new = bits(before.model_state), bits(after.model_state)
  held = {k for k in old if old[k] == new[k]}
  assert held == {
    k
    for k in old
    if k.startswith(
      ('batch_stats/stem', 'batch_stats/stage1', 'batch_stats/stage2')
    )
  }
  # Fresh statistics, not those of any batch.
  assert all(
    set(np.unique(v)) <= {0.0, 1.0}
    for k, v in named(after.model_state).items()
    if k in held
  )
  ema = bits(after.ema['params'])
  assert all(ema[k] == bits(after.params)[k] for k in still)
  # Adam keeps two numbers for each trained one, and counters.
  sizes = {k: v.size for k, v in named(after.params).items()}

  def numbers(state):
    return sum(x.size for x in jax.tree.leaves(state.opt_state) if x.ndim)

  trained = sum(n for k, n in sizes.items() if k not in still)
  assert numbers(after) == 2 * trained
  assert numbers(first) == 2 * sum(sizes.values())


@pytest.mark.slow
def test_a_frozen_module_normalises_as_in_evaluation(root):
  """With all but the head frozen a row's logits depend on no other row."""
  ex = toys.make(root, freeze={'all_but_last': 1})
  rows = mesh.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
    batch = next(it)
  program = compile_program(ex, batch)
  state = program.init(mesh.to_global(ex.mesh, batch))
  variables = jax.device_get(state.evaluated())
  _, scalars = program.train_step(state, mesh.to_global(ex.mesh, batch))
  batch = ex.task.preprocess(batch, jax.random.key(0), train=True)
  outputs, _ = ex.task.forward(
    ex.module, variables, batch, rngs={}, train=False
  )
  total, weight = ex.task.loss(outputs, batch)['loss']
  np.testing.assert_allclose(scalars['total'], total / weight, rtol=1e-5)
  free = toys.make(root)
  _, losses = toys.run_steps(free, 1)
  assert abs(losses[0] - float(total / weight)) > 1e-3


def test_what_is_frozen_costs_no_gradient(root):
  def flops(**keys):
    ex = toys.make(root, **keys)
    rows = mesh.rows_of(ex.mesh)
    with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
      batch = next(it)
    program = compile_program(ex, batch)
    batch = mesh.to_global(ex.mesh, batch)
    lowered = program.train_step.lower(program.abstract, batch)
    return lowered.compile().cost_analysis()['flops']

  # A forward pass is about a third of a step.
  assert flops(freeze={'all_but_last': 1}) < 0.45 * flops()


STAGED = (
  {'all_but_last': 1},
  {'all_but_last': 2, 'from_step': 3},
  {'from_step': 6},
)


def staged(root, **keys):
  return toys.make(
    root,
    optimizer={'name': 'adam', 'learning_rate': 0.01},
    schedule={'name': 'constant'},
    freeze=STAGED,
    total_steps=9,
    log_every_steps=1,
    evaluation={'every_steps': 9},
    checkpoint={'every_steps': 1, 'keep_latest': 20},
    **keys,
  )


def states(ex, folder):
  rows = mesh.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=9) as it:
    programs = Programs(ex, next(it))
  points = train.Checkpoints(folder, read_only=True)
  return [
    jax.device_get(points.load(step, programs.abstract)[0])
    for step in points.steps()
  ]


@pytest.mark.slow
def test_staged_unfreezing_stops_and_resumes_at_any_step(root, tmp_path):
  whole, pieces = tmp_path / 'whole', tmp_path / 'pieces'
  train.train(staged(root), whole)
  for stop in (2, 3, 6, 7, 9):
    train.train(staged(root, stop_step=stop), pieces)
  kept = states(staged(root), whole)
  assert bits(kept[-1]) == bits(states(staged(root), pieces)[-1])
  # Step by step the deepest stage that moved.
  moved = []
  for a, b in zip(kept[:-1], kept[1:], strict=True):
    old, new = bits(a.params), bits(b.params)
    moved.append(
      {k.split('_')[0].split('/')[0] for k in old if old[k] != new[k]}
    )
  assert moved[:2] == [{'head'}] * 2
  assert moved[2:5] == [{'head', 'stage3'}] * 3
  assert moved[5:] == [{'head', 'stage1', 'stage2', 'stage3', 'stem'}] * 3
  # Adam's first step is as long as the learning rate wherever it begins: its
  # moments are those of a first step, not of a fourth one without gradients.
  step = np.abs(
    kept[3].params['stage3_block1']['conv1']['kernel']
    - kept[2].params['stage3_block1']['conv1']['kernel']
  )
  assert step.max() == pytest.approx(0.01, rel=1e-3)
