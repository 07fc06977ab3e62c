"""What is to be predicted of the pictures of a table, as arrays."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from recog_jax.data.sources.table_columns import Rows
from recog_jax.errors import listed, unknown_name, warn

# Split -> row numbers, int64 `k`.
Members = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Targets:
  """The targets of all rows.

  Attributes:
    values: int32 `n` of classes, float32 `n v` of several labels (NaN where
      nobody knows), float32 `n`
      or `n v` of numbers; what bad rows have means nothing.
    members: the rows of each split that have a target.
    label_names: of classes or labels.
    target_names: of numbers.
  """

  values: np.ndarray
  members: Members
  label_names: tuple[str, ...] = ()
  target_names: tuple[str, ...] = ()


class Column(Protocol):
  """Columns that were read: rows without a target are noted as bad."""

  def targets(self, members: Members) -> Targets:
    """The targets, once it is known which rows are in which split."""
    ...


class Numbers:
  """One number for each row, or several."""

  def __init__(self, rows: Rows, columns: Sequence[str]):
    self._names = tuple(columns)
    self._values = np.stack([rows.numbers(c) for c in columns], 1)

  def targets(self, members: Members) -> Targets:
    values = self._values if len(self._names) > 1 else self._values[:, 0]
    return Targets(values, members, target_names=self._names)


class Flags:
  """Any number of labels for each row, a column of 0 and 1 for each."""

  def __init__(
    self, rows: Rows, columns: Sequence[str], unknown: Sequence[str] = ()
  ):
    self._names = tuple(columns)
    self._values = np.stack([rows.flags(c, unknown) for c in columns], 1)

  def targets(self, members: Members) -> Targets:
    return Targets(self._values, members, label_names=self._names)


class Classes:
  """One label for each row."""

  def __init__(self, rows: Rows, column: str, names: Sequence[str] | None):
    """Reads the column.

    Args:
      rows: of the table.
      column: its name.
      names: the classes; None: those of train.
    """
    self._file, self._column, self._names = rows.table.file, column, names
    self._cells = rows.texts(column)
    _check_known(rows, column, [[cell] for cell in self._cells], names)

  def targets(self, members: Members) -> Targets:
    cells = self._cells
    names = tuple(self._names or ())
    names = names or sorted_names({cells[i] for i in _train_of(members)})
    number = {name: i for i, name in enumerate(names)}
    kept = {}
    for split, ids in members.items():
      known = np.array([cells[i] in number for i in ids], bool)
      if not known.all():
        lost = {cells[i] for i in ids[~known]}
        warn(
          f'{self._file}: {(~known).sum()} rows of {split} are left out, since '
          f"train has no '{self._column}' {listed(sorted(lost))}."
        )
      if known.any():
        kept[split] = ids[known]
    values = np.array([number.get(cell, -1) for cell in cells], np.int32)
    return Targets(values, kept, label_names=names)


class Several:
  """Any number of labels for each row, in one cell."""

  def __init__(
    self,
    rows: Rows,
    column: str,
    separator: str | None,
    names: Sequence[str] | None,
  ):
    """Reads the column.

    Args:
      rows: of the table.
      column: its name.
      separator: between labels; None where they are lists.
      names: the labels; None: those of train.
    """
    self._file, self._column, self._names = rows.table.file, column, names
    self._cells = []
    for cell in rows.table.column(column):
      parts = [cell] if isinstance(cell, str) else cell
      if isinstance(cell, str) and separator:
        parts = cell.split(separator)
      self._cells.append([part.strip() for part in parts if part.strip()])
    _check_known(rows, column, self._cells, names)

  def targets(self, members: Members) -> Targets:
    train = _train_of(members)
    names = tuple(self._names or ())
    names = names or sorted_names({k for i in train for k in self._cells[i]})
    number = {name: i for i, name in enumerate(names)}
    values = np.zeros((len(self._cells), len(names)), np.float32)
    lost = set()
    for ids in members.values():
      for i in ids:
        for label in self._cells[i]:
          if label in number:
            values[i, number[label]] = 1
          else:
            lost.add(label)
    if lost:
      warn(
        f"{self._file}: the '{self._column}' {listed(sorted(lost))} are left "
        'out, since train has none.'
      )
    return Targets(values, members, label_names=names)


def sorted_names(labels: set[str]) -> tuple[str, ...]:
  """Names of classes in order; whole numbers by their value."""
  if all(re.fullmatch(r'-?\d{1,15}', name) for name in labels):
    return tuple(sorted(labels, key=lambda name: (int(name), name)))
  return tuple(sorted(labels))


def _train_of(members: Mapping[str, np.ndarray]) -> Sequence[int]:
  """The rows of train; all where splits have other names."""
  if 'train' in members:
    return members['train'].tolist()
  return [i for ids in members.values() for i in ids.tolist()]


def _check_known(
  rows: Rows,
  column: str,
  cells: Sequence[Sequence[str]],
  names: Sequence[str] | None,
) -> None:
  """Notes rows whose labels are none of the given names."""
  for i, labels in enumerate(cells if names else ()):
    for label in labels:
      if label not in names:
        known = unknown_name(f'label in {column}', label, names)
        rows.bad(i, str(known))
