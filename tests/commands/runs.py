"""Runs of the commands in processes of their own, and what they leave."""

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from recog_jax.engine import logbook

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'tests/commands/kill_config.py'


def shared_environment() -> dict[str, str]:
  """One CPU device; programs are compiled as, and shared with, the session."""
  env = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)}
  flags = os.environ.get('XLA_FLAGS', '').split()
  env['XLA_FLAGS'] = ' '.join(f for f in flags if 'device_count' not in f)
  return env


def environment(cache: Path | None = None) -> dict[str, str]:
  """One CPU device; compiled programs come from `cache` where it is given."""
  env = shared_environment()
  del env['XLA_FLAGS']
  for name in [n for n in env if n.startswith('JAX_COMPILATION_CACHE')]:
    del env[name]
  if cache is not None:
    env['JAX_COMPILATION_CACHE_DIR'] = str(cache)
    env['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
    env['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'
  return env


class Run:
  """A command that runs beside the test; its output goes to a file."""

  def __init__(
    self,
    log: Path,
    *args: str,
    module: str = 'recog_jax.main',
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
    **popen,
  ):
    self.log = log
    with log.open('w') as file:
      self.process = subprocess.Popen(
        [sys.executable, '-m', module, *args],
        stdout=file,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=env or shared_environment(),
        **popen,
      )

  def text(self) -> str:
    return self.log.read_text()

  def step(self) -> int:
    """The last step that the output names; 0 before the first."""
    found = re.findall(r'^step (\d+) ', self.text(), re.M)
    return int(found[-1]) if found else 0

  def resumed(self) -> int | None:
    found = re.search(r'continuing from step (\d+)', self.text())
    return int(found[1]) if found else None

  def wait_until(
    self, true: Callable[[], bool], seconds: float = 180, pause: float = 0.01
  ) -> bool:
    """False if the process ended before; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
      if self.process.poll() is not None:
        return true()
      if time.monotonic() > end:
        self.kill()
        raise TimeoutError(self.text()[-2000:])
      time.sleep(pause)
    return True

  def says(self, text: str, seconds: float = 180) -> bool:
    return self.wait_until(lambda: text in self.text(), seconds)

  def send(self, number: signal.Signals) -> None:
    self.process.send_signal(number)

  def kill(self) -> None:
    self.process.kill()
    self.process.wait()

  def end(self, seconds: float = 240) -> int:
    """The exit code."""
    try:
      return self.process.wait(seconds)
    except subprocess.TimeoutExpired:
      self.kill()
      raise


def saving(workdir: Path) -> bool:
  """A checkpoint is half written."""
  return any((workdir / 'checkpoints').glob('*.orbax-checkpoint-tmp*'))


def steps(workdir: Path) -> list[int]:
  names = [p.name for p in (workdir / 'checkpoints').glob('*')]
  return sorted(int(name) for name in names if name.isdigit())


def rows(workdir: Path) -> list[dict]:
  """metrics.jsonl without what a clock says."""
  return [
    {k: v for k, v in row.items() if not k.startswith('time/')}
    for row in logbook.read(workdir / 'metrics.jsonl')
  ]


def leaves(workdir: Path, step: int) -> dict[str, np.ndarray]:
  """Every leaf of a checkpoint, as it lies on the disk."""
  import jax

  from recog_jax.engine.paths import path_name

  path = (workdir / 'checkpoints' / str(step) / 'state').absolute()
  with ocp.PyTreeCheckpointer() as checkpointer, warnings.catch_warnings():
    warnings.simplefilter('ignore')  # That shardings come from a file.
    tree = checkpointer.restore(path)
  found = jax.tree_util.tree_leaves_with_path(tree)
  return {path_name(p): np.asarray(x) for p, x in found}


def differing(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> list[str]:
  """Names of leaves that are not the same, bit for bit."""
  return [
    name
    for name in sorted({*a, *b})
    if name not in a
    or name not in b
    or a[name].dtype != b[name].dtype
    or a[name].tobytes() != b[name].tobytes()
  ]
