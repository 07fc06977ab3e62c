"""What each task makes of a model's outputs for one thing."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.answers import Asked, Label, Labels, Numbers, Outputs, Span
from recog_jax.data.image.records import Info
from recog_jax.tasks import base
from recog_jax.tasks.classification.task import make_classification
from recog_jax.tasks.regression import make_regression

NAMES = ('ant', 'bee', 'cat')


def answer(task, logits, asked=None):
  """That of a thing of as many pieces as there are rows."""
  outputs = {'logits': jnp.asarray(logits, jnp.float32)}
  rows = {k: np.asarray(v) for k, v in task.answer_rows(outputs, {}).items()}
  each = [{k: v[i] for k, v in rows.items()} for i in range(len(logits))]
  spans = [Span()] * len(each)
  return task.answer(each, spans, 'a.png', asked or Asked())


def task_of(**keys):
  info = Info('toys', (8, 8, 1), NAMES)
  return make_classification(info=info, **keys)


def test_one_class():
  found = answer(task_of(), [[0.0, np.log(3.0), 0.0]], Asked(top=2))
  assert isinstance(found, Label) and found.label == 'bee'
  assert found.probability == pytest.approx(0.6)
  assert found.top == (('bee', pytest.approx(0.6)), ('ant', pytest.approx(0.2)))
  assert found.as_json()['file'] == 'a.png'
  assert answer(task_of(), [[0, 1, 0]], Asked(threshold=0.9)).label is None


def test_several_pieces_by_their_mean():
  found = answer(task_of(), [[9.0, 0, 0], [9.0, 0, 0], [0, 9.0, 0]])
  assert found.label == 'ant' and found.probability == pytest.approx(
    2 / 3, 0.01
  )


def test_several_labels():
  task = task_of(loss='sigmoid', multi_label=True)
  found = answer(task, [[2.0, -2.0, 1.0]])
  assert isinstance(found, Labels) and found.labels == ('ant', 'cat')
  assert answer(task, [[2.0, -2.0, 1.0]], Asked(threshold=0.8)).labels == (
    'ant',
  )
  assert answer(task, [[-2.0, -2.0, -1.0]]).labels == ()


def test_numbers_are_in_the_units_of_the_data():
  info = Info('toys', (8, 8, 1), (), ('age', 'height'))
  task = make_regression(
    info=info, target_mean=(40.0, 1.7), target_std=(10.0, 0.1)
  )
  found = answer(task, [[1.0, -2.0]])
  assert isinstance(found, Numbers)
  assert found.values == {
    'age': pytest.approx(50),
    'height': pytest.approx(1.5),
  }


@dataclasses.dataclass(frozen=True)
class Own(base.BaseTask):
  """A task that says nothing of answers."""

  num_outputs: int = 2

  def loss(self, outputs, batch):
    return {}


def test_a_task_of_one_s_own_gives_its_outputs():
  found = answer(Own(), [[1.0, 2.0]])
  assert found == Outputs('a.png', (1.0, 2.0))
