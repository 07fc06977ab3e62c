"""A folder for what can be made again: whole files, sealed by checksums.

It is `$RECOG_JAX_CACHE`, else `$XDG_CACHE_HOME/recog_jax`, else
`~/.cache/recog_jax`; deleting it is safe.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from absl import logging

from recog_jax.errors import UserError, warn

# Decoded bytes up to which a split is worth keeping whole.
SIZE_LIMIT = 2 << 30
# A half-written file of a killed process older than this is removed.
_STALE_S = 3600
_SEAL = 'checksums.json'
_CHUNK = 64


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
  digest = hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()
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


@dataclasses.dataclass(eq=False)
class Mapped:
  """An array in a .npy file, mapped when first used in each process."""

  file: Path
  _array: np.ndarray | None = dataclasses.field(
    default=None, init=False, repr=False
  )

  def __getitem__(self, at: Any) -> Any:
    if self._array is None:
      # As a plain array: np.memmap's own look-ups are slower.
      self._array = np.asarray(np.load(self.file, mmap_mode='r'))
    return self._array[at]

  def __len__(self) -> int:
    return len(self[...])

  def __getstate__(self) -> dict[str, Any]:
    return {'file': self.file, '_array': None}


def made_once(
  folder: Path,
  names: Sequence[str],
  make: Callable[[], Mapping[str, np.ndarray]],
) -> Mapping[str, Mapped | np.ndarray]:
  """Some arrays, from the cache where it holds them.

  Safe with several processes at once, if all make the same bytes. A truncated
  or changed file is noticed by its checksum and made again. Where nothing can
  be written, the arrays stay in this process's memory.

  Args:
    folder: see `folder_for`.
    names: of the arrays.
    make: makes them.
  """
  files = [f'{name}.npy' for name in names]
  if not is_sealed(folder, files):
    arrays = make()
    try:
      write_sealed(
        folder,
        {
          file: functools.partial(np.save, arr=arrays[name])
          for file, name in zip(files, names, strict=True)
        },
      )
    except OSError as e:
      warn(
        f'{folder} cannot be written ({e}), so that it is made anew each time: '
        'RECOG_JAX_CACHE names another folder.'
      )
      return arrays
  return {n: Mapped(folder / f) for n, f in zip(names, files, strict=True)}


def in_threads(
  count: int,
  call: Callable[[int], None],
  *,
  skip_bad: bool = False,
  threads: int | None = None,
) -> np.ndarray:
  """Calls with each number below `count`.

  Args:
    count: how many.
    call: raises UserError where a record is bad.
    skip_bad: goes on there; else the first error stops all.
    threads: by default as many as there are cores.

  Returns:
    What is wrong with the bad ones; see `reasons`.
  """
  bad: dict[int, str] = {}

  def part(start: int):
    for number in range(start, min(start + _CHUNK, count)):
      try:
        call(number)
      except UserError as e:
        if not skip_bad:
          raise
        bad[number] = str(e)

  with concurrent.futures.ThreadPoolExecutor(threads or num_cores()) as pool:
    tasks = [pool.submit(part, i) for i in range(0, count, _CHUNK)]
    try:
      for task in tasks:
        task.result()
    finally:
      pool.shutdown(cancel_futures=True)
  return np.frombuffer(json.dumps(dict(sorted(bad.items()))).encode(), np.uint8)


def reasons(bad: Mapped | np.ndarray) -> dict[int, str]:
  """{number: what is wrong} of what `in_threads` has returned."""
  found = json.loads(bad[...].tobytes())
  return {int(number): reason for number, reason in found.items()}


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
