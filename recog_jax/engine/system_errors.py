"""What the system said when something could not be written or read."""

import errno
import os
import re
import textwrap
from pathlib import Path

from recog_jax.errors import advice_of
from recog_jax.storage import AnyPath, is_remote


def reason(error: Exception) -> str:
  """What the system says, or the begin of a text that runs over pages."""
  if code := number(error):
    return os.strerror(code)
  lines = str(error).strip().splitlines()
  return textwrap.shorten(lines[0] if lines else type(error).__name__, 120)


def number(error: BaseException | None) -> int:
  """The system's number of what an error began with; 0 if it has none."""
  while error is not None:
    if code := re.search(r"os_error_code='(\d+)'", str(error)):
      return int(code[1])
    if isinstance(error, OSError) and error.errno:
      return error.errno
    error = error.__cause__
  return 0


def identity(folder: AnyPath) -> tuple[int, int] | None:
  """Tells a folder from another one of the same name; None: it is gone."""
  try:
    found = Path(folder).stat()
  except OSError:
    return None
  return found.st_dev, found.st_ino


def advised(error: Exception, folder: AnyPath) -> str:
  """The reason in brackets, and what to do about it.

  Args:
    error: of a library that was to write there.
    folder: where it was to write.
  """
  said, code = reason(error), number(error)
  advice = advice_of(code) or ': see that it can be written'
  full = code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
  if full and not is_remote(folder):
    there = os.statvfs(folder)
    said += f'; {there.f_bavail * there.f_frsize >> 20} MiB are free there'
    if there.f_files and not there.f_favail:
      said, advice = f'{said}, but no inodes', ': remove some files'
  return f'({said}){advice}'
