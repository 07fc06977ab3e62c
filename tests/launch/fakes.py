"""What tests of the launcher share: quick trials, and a bucket in memory."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
from etils.epath import backend as epath_backend
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from launch import space, sweep

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/digits_resnet8.py:tiny'
COMMAND = (sys.executable, '-m', 'tests.launch.fake_main')


def dicts(seeds=range(8), steps: int = 4, **keys) -> list[dict]:
  """What a sweep of quick trials yields."""
  plain = {'config': CONFIG, 'total_steps': steps, **keys}
  return space.cross([plain], [{'seed': seed} for seed in seeds])


def trials(*args, **keys) -> list[sweep.Trial]:
  return sweep.make_trials(dicts(*args, **keys))


def environment() -> dict[str, str]:
  return {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)}


@contextlib.contextmanager
def launcher(root: Path, count: int, given: list[dict]) -> Iterator:
  """A sweep that runs beside the test; killed if it is left running."""
  process = subprocess.Popen(
    [
      sys.executable,
      '-m',
      'tests.launch.launcher',
      str(root),
      str(count),
      json.dumps(given),
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    cwd=ROOT,
    env=environment(),
  )
  try:
    yield process
  finally:
    if process.poll() is None:
      process.kill()
    process.communicate()


def wait_until(condition, seconds: float = 30) -> None:
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, 'waited in vain'
    time.sleep(0.02)


def steps(root: Path, trial: sweep.Trial) -> list[int]:
  """The steps that a trial did, in order, over all of its starts."""
  path = root / trial.id / 'steps.txt'
  return [int(n) for n in path.read_text().split()] if path.exists() else []


def starts(root: Path, trial: sweep.Trial) -> list[int]:
  """The process ids of a trial's starts."""
  path = root / trial.id / 'starts.txt'
  return [int(n) for n in path.read_text().split()] if path.exists() else []


def is_alive(pid: int) -> bool:
  try:
    state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
  except FileNotFoundError:
    return False
  return state != 'Z'


class Bucket(MemoryFileSystem):
  """Stands in for Google Cloud Storage."""

  protocol = ('gcs', 'gs')
  store: dict = {}
  pseudo_dirs = ['']

  @classmethod
  def _strip_protocol(cls, path):
    return MemoryFileSystem._strip_protocol(
      str(path).removeprefix('gs://').removeprefix('gcs://')
    )


@contextlib.contextmanager
def bucket() -> Iterator[str]:
  """gs:// lies in memory meanwhile; gives the URL of an empty bucket."""
  known = dict(_registry)
  epath_backend.fsspec_backend._get_filesystem.cache_clear()
  for name in ('gcs', 'gs'):
    fsspec.register_implementation(name, Bucket, clobber=True)
  Bucket.store.clear()
  Bucket.pseudo_dirs[:] = ['']
  try:
    Bucket().mkdir('/bucket')
    yield 'gs://bucket'
  finally:
    _registry.clear()
    _registry.update(known)
    epath_backend.fsspec_backend._get_filesystem.cache_clear()
    Bucket.clear_instance_cache()
