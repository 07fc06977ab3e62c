"""Which records of a data set: splits in TFDS's notation, and subsets of them.

Subsets are for images and for speech, whose records differ in what `take`
gives; see `image.records` and `speech.records`.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.base import fields_of, names_of
from recog_jax.data.image.records import Info, Records
from recog_jax.data.speech.records import Utterances, concatenate
from recog_jax.errors import UserError, unknown_name

# Image folders (ILSVRC's among them) have `val` where TFDS has `validation`.
SAME_AS_VAL = ('val', 'validation', 'valid', 'dev')

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
  if name not in sizes and name in SAME_AS_VAL:
    name = next((same for same in SAME_AS_VAL if same in sizes), name)
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


def check_splits(
  splits: dict[str, str], sizes: dict[str, int], *, grouped: bool = False
) -> None:
  """Refuses training records that are also evaluated on.

  Args:
    splits: of the config.
    sizes: number of records of each official split.
    grouped: slices would part groups (patients) that the source keeps whole.

  Raises:
    UserError: two of the splits overlap, or one would part groups.
  """
  cut = next((spec for spec in splits.values() if '[' in spec), None)
  if grouped and cut:
    raise UserError(
      f"the split '{cut}' would part the groups that config.data.source keeps "
      'whole: have the source divide them, with its key shares'
    )
  bounds = {k: split_bounds(v, sizes) for k, v in splits.items()}
  if 'train' not in bounds:  # Only to be evaluated on.
    return
  name, first, last = bounds['train']
  for other, (base, start, stop) in bounds.items():
    if other != 'train' and base == name and start < last and first < stop:
      raise UserError(
        f"splits.train='{splits['train']}' and splits.{other}="
        f"'{splits[other]}' share records: cut them apart"
      )


@dataclasses.dataclass(frozen=True)
class Subset:
  """Some records of another split, numbered from 0.

  Attributes:
    base: the other split.
    ids: int64 `n`, record numbers in it.
  """

  base: Any
  ids: np.ndarray

  def __len__(self) -> int:
    return len(self.ids)

  @property
  def in_memory(self) -> bool:
    return self.base.in_memory

  @property
  def uniform(self) -> bool:
    return self.base.uniform

  @functools.cached_property
  def utterances(self) -> Utterances:
    return self.base.utterances.take(self.ids)

  def take(self, ids: np.ndarray) -> Any:
    return self.base.take(self.ids[np.asarray(ids, np.int64)])

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    return self.base.encoded(self.ids[np.asarray(ids, np.int64)])

  def labels(self) -> np.ndarray:
    return self.base.labels()[self.ids]

  def names(self, ids: np.ndarray) -> list[str]:
    return names_of(self.base, self.ids[np.asarray(ids, np.int64)])

  def fields(self, ids: np.ndarray) -> dict[str, list[str]]:
    return fields_of(self.base, self.ids[np.asarray(ids, np.int64)])


@dataclasses.dataclass(frozen=True)
class Relabelled(Subset):
  """Some images of a split, with labels of their own.

  Attributes:
    new_label: int32 `v`: label in the split -> label here; of images with
      several labels, their columns are put into that order.
  """

  new_label: np.ndarray

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    return self._renamed(super().take(ids))

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    return self._renamed(super().encoded(ids))

  def _renamed(self, taken: dict[str, Any]) -> dict[str, Any]:
    return {**taken, 'label': self._renumbered(taken['label'])}

  def labels(self) -> np.ndarray:
    return self._renumbered(super().labels())

  def _renumbered(self, labels: np.ndarray) -> np.ndarray:
    if labels.ndim > 1:
      return labels[:, np.argsort(self.new_label)]
    return self.new_label[labels]


@dataclasses.dataclass(frozen=True)
class InARow:
  """Several splits of one source, one after the other."""

  parts: tuple[Any, ...]

  def __len__(self) -> int:
    return sum(len(p) for p in self.parts)

  @property
  def in_memory(self) -> bool:
    return all(p.in_memory for p in self.parts)

  @property
  def uniform(self) -> bool:
    return all(p.uniform for p in self.parts)

  @functools.cached_property
  def utterances(self) -> Utterances:
    return concatenate([p.utterances for p in self.parts])

  def take(self, ids: np.ndarray) -> Any:
    return self._gathered(ids, lambda part, rows: part.take(rows))

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    return self._gathered(ids, lambda part, rows: part.encoded(rows))

  def labels(self) -> np.ndarray:
    return np.concatenate([p.labels() for p in self.parts])

  def names(self, ids: np.ndarray) -> list[str]:
    return self._gathered(ids, names_of)

  def fields(self, ids: np.ndarray) -> Mapping[str, Sequence[str]]:
    return self._gathered(ids, fields_of)

  def _gathered(self, ids: np.ndarray, ask: Callable[[Any, Any], Any]) -> Any:
    """What each part says of its records, in the order of `ids`."""
    ids = np.asarray(ids, np.int64)
    starts = np.cumsum([0, *(len(p) for p in self.parts)])
    which = np.searchsorted(starts, ids, 'right') - 1
    order, found = [], []
    for k in np.unique(which) if len(ids) else [0]:
      rows = np.flatnonzero(which == k)
      order.extend(rows.tolist())
      found.append(ask(self.parts[k], ids[rows] - starts[k]))
    if len(found) == 1:
      return found[0]
    back = np.argsort(order)
    if isinstance(found[0], Mapping):
      return {key: _joined([x[key] for x in found], back) for key in found[0]}
    return _joined(found, back)


def _joined(parts: Sequence[Any], order: np.ndarray) -> Any:
  """Arrays, or lists, as one in another order."""
  if all(isinstance(part, np.ndarray) for part in parts):
    return np.concatenate(parts)[order]
  rows = [row for part in parts for row in part]
  return [rows[i] for i in order]


def check_has_classes(info: Info) -> None:
  """Raises a UserError for data of numbers, where classes are chosen."""
  if info.target_names:
    raise UserError(
      'config.data.classes and per_class need classes, and the targets of '
      f'{info.name} are numbers: leave them out'
    )


def choose(
  records: Records,
  info: Info,
  classes: Sequence[str] | None,
  per_class: int | None,
) -> Records:
  """The records of some classes, or the first ones of each class.

  Record numbers carry no meaning, so that the first ones are a fair sample.

  Args:
    records: a split, or a slice of one.
    info: its source's.
    classes: label names, numbered anew in this order; None: all.
    per_class: so many records of each; None: all.

  Raises:
    UserError: a class that the data set has not, or too few examples of one.
  """
  if classes is None and per_class is None:
    return records
  check_has_classes(info)
  names = info.label_names if classes is None else tuple(classes)
  new_label = np.full(len(info.label_names), -1, np.int32)
  for number, name in enumerate(names):
    if name not in info.label_names:
      raise unknown_name(f'class of {info.name}', name, info.label_names)
    new_label[info.label_names.index(name)] = number
  labels = records.labels()
  if labels.ndim > 1:
    if per_class is None and sorted(names) == sorted(info.label_names):
      return Relabelled(records, np.arange(len(records)), new_label)
    raise UserError(
      'config.data.classes and per_class need one label for each image, and '
      f'{info.name} has several'
    )
  labels = np.where(labels < 0, -1, new_label[labels])
  ids = np.flatnonzero(labels >= 0)
  if per_class is not None:
    kept = []
    for number, name in enumerate(names):
      here = np.flatnonzero(labels == number)
      if len(here) < per_class:
        raise UserError(
          f'config.data.per_class asks for {per_class} examples of each class, '
          f"and there are {len(here)} of '{name}'"
        )
      kept.append(here[:per_class])
    ids = np.sort(np.concatenate(kept))
  return Relabelled(records, ids, new_label)


def chosen_info(info: Info, classes: Sequence[str] | None) -> Info:
  """What a source says of itself, with the classes that are left."""
  if classes is None:
    return info
  return dataclasses.replace(info, label_names=tuple(classes))
