"""Small data sets are decoded once, into arrays that all processes map.

A JPEG or PNG costs about 0.1 ms to decode, a look-up in an array a hundredth of
it. The arrays lie in `$RECOG_JAX_CACHE`, else `$XDG_CACHE_HOME/recog_jax`, else
`~/.cache/recog_jax`; deleting them is safe, they are made again.
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
from typing import Any, BinaryIO, ClassVar

import numpy as np
from absl import logging

from recog_jax.data.image import codecs
from recog_jax.data.image import records as base

# Decoded bytes up to which a split is worth keeping whole.
SIZE_LIMIT = 2 << 30
_CHUNK = 256
# A half-written file of a killed process older than this is removed.
_STALE_S = 3600
_FILES = ('image.npy', 'label.npy')
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


@dataclasses.dataclass(eq=False)
class MappedRecords:
  """A split in two .npy files, mapped when first used in each process.

  Attributes:
    image_file: uint8 `n h w c`.
    label_file: int32 `n`, or float32 `n v`.
    size: n.
  """

  image_file: Path
  label_file: Path
  size: int

  in_memory: ClassVar[bool] = True
  uniform: ClassVar[bool] = True
  _arrays: base.ArrayRecords | None = dataclasses.field(
    default=None, init=False, repr=False
  )

  def __len__(self) -> int:
    return self.size

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    return self._mapped().take(ids)

  def labels(self) -> np.ndarray:
    return self._mapped().labels()

  def _mapped(self) -> base.ArrayRecords:
    if self._arrays is None:
      files = (self.image_file, self.label_file)
      # As plain arrays: np.memmap's own look-ups are slower.
      arrays = (np.asarray(np.load(f, mmap_mode='r')) for f in files)
      self._arrays = base.ArrayRecords(*arrays)
    return self._arrays

  def __getstate__(self):
    return {**self.__dict__, '_arrays': None}


def decode_once(
  records: base.Records, *, name: str, split: str, key: str
) -> base.Records:
  """The same records as arrays, from the cache where it holds them.

  Safe with several processes at once: every file appears whole under its final
  name, and all processes write the same bytes. A truncated or changed file is
  noticed by its checksum and made again. Where nothing can be written, the
  arrays stay in this process's memory.

  Args:
    records: uniform records that decode in `take`.
    name: the data set's, for messages and the folder's name.
    split: the split's name.
    key: changes whenever the records do.

  Raises:
    UserError: a record that cannot be read or decoded.
  """
  folder = folder_for('decoded', name, split, f'{key}|{split}|{codecs.VERSION}')
  found = _open(folder, len(records))
  if found is not None:
    return found
  logging.info('Decoding %d records of %s/%s once.', len(records), name, split)
  arrays = _decode(records)
  try:
    _write(folder, arrays)
  except OSError as e:
    logging.warning(
      'Decoded images are kept in memory, not in the cache: %s. '
      'RECOG_JAX_CACHE names another folder for them.',
      e,
    )
    return arrays
  return _open(folder, len(records)) or arrays


def _decode(records: base.Records) -> base.ArrayRecords:
  """All records, by as many threads as there are cores."""
  first = records.take(np.arange(1))
  result = {
    k: np.empty((len(records), *v.shape[1:]), v.dtype) for k, v in first.items()
  }

  def fill(start: int):
    ids = np.arange(start, min(start + _CHUNK, len(records)))
    for key, rows in records.take(ids).items():
      result[key][ids] = rows

  with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:
    tasks = [pool.submit(fill, i) for i in range(0, len(records), _CHUNK)]
    try:
      for task in tasks:
        task.result()
    finally:
      pool.shutdown(cancel_futures=True)
  return base.ArrayRecords(**result)


def _open(folder: Path, size: int) -> MappedRecords | None:
  """What `_write` has left, if it is whole."""
  if not is_sealed(folder, _FILES):
    return None
  return MappedRecords(*(folder / name for name in _FILES), size)


def _write(folder: Path, arrays: base.ArrayRecords):
  write_sealed(
    folder,
    {
      name: functools.partial(np.save, arr=getattr(arrays, name[:-4]))
      for name in _FILES
    },
  )


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
