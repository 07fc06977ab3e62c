"""Which records a step sees: a pure function of (seed, step).

Nothing here reads a record or knows a device. Resuming needs the step alone,
and works on another number of processes, because a plan answers for the global
batch and a process asks only for the rows that its devices address.
"""

import dataclasses
import functools
import re
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image.records import Records
from recog_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Rows:
  """Some rows of one global batch.

  Attributes:
    index: int64 `b`, record numbers; 0 where not valid.
    epoch: int64 `b`, how many times the record has been seen before.
    valid: bool `b`, False on padding rows.
  """

  index: np.ndarray
  epoch: np.ndarray
  valid: np.ndarray


@functools.lru_cache(maxsize=2)
def _order(num_records: int, seed: int, epoch: int) -> np.ndarray:
  """An epoch's permutation: records sorted by a hash of (seed, epoch, record).

  It is made once an epoch (4 ms for CIFAR-10, 0.2 s for ImageNet). grain's
  `index_shuffle` needs no memory, but 3.5 us a record, which for a batch of
  CIFAR-10 was more than cropping and flipping it.
  """
  records = np.arange(num_records)
  draws = Draws(seed, np.full(num_records, epoch), records)
  return np.argsort(draws.bits('order'), kind='stable')


@dataclasses.dataclass(frozen=True)
class TrainPlan:
  """Every record once an epoch, in an order of its own each epoch.

  Batches run across the end of an epoch, so all are full and no record is
  dropped; an epoch has `num_records / batch_size` steps, not rounded.
  """

  num_records: int
  batch_size: int
  seed: int

  @property
  def steps_per_epoch(self) -> float:
    return self.num_records / self.batch_size

  def rows(self, step: int, rows: np.ndarray) -> Rows:
    """The given rows (int `k`, in [0, batch_size)) of a step's global batch."""
    position = step * self.batch_size + np.asarray(rows, np.int64)
    epoch, place = np.divmod(position, self.num_records)
    index = np.empty_like(place)
    for e in np.unique(epoch):
      here = epoch == e
      index[here] = _order(self.num_records, self.seed, int(e))[place[here]]
    return Rows(index, epoch, np.ones(len(index), bool))

  def fingerprint(self) -> dict[str, Any]:
    return {'kind': 'train', 'version': 1, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class EvalPlan:
  """Every record exactly once, in order; the last batch is padded."""

  num_records: int
  batch_size: int

  @property
  def num_batches(self) -> int:
    return -(-self.num_records // self.batch_size)

  def rows(self, step: int, rows: np.ndarray) -> Rows:
    index = step * self.batch_size + np.asarray(rows, np.int64)
    valid = index < self.num_records
    return Rows(np.where(valid, index, 0), np.zeros_like(index), valid)


@dataclasses.dataclass(frozen=True)
class View:
  """Some records of another split, numbered from 0.

  Attributes:
    base: the other split.
  """

  base: Records

  @property
  def in_memory(self) -> bool:
    return self.base.in_memory

  @property
  def uniform(self) -> bool:
    return self.base.uniform

  def numbers(self, ids: np.ndarray) -> np.ndarray:
    """Where int64 `k` records are in `base`."""
    raise NotImplementedError

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    return self.base.take(self.numbers(np.asarray(ids, np.int64)))

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    return self.base.encoded(self.numbers(np.asarray(ids, np.int64)))


@dataclasses.dataclass(frozen=True)
class Slice(View):
  """Records `start` to `stop`."""

  start: int
  stop: int

  def __len__(self) -> int:
    return self.stop - self.start

  def numbers(self, ids: np.ndarray) -> np.ndarray:
    return ids + self.start

  def labels(self) -> np.ndarray:
    return self.base.labels()[self.start : self.stop]


# Image folders (ILSVRC's among them) have `val` where TFDS has `validation`.
_SAME = {'val': 'validation', 'validation': 'val'}

_SPLIT = re.compile(r'^(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?$')


def split_bounds(spec: str, sizes: dict[str, int]) -> tuple[str, int, int]:
  """Reads a split in TFDS's notation: `test`, `train[:45000]`, `train[90%:]`.

  Args:
    spec: the split as the config names it.
    sizes: number of records of each official split.

  Returns:
    The official split's name, and the first and last-but-one record number.

  Raises:
    UserError: not that notation, no such split, or nothing left of it.
  """
  match = _SPLIT.match(spec)
  if not match:
    raise UserError(
      f"split '{spec}' is not understood: write it like 'test', "
      "'train[:45000]' or 'train[90%:]'"
    )
  name, start, stop = match.groups()
  if name not in sizes:
    name = _SAME.get(name, name)
  if name not in sizes:
    known = ', '.join(sorted(sizes))
    raise UserError(f"the data set has no split '{name}': it has {known}")
  size = sizes[name]

  def place(bound: str | None, default: int) -> int:
    if bound is None:
      return default
    if bound.endswith('%'):
      value = round(size * int(bound[:-1]) / 100)
    else:
      value = int(bound)
    return min(max(value + size if bound[0] == '-' else value, 0), size)

  first, last = place(start, 0), place(stop, size)
  if first >= last:
    raise UserError(
      f"split '{spec}' holds no record: '{name}' has {size} of them"
    )
  return name, first, last


def check_splits(splits: dict[str, str], sizes: dict[str, int]) -> None:
  """Refuses training records that are also evaluated on.

  Raises:
    UserError: two of the splits overlap.
  """
  bounds = {k: split_bounds(v, sizes) for k, v in splits.items()}
  name, first, last = bounds['train']
  for other, (base, start, stop) in bounds.items():
    if other != 'train' and base == name and start < last and first < stop:
      raise UserError(
        f"splits.train='{splits['train']}' and splits.{other}="
        f"'{splits[other]}' share records: cut them apart"
      )
