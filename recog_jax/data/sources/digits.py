"""The embedded data set: scikit-learn's 8x8 handwritten digits.

1,797 digits of 13 writers, the test part of UCI's "Optical Recognition of
Handwritten Digits" (Alpaydin and Kaynak, 1998); a part of every scikit-learn
installation.
"""

import functools
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image import records
from recog_jax.errors import unknown_name

# In the order in which they are cut. The set has no official splits.
_SIZES = {'train': 1197, 'val': 200, 'test': 400}


class Digits:
  """The digits as a source; see `base.Source`."""

  info = records.Info('digits', (8, 8, 1), tuple(str(d) for d in range(10)))

  def sizes(self) -> dict[str, int]:
    return dict(_SIZES)

  def records(self, split: str) -> records.ArrayRecords:
    if split not in _SIZES:
      raise unknown_name('split', split, _SIZES)
    return _splits()[split]

  def fingerprint(self) -> str:
    return 'digits-1'


def digits(*, data_dir: Any = None) -> Digits:
  """scikit-learn's digits: uint8 8x8x1, ten classes, nothing to download.

  Args:
    data_dir: unused; every source takes it.
  """
  del data_dir
  return Digits()


@functools.cache
def _splits() -> dict[str, records.ArrayRecords]:
  from sklearn import datasets  # Half a second that other sources do not need.

  bunch = datasets.load_digits()
  # The pixels are counts from 0 to 16.
  image = np.rint(bunch.images[..., None] * (255 / 16)).astype(np.uint8)
  label = bunch.target.astype(np.int32)
  number = np.arange(len(label))
  draws = Draws(seed=0, epoch=np.zeros_like(number), record=number)

  # Stratified: sorted by the rank within the class, as a share of the class,
  # every contiguous part holds all classes in equal shares.
  bits = draws.bits('split')
  share = np.empty(len(label))
  for digit in range(10):
    members = np.flatnonzero(label == digit)
    rank = np.argsort(np.argsort(bits[members], kind='stable'))
    share[members] = (rank + 0.5) / len(members)
  order = np.argsort(share, kind='stable')

  shuffle = draws.bits('order')
  result, start = {}, 0
  for split, size in _SIZES.items():
    ids = order[start : start + size]
    ids = ids[np.argsort(shuffle[ids], kind='stable')]
    result[split] = records.ArrayRecords(image[ids], label[ids])
    start += size
  return result
