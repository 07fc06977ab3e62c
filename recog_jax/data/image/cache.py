"""Small sets of images are decoded once, into arrays that all processes map.

A JPEG or PNG costs about 0.1 ms to decode, a look-up in an array a hundredth of
it.
"""

from typing import Any

import numpy as np
from absl import logging

from recog_jax.data import cache
from recog_jax.data.image import codecs
from recog_jax.data.image import records as base

_NAMES = ('image', 'label')


def decode_once(
  records: base.Records, *, name: str, split: str, key: str
) -> base.Records:
  """The same records as arrays, from the cache where it holds them.

  Args:
    records: uniform records that decode in `take`; they may have a method
      `in_files`, which gives all their numbers, those of one file together.
    name: the data set's, for messages and the folder's name.
    split: the split's name.
    key: changes whenever the records do.

  Raises:
    UserError: a record that cannot be read or decoded.
  """
  folder = cache.folder_for(
    'decoded', name, split, f'{key}|{split}|{codecs.VERSION}'
  )
  arrays = cache.made_once(folder, _NAMES, lambda: _decode(records, name))
  return base.ArrayRecords(*(arrays[k] for k in _NAMES), origin=records)


def _decode(records: base.Records, name: str) -> dict[str, np.ndarray]:
  """All records, by as many threads as there are cores."""
  logging.info('Decoding %d records of %s once.', len(records), name)
  first = records.take(np.arange(1))
  result = {
    k: np.empty((len(records), *v.shape[1:]), v.dtype) for k, v in first.items()
  }

  own: Any = records
  order = own.in_files() if hasattr(own, 'in_files') else range(len(records))

  def fill(at: int):
    number = order[at]
    for key, row in records.take(np.array([number])).items():
      result[key][number] = row[0]

  cache.in_threads(len(records), fill)
  return result
