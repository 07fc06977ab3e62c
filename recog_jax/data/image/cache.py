"""Small sets of images are decoded once, into arrays that all processes map.

A JPEG or PNG costs about 0.1 ms to decode, a look-up in an array a hundredth of
it. The arrays lie where `data.cache` keeps what can be made again.
"""

import concurrent.futures
import dataclasses
import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from absl import logging

from recog_jax.data import cache
from recog_jax.data.image import codecs
from recog_jax.data.image import records as base

_CHUNK = 256


_FILES = ('image.npy', 'label.npy')


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
  folder = cache.folder_for(
    'decoded', name, split, f'{key}|{split}|{codecs.VERSION}'
  )
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

  with concurrent.futures.ThreadPoolExecutor(cache.num_cores()) as pool:
    tasks = [pool.submit(fill, i) for i in range(0, len(records), _CHUNK)]
    try:
      for task in tasks:
        task.result()
    finally:
      pool.shutdown(cancel_futures=True)
  return base.ArrayRecords(**result)


def _open(folder: Path, size: int) -> MappedRecords | None:
  """What `_write` has left, if it is whole."""
  if not cache.is_sealed(folder, _FILES):
    return None
  return MappedRecords(*(folder / name for name in _FILES), size)


def _write(folder: Path, arrays: base.ArrayRecords):
  cache.write_sealed(
    folder,
    {
      name: functools.partial(np.save, arr=getattr(arrays, name[:-4]))
      for name in _FILES
    },
  )
