"""`evaluate --groups`: which fields, whose examples, and what is refused."""

import types

import numpy as np
import pytest

from recog_jax.engine import groups
from recog_jax.engine.groups import Groups
from recog_jax.errors import UserError
from recog_jax.metrics.fairness import Scores
from recog_jax.report import groups as drawing

N = 80
FIELDS = {
  'gender': ['f', 'm'] * (N // 2),
  'age': ['20'] * (N // 2) + ['30'] * (N // 2),
  'lang': ['en'] * N,
  'speaker': [f's{i // 4}' for i in range(N)],
}


def lookup(ids):
  fields = {k: [v[i] for i in ids] for k, v in FIELDS.items()}
  return {'text': [''] * len(ids), 'fields': fields}


def task(**spec):
  right = (np.arange(N) % 2 == 0).astype(float)
  scores = Scores('accuracy', True, right, np.ones(N))
  return types.SimpleNamespace(
    by_example=lambda records, lookup: scores,
    spec=types.SimpleNamespace(**spec),
  )


RECORDS = {'index': np.arange(N), 'target': np.arange(N) % 3}


def report(asked, tmp_path, lookup=lookup, **spec):
  return groups.report(task(**spec), RECORDS, lookup, asked, tmp_path, 'test-3')


@pytest.mark.smoke
def test_fields_their_intersection_a_table_and_a_figure(tmp_path):
  found = report(Groups(('gender', 'age')), tmp_path)
  assert list(found['fields']) == ['gender', 'age', 'gender x age']
  assert found['clusters'] == 'speaker' and found['metric'] == 'accuracy'
  both = found['fields']['gender x age']['groups']
  assert both['f x 20']['value'] == 1 and both['m x 30']['value'] == 0
  assert found['fields']['gender']['gap'] == 1
  assert found['fields']['age']['groups']['20']['clusters'] == 10
  assert (tmp_path / 'test-3-groups.png').read_bytes().startswith(b'\x89PNG')
  text = drawing.tables(found)
  assert 'worst: m' in text and 'speakers' in text and 'f x 20' in text


def test_examples_can_be_the_units(tmp_path):
  found = report(Groups(('gender',), 'example'), tmp_path)
  assert found['fields']['gender']['groups']['f']['clusters'] == N // 2


def test_classes_are_groups_too(tmp_path):
  found = report(Groups(('label',)), tmp_path, label_names=('a', 'b', 'c'))
  assert list(found['fields']['label']['groups']) == ['a', 'b', 'c']


def test_what_is_refused(tmp_path):
  for asked, words in (
    (Groups(('sex',)), "unknown field of --groups 'sex'.*gender"),
    (Groups(('lang',)), "all 80 examples have the value 'en'"),
    (Groups(('gender',), 'patient'), "unknown field of --groups 'patient'"),
  ):
    with pytest.raises(UserError, match=words):
      report(asked, tmp_path)
  with pytest.raises(UserError, match='say nothing of their examples'):
    report(Groups(('sex',)), tmp_path, lambda ids: {'text': []})


def test_a_name_for_each_example_is_no_group(tmp_path):
  names = [str(i) for i in range(300)]
  records = {'index': np.arange(300)}
  with pytest.raises(UserError, match='300 values of 300 examples'):
    groups.report(
      task(), records, lambda ids: {'fields': {'id': names}},
      Groups(('id',)), tmp_path, 'x',
    )  # fmt: skip


def test_small_groups_are_marked_in_the_table(tmp_path):
  rare = {'kind': ['a'] * 40 + ['b'] * 37 + ['c'] * 3}
  found = report(Groups(('kind',)), tmp_path, lambda ids: {'fields': rare})
  assert 'not compared' in drawing.tables(found)
  assert not found['fields']['kind']['groups']['c']['compared']
