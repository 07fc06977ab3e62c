"""Files on a bucket and on a disk are the same to `launch`."""

import importlib.util
import time

import pytest

from launch import store, sweep, workdirs
from recog_jax.errors import UserError
from tests.launch import fakes


@pytest.fixture(params=['disk', 'bucket'])
def root(request, tmp_path):
  if request.param == 'disk':
    return store.root(str(tmp_path))
  return store.root(request.getfixturevalue('bucket') + '/sweeps')


def test_json(root):
  path = root / 'a' / 'b.json'
  assert store.read_json(path) is None
  before = time.time()
  store.write_json(path, {'x': [1, 2]})
  store.write_json(path, {'x': [3]})
  assert store.read_json(path) == {'x': [3]}
  assert before - 2 <= store.modified(path) <= time.time() + 2
  assert store.modified(root / 'none') == 0
  assert [p.name for p in (root / 'a').iterdir()] == ['b.json']
  path.write_text('{"x": ')
  assert store.read_json(path) is None


def test_rows(root):
  path = root / 'metrics.jsonl'
  assert store.read_rows(path) == []
  path.write_text('{"step": 1}\n{"step": 2}\n{"st')  # Cut by a kill.
  assert store.read_rows(path) == [{'step': 1}, {'step': 2}]


def test_a_trial_is_finished(root):
  trial = fakes.trials([0])[0]
  workdir = root / trial.id
  assert not workdirs.is_finished(workdir, trial)
  store.write_json(workdir / 'config.json', dict(trial.config))
  assert not workdirs.is_finished(workdir, trial)
  store.write_json(workdir / 'summary.json', {'step': 4})
  assert workdirs.is_finished(workdir, trial)
  # The schedule has grown: it goes on.
  shorter = {**trial.config, 'total_steps': 2}
  store.write_json(workdir / 'config.json', shorter)
  assert not workdirs.is_finished(workdir, trial)
  store.write_json(workdir / 'config.json', {**trial.config, 'seed': 5})
  with pytest.raises(UserError, match='seed: 5 -> 0'):
    workdirs.is_finished(workdir, trial)


def test_sweep_json(root):
  found = sweep.load('experiments/sweeps/digits_lr.py')
  sweep.keep(root, found)
  assert len(store.read_json(root / 'sweep.json')) == 8


def test_a_scheme_that_is_not_known():
  for text in ('memory://x', 'file:///tmp', 'ftp://host/x'):
    with pytest.raises(UserError, match='gs:// or s3://'):
      store.root(text)


@pytest.mark.parametrize(
  ('url', 'package'), [('gs://b/x', 'gcsfs'), ('s3://b/x', 's3fs')]
)
def test_a_package_that_is_missing(url, package):
  if importlib.util.find_spec(package) is not None:
    pytest.skip(f'{package} is installed here')
  with pytest.raises(UserError, match=rf'needs {package}: pip install'):
    store.check_access(store.root(url))


def test_credentials_that_are_missing(bucket, monkeypatch):
  def refuse(*args, **kwargs):
    raise PermissionError('Anonymous caller\nmore')

  monkeypatch.setattr(fakes.Bucket, 'exists', refuse)
  with pytest.raises(UserError, match='gcloud auth application-default login'):
    store.check_access(store.root(f'{bucket}/x'))
