"""A task in one small file: its own head, loss and metric, through the loop."""

import ast
import dataclasses
import inspect
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.engine import experiment, logbook, train
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.programs import compile_program
from recog_jax.tasks import base
from tests.engine import toys
from tests.tasks import toy_angle

STEPS = 80


def _experiment(**changes):
  """The digits' angles on a circle, with the batches of a config."""
  model = {'name': 'mlp', 'hidden': (32,), 'dtype': 'float32'}
  optimizer = {'name': 'adam', 'learning_rate': 0.01}
  source = {'name': 'digits'}
  keys = {'model': model, 'optimizer': optimizer, 'data__source': source}
  keys |= {'schedule': {'name': 'constant'}, 'data__batch_size': 128}
  ex = toys.make('.', **keys, total_steps=STEPS, **changes)
  task = toy_angle.make_angle(info=ex.data.info, weight=2.0)
  return dataclasses.replace(ex, task=task)


def test_it_is_a_small_file():
  assert len(inspect.getsource(toy_angle).splitlines()) <= 70


def test_it_trains_and_is_reported(tmp_path):
  ex = _experiment()
  summary = train.train(ex, tmp_path)
  rows = logbook.read(tmp_path / 'metrics.jsonl')
  losses = [r['cosine'] for r in rows if r['kind'] == 'train']
  assert losses[-1] < 0.6 * losses[0]
  result = json.loads((tmp_path / f'results/test-{STEPS}.json').read_text())
  metrics = result['metrics']
  assert summary['within_a_class']['test'] == metrics['within_a_class'] > 0.4
  low, high = metrics['within_a_class_ci95']
  assert low < metrics['within_a_class'] < high
  # Terms by name, and what is minimised: the coefficient times the mean.
  assert metrics['loss'] == pytest.approx(2 * metrics['cosine'])
  # The head is the task's own, around the config's model.
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
    params = compile_program(ex, next(it)).abstract.params
  assert params['angle']['kernel'].shape == (32, 2)


def _protocol(kind):
  """What a protocol asks for."""
  return {name for name in vars(kind) if not name.startswith('_')}


def test_the_base_offers_all_that_a_task_needs_but_a_loss():
  assert _protocol(base.Task) <= set(dir(base.BaseTask)) | {'num_outputs'}
  with pytest.raises(NotImplementedError, match='BaseTask has no loss'):
    base.BaseTask().loss({}, {})


def test_the_engine_asks_for_nothing_that_the_contract_lacks(root):
  asked = set()
  for path in (root / 'recog_jax/engine').glob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Attribute):
        of = node.value
        name = getattr(of, 'attr', getattr(of, 'id', None))
        if name == 'task' and isinstance(of, ast.Name | ast.Attribute):
          asked.add(node.attr)
  assert {'loss', 'report', 'train_metrics'} <= asked
  assert asked <= _protocol(base.Task) | {'get'}


class _Toy(nn.Module):
  """Counts its training calls; gives lengths too where it gets some."""

  @nn.compact
  def __call__(self, x, x_len=None, *, train):
    calls = self.variable('stats', 'calls', lambda: jnp.zeros(()))
    if train and not self.is_initializing():
      calls.value += 1
    lens = () if x_len is None else (x_len // 2,)
    return nn.Dense(3, name='head')(x), *lens, {'features': x}


def _applied(batch, train):
  task, module = base.BaseTask(), _Toy()
  variables = task.init(module, {'params': jax.random.key(0)}, batch)
  return task.forward(module, variables, batch, rngs={}, train=train)


def test_collections_are_updated_in_training_alone():
  batch = {'inputs': jnp.ones((4, 2))}
  outputs, updated = _applied(batch, train=False)
  assert updated == {} and set(outputs) == {'logits', 'taps'}
  _, updated = _applied(batch, train=True)
  assert float(updated['stats']['calls']) == 1 and set(updated) == {'stats'}


def test_sequences_have_lengths_in_and_out():
  batch = {'inputs': jnp.ones((2, 6, 2)), 'input_len': jnp.array([6, 4])}
  outputs, _ = _applied(batch, train=False)
  assert outputs['out_len'].tolist() == [3, 2]


def test_bytes_become_numbers_around_zero_and_others_stay():
  images = np.array([[0, 255]], np.uint8)
  task = base.BaseTask()
  got = task.preprocess({'inputs': images}, None, train=False)['inputs']
  np.testing.assert_allclose(got, [[-1, 1]])
  same = np.ones((1, 2), np.float32)
  got = task.preprocess({'inputs': same}, None, train=False)['inputs']
  assert got is same


def test_mean_losses_add_up_over_batches():
  terms = [{'a': (6.0, 2.0), 'b': (1.0, 4.0)}, {'a': (3.0, 1.0), 'b': (0, 0)}]
  state = base.MeanLoss(terms[0]).merge(base.MeanLoss(terms[1]))
  got = state.compute({'b': 4.0})
  assert got == {'loss': 3 + 4 * 0.25, 'a': 3.0, 'b': 0.25}


def test_no_split_is_evaluated_twice_at_the_end(tmp_path):
  passes = []

  def counted(split, *args):
    passes.append(split)
    return evaluation(split, *args)

  ex = _experiment(evaluation={'every_steps': 50})
  evaluation, ex.data.evaluation = ex.data.evaluation, counted
  train.train(ex, tmp_path)
  # Step 50 and the last; the report of val is of the last one's pass.
  assert passes == ['val', 'val', 'test']
  rows = logbook.read(tmp_path / 'metrics.jsonl')
  (last,) = [r for r in rows if r['kind'] == 'val' and r['step'] == STEPS]
  result = json.loads((tmp_path / f'results/val-{STEPS}.json').read_text())
  for name in ('within_a_class', 'loss', 'cosine'):
    assert result['metrics'][name] == last[name]
  # What was lost of the end is made up for, each split once.
  (tmp_path / 'summary.json').unlink()
  passes.clear()
  train.train(ex, tmp_path)
  assert passes == ['val', 'test']


def test_an_experiment_is_typed_by_the_contracts():
  hints = inspect.get_annotations(experiment.Experiment, eval_str=True)
  assert hints['task'] is base.Task and hints['module'] is nn.Module
