"""What is made once in a session, whichever of its workers comes first."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest


def once(
  factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
  """A folder that all workers read; nobody may write into it.

  Args:
    factory: of the session.
    name: of the folder, not used for another.
    make: fills it.
  """
  base = factory.getbasetemp()
  # A worker's folder lies in that of the session.
  base = base.parent if base.name.startswith('popen-') else base
  folder = base / f'once-{name}'
  with (base / f'once-{name}.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    done = folder / '.done'
    if not done.exists():
      folder.mkdir(exist_ok=True)
      make(folder)
      done.touch()
  return folder
