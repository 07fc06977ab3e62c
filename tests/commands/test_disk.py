"""A full disk: one sentence, exit code 1, and the last checkpoint is whole."""

import resource
import signal
import subprocess

import pytest

from tests.commands import runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def straight(tmp_path_factory, cached):
  """The leaves of a run that met no obstacle."""
  folder = tmp_path_factory.mktemp('straight')
  assert _start(folder, folder / 'run', cached).end() == 0
  return runs.leaves(folder / 'run', 240)


def _start(tmp_path, workdir, env, *args, name='log'):
  return runs.Run(
    tmp_path / name,
    f'--config={runs.CONFIG}:mlp',
    f'--workdir={workdir}',
    *args,
    env=env,
  )


@pytest.fixture
def small_disk(tmp_path):
  """A file system of two megabytes."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  command = ['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', str(folder)]
  try:
    done = subprocess.run(command, capture_output=True, text=True)
  except OSError as error:
    pytest.skip(f'no small file system can be mounted: {error}')
  if done.returncode:
    pytest.skip(f'no small file system can be mounted: {done.stderr.strip()}')
  yield folder
  subprocess.run(['umount', '-l', str(folder)], check=True)


def _fill(folder, left: int) -> None:
  """A file that leaves `left` bytes free."""
  path = folder / 'ballast'
  with path.open('wb', buffering=0) as file:
    try:
      while True:
        file.write(bytes(4096))
    except OSError:
      pass
    file.truncate(max(0, path.stat().st_size - left))


def _assert_one_sentence(run):
  assert run.end() == 1, run.text()
  assert 'Traceback' not in run.text(), run.text()
  error = run.text()[run.text().index('error: ') :].strip()
  assert '\n' not in error
  return error


def _assert_continues(tmp_path, workdir, env, step, straight):
  run = _start(tmp_path, workdir, env, name='rerun')
  assert run.end() == 0, run.text()
  assert run.resumed() == step
  assert 'damaged' not in run.text()
  assert not runs.differing(straight, runs.leaves(workdir, 240))


def test_a_checkpoint_that_does_not_fit(tmp_path, small_disk, cached, straight):
  workdir = small_disk / 'run'
  run = _start(tmp_path, workdir, cached, '--config.stop_step=24')
  assert run.end() == 0, run.text()
  _fill(small_disk, 40 << 10)
  run = _start(tmp_path, workdir, cached, name='full')
  error = _assert_one_sentence(run)
  assert 'could not be written' in error and '(step 24)' in error
  assert '(No space left on device; 0 MiB' in error
  assert runs.steps(workdir)[-1] == 24
  (small_disk / 'ballast').unlink()
  _assert_continues(tmp_path, workdir, cached, 24, straight)


def test_a_log_that_does_not_fit(tmp_path, small_disk, cached):
  workdir = small_disk / 'run'
  only_logs = (
    '--config.total_steps=100000',
    '--config.checkpoint.every_steps=10000',
    '--config.evaluation.every_steps=10000',
  )
  run = _start(tmp_path, workdir, cached, *only_logs)
  assert run.says('step 28 train'), run.text()
  run.send(signal.SIGSTOP)
  _fill(small_disk, 0)
  run.send(signal.SIGCONT)
  assert 'No space left on device' in _assert_one_sentence(run)
  # Nothing can be written at all at the start.
  run = _start(tmp_path, workdir, cached, *only_logs, name='full')
  assert 'No space left on device' in _assert_one_sentence(run)


def test_a_limit_on_the_size_of_files(tmp_path, cached, straight):
  """Quotas end the same way; this needs no rights."""
  workdir = tmp_path / 'run'
  run = _start(tmp_path, workdir, cached, '--config.stop_step=24')
  assert run.end() == 0, run.text()
  run = _start(tmp_path, workdir, cached, name='full')
  limit = (6 << 10, 6 << 10)
  resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, limit)
  error = _assert_one_sentence(run)
  assert '(step 24)' in error and '(File too large; ' in error
  _assert_continues(tmp_path, workdir, cached, 24, straight)
