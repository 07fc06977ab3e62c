"""Files of workdirs, whatever they hold."""

import json
import math

import pytest

from recog_jax import storage
from recog_jax.errors import UserError


def _strict(text):
  def refuse(token):
    raise AssertionError(token)

  return json.loads(text, parse_constant=refuse)


@pytest.mark.smoke
def test_what_is_not_finite_is_null_with_a_note():
  value = {
    'auc': math.nan,
    'auc_ci95': (math.nan, 1.0),
    'notes': ['one class'],
    'per_class': {'f1': [0.5, math.inf]},
    'seconds': {'total': -math.inf},
  }
  found = _strict(storage.as_json(value))
  assert found == {
    'auc': None,
    'auc_ci95': [None, 1.0],
    'notes': ['one class', 'auc is nan'],
    'per_class': {'f1': [0.5, None]},
    'seconds': {'total': None, 'notes': ['total is -inf']},
  }
  assert storage.as_json(found) == storage.as_json(_strict(json.dumps(found)))
  assert storage.as_json({'a': 0.1}) == '{"a": 0.1}'


BROKEN = {
  'binary': b'\x86\x00\xff',
  'cut': b'{"a": 1',
  'list': b'[{"a": 1}]',
  'number': b'5',
  'null': b'null',
  'deep': b'[' * 100_000,
  'long number': b'{"a": ' + b'9' * 5000 + b'}',
  'empty': b'',
}


@pytest.mark.parametrize('name', BROKEN)
def test_files_that_are_no_objects(tmp_path, name):
  path = tmp_path / 'config.json'
  path.write_bytes(BROKEN[name])
  assert storage.read_json(path) is None
  with pytest.raises(UserError, match='config.json is no') as told:
    storage.load_json(path)
  assert str(told.value).endswith('restore it')


def test_lines_that_are_no_rows_are_skipped(tmp_path):
  path = tmp_path / 'rows.jsonl'
  lines = [b'{"a": "x\xe2\x80\xa8y"}', *BROKEN.values(), b'{"b": 2}', b'{"c']
  path.write_bytes(b'\n'.join(lines))
  assert storage.read_rows(path) == [{'a': 'x\u2028y'}, {'b': 2}]
  assert storage.read_rows(tmp_path / 'none') == []


def test_folders_of_steps(tmp_path):
  for name in ('12', '0', '3', '²', '٣', '007', '1' * 30, '-1', '5.tmp', 'x_5'):
    (tmp_path / name).mkdir()
  (tmp_path / '9').touch()
  assert storage.step_folders(tmp_path) == [0, 3, 12]
  assert storage.step_folders(tmp_path / 'none') == []
  assert storage.step_folders(tmp_path / '9') == []


@pytest.mark.parametrize('name', ['config.json', 'metrics.jsonl', '.lock'])
def test_a_folder_in_the_place_of_a_file(tmp_path, name):
  (tmp_path / name).mkdir()
  with pytest.raises(UserError, match=f'{name} is a folder, where a run keeps'):
    storage.make_workdir(tmp_path)


@pytest.mark.parametrize('name', ['checkpoints', 'results', 'tensorboard'])
def test_a_file_in_the_place_of_a_folder(tmp_path, name):
  (tmp_path / name).touch()
  with pytest.raises(UserError, match=f'{name} is a file, where a run keeps a'):
    storage.make_workdir(tmp_path)


def test_a_workdir_is_made_once(tmp_path):
  for _ in range(2):
    storage.make_workdir(tmp_path / 'a' / 'b')
    (tmp_path / 'a' / 'b' / 'results').mkdir(exist_ok=True)


def test_names_that_are_no_text():
  with pytest.raises(UserError, match='is not UTF-8'):
    storage.path_of('runs/\udcff')
