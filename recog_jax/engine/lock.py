"""One training at a time in a workdir."""

import contextlib
import fcntl
from collections.abc import Iterator

from recog_jax.errors import UserError
from recog_jax.storage import AnyPath, is_remote, make_workdir

_NAME = '.lock'


@contextlib.contextmanager
def locked(workdir: AnyPath, *, held: bool = True) -> Iterator[None]:
  """Holds `workdir/.lock`; the kernel releases it however the process ends.

  Args:
    workdir: the run's folder.
    held: False does nothing: the run's first process has the lock. On a bucket
      there are no locks.

  Raises:
    UserError: another process trains there.
  """
  if not held or is_remote(workdir):
    yield
    return
  make_workdir(workdir)
  with (workdir / _NAME).open('a') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(
        f'another process trains in {workdir}: wait for its end, or choose '
        'another --workdir'
      ) from error
    except OSError:
      pass  # A file system without locks.
    yield


def is_locked(workdir: AnyPath) -> bool:
  """Whether a process trains there."""
  path = workdir / _NAME
  if is_remote(path) or not path.exists():
    return False
  with path.open('r') as file:
    try:
      # Shared, and given back at once.
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
      return True
    except OSError:
      return False  # A file system without locks.
  return False
