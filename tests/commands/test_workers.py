"""No worker process, and no shared memory, outlives a run."""

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.commands import runs

pytestmark = pytest.mark.slow

# What a worker may need to see that it is alone.
SECONDS = 5.0


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """160 grey pictures of two classes and of several sizes."""
  folder = tmp_path_factory.mktemp('pictures')
  rng = np.random.default_rng(0)
  for split, count in (('train', 128), ('val', 32)):
    for i in range(count):
      path = folder / split / 'ab'[i % 2] / f'{i}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      shape = rng.integers(24, 64, 2)
      cv2.imwrite(str(path), rng.integers(0, 255, shape, np.uint8))
  return folder


def _descendants(pid: int) -> set[int]:
  found = set()
  for task in Path(f'/proc/{pid}/task').glob('*/children'):
    for child in map(int, task.read_text().split()):
      found |= {child} | _descendants(child)
  return found


def _alive(pids: set[int]) -> set[int]:
  """Those that run, or are a zombie of a process that does."""
  return {pid for pid in pids if Path(f'/proc/{pid}').exists()}


def _has_device(pid: int) -> bool:
  """XLA's threads run; grain imports jax, which starts none."""
  names = [p.read_text() for p in Path(f'/proc/{pid}/task').glob('*/comm')]
  return any('XLA' in name for name in names)


def _workers(pids: set[int]) -> set[int]:
  """Without the helper that multiprocessing starts beside the workers."""
  return {
    pid
    for pid in pids
    if b'spawn_main' in Path(f'/proc/{pid}/cmdline').read_bytes()
  }


def _shared_memory() -> set[str]:
  return {path.name for path in Path('/dev/shm').glob('psm_*')}


class _Traces:
  """Processes and shared memory of a run, before and after it."""

  def __init__(self, tmp_path, pictures, *args, until='step 30 '):
    self.shared = _shared_memory()
    self.workdir = tmp_path / 'run'
    self.run = runs.Run(
      tmp_path / 'log',
      '--config=tests/commands/folder_config.py',
      f'--data_dir={pictures}',
      f'--workdir={self.workdir}',
      *args,
      start_new_session=True,
    )
    assert self.run.says(until), self.run.text()
    self.pids = _descendants(self.run.process.pid)

  def assert_gone(self, memory: bool = True) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
      left = _shared_memory() - self.shared if memory else set()
      if not _alive(self.pids) and not left:
        return
      time.sleep(0.1)
    raise AssertionError(f'{_alive(self.pids)} {left}')


def test_killed(tmp_path, pictures):
  traces = _Traces(tmp_path, pictures)
  workers = _workers(traces.pids)
  assert len(workers) == 2
  assert not any(_has_device(pid) for pid in workers)
  assert _has_device(traces.run.process.pid)
  traces.run.kill()
  traces.assert_gone()
  assert 'Traceback' not in traces.run.text()


def test_killed_while_the_workers_start(tmp_path, pictures):
  traces = _Traces(tmp_path, pictures, until='parameters, ')
  end = time.monotonic() + 30
  while not _workers(traces.pids) and time.monotonic() < end:
    traces.pids = _descendants(traces.run.process.pid)
  assert _workers(traces.pids)
  traces.run.kill()
  traces.assert_gone()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_stopped_with_its_whole_group(tmp_path, pictures, number):
  """As Ctrl-C and a scheduler do it: the workers get the signal too."""
  traces = _Traces(tmp_path, pictures)
  os.killpg(traces.run.process.pid, number)
  assert traces.run.end() == 0, traces.run.text()
  traces.assert_gone()
  assert 'the same command continues' in traces.run.text()
  assert 'Traceback' not in traces.run.text()
  assert runs.steps(traces.workdir)[-1] >= 30


def test_stopped_while_the_workers_start(tmp_path, pictures):
  traces = _Traces(tmp_path, pictures, until='parameters, ')
  end = time.monotonic() + 30
  while not _workers(traces.pids) and time.monotonic() < end:
    traces.pids = _descendants(traces.run.process.pid)
  os.killpg(traces.run.process.pid, signal.SIGINT)
  assert traces.run.end() == 0, traces.run.text()
  traces.assert_gone()
  assert 'Traceback' not in traces.run.text()
  assert runs.steps(traces.workdir)


def test_ended(tmp_path, pictures):
  traces = _Traces(
    tmp_path, pictures, '--config.total_steps=40', until='step 8 '
  )
  assert traces.run.end() == 0, traces.run.text()
  traces.assert_gone()


def test_a_picture_that_cannot_be_read(tmp_path, pictures):
  """The worker's sentence is the run's, and exit code 1."""
  damaged = pictures / 'train' / 'a' / '0.png'
  data = damaged.read_bytes()
  damaged.write_bytes(data[:40] + b'0' * (len(data) - 40))
  try:
    traces = _Traces(tmp_path, pictures, until='parameters, ')
    assert traces.run.end() == 1, traces.run.text()
  finally:
    damaged.write_bytes(data)
  traces.assert_gone()
  assert f'error: {damaged} (record' in traces.run.text()
  assert 'Traceback' not in traces.run.text()


def test_a_worker_that_is_killed_ends_the_run(tmp_path, pictures):
  traces = _Traces(tmp_path, pictures)
  os.kill(min(_workers(traces.pids)), signal.SIGKILL)
  assert traces.run.end() == 1, traces.run.text()
  # It may die between making a piece of memory and registering it.
  traces.assert_gone(memory=False)
  assert '\nerror: a process that decodes records was killed' in (
    traces.run.text()
  )
  assert 'Traceback' not in traces.run.text()


def test_killed_and_continued_is_straight(tmp_path, pictures):
  """And a run without workers is the same run."""

  def start(name, workers):
    return runs.Run(
      tmp_path / f'{name}.log',
      '--config=tests/commands/folder_config.py',
      f'--data_dir={pictures}',
      f'--workdir={tmp_path / name}',
      '--config.total_steps=100',
      f'--config.data.workers={workers}',
    )

  assert start('straight', 0).end() == 0
  killed = start('killed', 2)
  assert killed.wait_until(lambda: killed.step() >= 50)
  killed.kill()
  again = start('killed', 2)
  assert again.end() == 0, again.text()
  assert 20 <= again.resumed() < 100
  leaves = [runs.leaves(tmp_path / w, 100) for w in ('straight', 'killed')]
  assert not runs.differing(*leaves)
  assert runs.rows(tmp_path / 'straight') == runs.rows(tmp_path / 'killed')
