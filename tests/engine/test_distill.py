"""A task around a task: learning from a trained model."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import recog_jax
from recog_jax.engine import config as config_lib
from recog_jax.engine import config_keys, distill, experiment, trained
from recog_jax.engine.distill import divergence
from recog_jax.errors import UserError
from recog_jax.tasks import group_dro
from tests.engine import toys
from tests.engine.test_interface import config_of, folder, run


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  """Pictures, and a teacher that was trained on them."""
  root = tmp_path_factory.mktemp('distill')
  data = folder(root / 'data')
  run(data, root / 'teacher', config_of())
  return data, root / 'teacher'


def student(teacher, **keys):
  config = config_of(hidden=(4,))
  config.task = {
    'name': 'distill',
    'teacher': str(teacher),
    'task': config.task.to_dict(),
    **keys,
  }
  return config


def test_the_divergence_is_that_of_the_definition():
  rng = np.random.default_rng(0)
  goal, own = rng.normal(size=(2, 3, 5)).astype(np.float32)
  p, q = (
    np.exp(x / 3) / np.exp(x / 3).sum(-1, keepdims=True) for x in (goal, own)
  )
  wanted = (p * np.log(p / q)).sum(-1)
  found = divergence(jnp.asarray(goal), jnp.asarray(own), 3.0, 'softmax')
  np.testing.assert_allclose(found, wanted, rtol=1e-4)
  two = divergence(jnp.asarray(goal), jnp.asarray(own), 3.0, 'sigmoid')
  p, q = (1 / (1 + np.exp(-x / 3)) for x in (goal, own))
  wanted = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
  np.testing.assert_allclose(two, wanted.mean(-1), rtol=1e-4)
  for kind in ('softmax', 'sigmoid', 'mse'):

    def apart(x, k=kind):
      return divergence(goal, x, 2.0, k).sum()

    assert float(apart(jnp.asarray(goal))) == pytest.approx(0, abs=1e-6)
    # The teacher gets no gradient, and at the teacher the student none.
    np.testing.assert_allclose(jax.grad(apart)(jnp.asarray(goal)), 0, atol=1e-6)


@pytest.mark.smoke
def test_the_loss_is_the_students_and_the_teachers(places):
  data, teacher = places
  ex = experiment.build(student(teacher, weight=0.25, temperature=3.0), data)
  model = recog_jax.load(teacher)
  rng = np.random.default_rng(0)
  batch = {
    'inputs': rng.integers(0, 255, (4, 8, 8, 1), np.uint8),
    'targets': np.arange(4) % 3,
    'index': np.arange(4),
    'valid': np.array([True, True, True, False]),
  }
  own = rng.normal(size=(4, 3)).astype(np.float32)
  plain = ex.task.preprocess(batch, jax.random.key(0), train=True)
  terms = ex.task.loss({'logits': own, 'taps': {}}, plain)
  inner = ex.task.task.loss({'logits': own, 'taps': {}}, plain)
  np.testing.assert_array_equal(terms['loss'], inner['loss'])
  goal = model.logits({'inputs': batch['inputs']})
  wanted = divergence(goal[:3], own[:3], 3.0, 'softmax').sum()
  np.testing.assert_allclose(terms['distill'][0], wanted, rtol=1e-4)
  assert float(terms['distill'][1]) == 3
  factors = ex.task.coefficients
  assert factors['distill'] == 0.25 * 9
  assert factors.get('loss', 1.0) == 0.75


@pytest.mark.slow
def test_a_student_opens_where_its_teacher_is_not(places, tmp_path):
  data, teacher = places
  shutil.copytree(teacher, tmp_path / 'teacher')
  run(data, tmp_path / 'student', student(tmp_path / 'teacher'))
  shutil.rmtree(tmp_path / 'teacher')
  model = recog_jax.load(tmp_path / 'student')
  assert model.predict([np.zeros((8, 8), np.uint8)])[0].label in model.labels
  opened = trained.open_workdir(tmp_path / 'student', data, {'auc': True})
  assert opened.ex.task.spec.auc and opened.ex.task.opened is None
  with pytest.raises(UserError, match='teacher'):
    experiment.build(config_lib.read_kept(tmp_path / 'student'), data)


@pytest.mark.slow
def test_learning_from_the_teacher_alone_comes_nearer_to_it(root, tmp_path):
  from recog_jax.engine import interface
  from recog_jax.engine.train import train

  ex = toys.make(root, total_steps=6)
  config = config_lib.load(f'{root}/configs/digits_resnet8.py:tiny')
  config_lib.keep(tmp_path, config)
  interface.keep(ex, tmp_path)
  train(ex, tmp_path)
  keys = {
    'name': 'distill',
    'teacher': str(tmp_path),
    'weight': 1.0,
    'task': ex.settings.task,
  }
  student = toys.make(root, task=keys, total_steps=30)
  _, losses = toys.run_steps(student, 30)
  assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_other_classes_are_named_and_other_inputs(places, tmp_path):
  data, teacher = places
  other = folder(tmp_path / 'other', ('ant', 'bee', 'cat'))
  with pytest.raises(UserError, match=r'cat, dog, eel.*ant, bee, cat'):
    experiment.build(student(teacher), other)
  config = student(teacher)
  config.task.task.mean = (0.9,)
  with pytest.raises(UserError, match='takes other inputs'):
    experiment.build(config, data)
  with pytest.raises(UserError, match='give the workdir of a training'):
    experiment.build(student(tmp_path / 'none'), data)


def test_every_key_of_both_tasks_can_be_set(places):
  config = student(places[1])
  found = config_keys.apply_texts(
    config, {'task.temperature': '4', 'task.task.label_smoothing': '0.1'}
  )
  assert found == {'task.temperature': 4.0, 'task.task.label_smoothing': 0.1}
  names = {entry.path for entry in config_keys.entries(config)}
  assert {'task.weight', 'task.task.mean', 'prune.sparsity'} <= names


def test_factors_reach_through_tasks_around_tasks():
  """Of groups and a teacher, in both orders."""
  own = {'ctc': 0.5}
  shares = distill._Shares(group_dro._Each(own), 0.25, 2.0)
  assert shares.get('ctc/a', 1.0) == 0.5 * 0.75 and shares['distill'] == 1
  assert shares.get('other/a', 1.0) == 0.75
  each = group_dro._Each(distill._Shares(own, 0.25, 2.0))
  assert each.get('ctc/a', 1.0) == 0.5 * 0.75
  assert each.get('other/b', 1.0) == 0.75 and each.get('distill/b', 1.0) == 1
