"""A damaged checkpoint costs the steps since the one before, and a sentence."""

import shutil

import pytest

from tests.commands import runs

pytestmark = pytest.mark.slow


def _train(folder, env, workdir, name):
  return runs.Run(
    folder / name,
    f'--config={runs.CONFIG}:mlp',
    f'--workdir={workdir}',
    '--config.total_steps=36',
    env=env,
  )


@pytest.fixture(scope='module')
def straight(tmp_path_factory, cached):
  folder = tmp_path_factory.mktemp('damage')
  run = _train(folder, cached, folder / 'run', 'log')
  assert run.end() == 0, run.text()
  return folder / 'run'


def _flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1 << 4
  path.write_bytes(data)


@pytest.mark.parametrize(
  'what', ['manifest.ocdbt', 'largest', 'metadata', 'missing', 'empty']
)
def test_the_one_before_is_taken(tmp_path, cached, straight, what):
  workdir = shutil.copytree(straight, tmp_path / 'run')
  newest = workdir / 'checkpoints/36'
  state = newest / 'state'
  if what == 'largest':
    files = [p for p in state.rglob('*') if p.is_file()]
    _flip(max(files, key=lambda p: p.stat().st_size))
  elif what == 'metadata':
    _flip(newest / 'meta/metadata')
  elif what == 'missing':
    shutil.rmtree(state / 'd')
  elif what == 'empty':
    shutil.rmtree(newest)
    newest.mkdir()
  else:
    _flip(state / what)
  run = _train(tmp_path, cached, workdir, 'log')
  assert run.end() == 0, run.text()
  assert 'Traceback' not in run.text()
  said = [x for x in run.text().splitlines() if x.startswith('warning: ')]
  assert len(said) == 2 and 'checkpoint 36 in' in said[0], said
  assert run.resumed() == 24
  assert (workdir / 'checkpoints.damaged/36').is_dir()
  assert runs.rows(workdir) == runs.rows(straight)
  a, b = runs.leaves(straight, 36), runs.leaves(workdir, 36)
  assert not runs.differing(a, b)
