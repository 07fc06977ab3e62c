"""People's files: what is listed as theirs, and what can be read."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

# What systems and storage boxes put beside people's files.
_SYSTEM = (
  *('__macosx', 'lost+found', '$recycle.bin', '#recycle', '#snapshot'),
  'system volume information',
)


def is_hidden(name: str) -> bool:
  """Whether a file or folder is no one's data: .DS_Store, ._1.jpg, @eaDir."""
  return name.startswith(('.', '@')) or name.lower() in _SYSTEM


def below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
  """Files of some suffixes (lower case) in a folder and deeper ones."""
  for place, folders, names in os.walk(folder):
    folders[:] = [name for name in folders if not is_hidden(name)]
    for name in names:
      if name.lower().endswith(suffixes) and not is_hidden(name):
        yield Path(place, name)


def listed(folder: Path, pattern: str = '*') -> list[Path]:
  """What a folder holds, in the order of names, without what is hidden.

  Args:
    folder: where to look.
    pattern: as `Path.glob` has it.
  """
  return sorted(
    path
    for path in folder.glob(pattern)
    if not any(map(is_hidden, path.relative_to(folder).parts))
  )


def check_regular(path: str | os.PathLike) -> os.stat_result:
  """A file's size and time; not of a pipe or device, which may never end.

  Raises:
    OSError: it is none, or not there.
  """
  found = os.stat(path)  # noqa: PTH116, millions of paths are strings
  if stat.S_ISDIR(found.st_mode):
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
  if not stat.S_ISREG(found.st_mode):
    raise OSError(errno.EINVAL, 'it is a pipe or device, no file', path)
  return found


def read_bytes(path: Path) -> bytes:
  """What a file holds; see `check_regular`."""
  check_regular(path)
  return path.read_bytes()
