"""A folder for what can be made again: whole files, sealed by checksums.

It is `$RECOG_JAX_CACHE`, else `$XDG_CACHE_HOME/recog_jax`, else
`~/.cache/recog_jax`; deleting it is safe.
"""

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from absl import logging

# Decoded bytes up to which a split is worth keeping whole.
SIZE_LIMIT = 2 << 30
# A half-written file of a killed process older than this is removed.
_STALE_S = 3600
_SEAL = 'checksums.json'


def cache_dir() -> Path:
  """The folder for everything that can be made again."""
  if own := os.environ.get('RECOG_JAX_CACHE'):
    return Path(own).expanduser()
  if xdg := os.environ.get('XDG_CACHE_HOME'):
    return Path(xdg).expanduser() / 'recog_jax'
  return Path('~/.cache/recog_jax').expanduser()


def num_cores() -> int:
  """The cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def folder_for(kind: str, name: str, split: str, key: str) -> Path:
  """Where the cache keeps something that is made of a split.

  Args:
    kind: of the thing, for example `decoded`.
    name: the data set's.
    split: the split's name.
    key: changes whenever the thing does.
  """
  digest = hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()
  plain = ''.join(c if c.isalnum() else '_' for c in name)
  return cache_dir() / kind / f'{plain}-{split}-{digest[:16]}'


def is_sealed(folder: Path, names: Sequence[str]) -> bool:
  """Whether `write_sealed` has left these files, and they are whole."""
  try:
    expected = json.loads((folder / _SEAL).read_text())
    whole = [checksum(folder / name) for name in names] == expected
  except FileNotFoundError:
    return False
  except (OSError, ValueError) as e:
    logging.warning('The cache in %s cannot be read: %s.', folder, e)
    return False
  if not whole:
    logging.warning('The cache in %s is damaged; it is made again.', folder)
  return whole


def write_sealed(
  folder: Path, files: Mapping[str, Callable[[BinaryIO], object]]
):
  """Writes some files and last, as the seal, their checksums.

  Every file appears whole under its name. Several processes may do the same at
  once, if all write the same bytes.

  Args:
    folder: made if absent.
    files: {name: writes the file's contents}.

  Raises:
    OSError: the folder cannot be written.
  """
  folder.mkdir(parents=True, exist_ok=True)
  for old in folder.glob('*.tmp'):
    with contextlib.suppress(OSError):
      if time.time() - old.stat().st_mtime > _STALE_S:
        old.unlink()
  checksums = []
  for name, write in files.items():
    with replaced_when_whole(folder / name) as f:
      write(f)
      f.flush()
      checksums.append(checksum(Path(f.name)))
  with replaced_when_whole(folder / _SEAL) as f:
    f.write(json.dumps(checksums).encode())


@contextlib.contextmanager
def replaced_when_whole(file: Path) -> Iterator[BinaryIO]:
  """A file to write, which takes its name if all goes well."""
  own = f'{os.getpid()}-{time.time_ns()}.tmp'
  part = file.with_name(f'{file.name}-{own}')
  try:
    with part.open('wb') as f:
      yield f
      f.flush()
      os.fsync(f.fileno())
    part.replace(file)
  except BaseException:
    part.unlink(missing_ok=True)
    raise


def checksum(file: Path) -> int:
  """CRC-32 of the whole file; over 1 GB/s, and it warms the page cache."""
  value = 0
  with file.open('rb') as f:
    while block := f.read(1 << 22):
      value = zlib.crc32(block, value)
  return value
