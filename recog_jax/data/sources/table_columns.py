"""The columns of a table as files, classes, numbers, groups and splits."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recog_jax.data.image import medical
from recog_jax.data.sources import pictures
from recog_jax.data.sources import shares as shares_lib
from recog_jax.data.sources.table_file import Cell, Table
from recog_jax.errors import UserError, listed

AUDIO = (
  *('.wav', '.flac', '.mp3', '.ogg', '.oga', '.opus', '.sph', '.aif', '.aiff'),
  *('.au', '.w64', '.caf'),
)
# Names of a column of files that go before others.
_FILE_COLUMNS = ('file', 'path', 'filename', 'file_name', 'filepath')
_SEEN = 200  # Rows that are looked at to know what a column holds.
_SPLITS = {
  'train': 'train',
  'training': 'train',
  'val': 'val',
  'valid': 'val',
  'validation': 'val',
  'dev': 'val',
  'development': 'val',
  'test': 'test',
  'testing': 'test',
}
_YES = ('1', '1.0', 'true', 'yes', 'y')
_NO = ('0', '0.0', 'false', 'no', 'n')


class EmptySplitError(UserError):
  """Shares leave a split empty.

  Attributes:
    seed: under which none is; None if there is no such.
  """

  def __init__(self, text: str, seed: int | None):
    super().__init__(text)
    self.seed = seed


class Rows:
  """A table's rows, and what is wrong with some of them.

  A row with something wrong keeps its first reason; the others are `good`.
  """

  def __init__(self, table: Table):
    self.table = table
    self.reasons: dict[int, str] = {}

  def bad(self, number: int, reason: str) -> None:
    """Notes what is wrong with a row (from 0)."""
    where = self.table.where(number)
    self.reasons.setdefault(number, f'{where}: {reason}.')

  @property
  def good(self) -> list[int]:
    return [i for i in range(len(self.table)) if i not in self.reasons]

  def texts(self, column: str) -> list[str]:
    """The cells of a column that must have one text in each.

    A cell that is empty or a list is bad.
    """
    found = []
    for i, cell in enumerate(self.table.column(column)):
      if not cell:
        self.bad(i, f"nothing in column '{column}'")
      elif isinstance(cell, list):
        self.bad(i, f"column '{column}' holds a list")
      found.append(cell if isinstance(cell, str) else '')
    return found

  # -- targets ----------------------------------------------------------------

  def numbers(self, column: str) -> np.ndarray:
    """float32 `n`; a row without a finite number is bad."""
    found = np.zeros(len(self.table), np.float32)
    for i, cell in enumerate(self.table.column(column)):
      try:
        found[i] = value = float(cell)
      except (TypeError, ValueError):
        self.bad(i, f"'{cell!s:.40}' in column '{column}' is not a number")
        continue
      if not math.isfinite(value) or not np.isfinite(found[i]):
        self.bad(i, f"{cell!s:.40} in column '{column}' is not a finite number")
    return found

  def flags(self, column: str, unknown: Sequence[str] = ()) -> np.ndarray:
    """float32 `n` of 0 and 1; a row with another value is bad.

    Args:
      column: its name.
      unknown: cells, in any case, that say that nobody knows: they are NaN.
    """
    nobody = {word.lower() for word in unknown}
    found = np.zeros(len(self.table), np.float32)
    for i, cell in enumerate(self.table.column(column)):
      word = str(cell).lower()
      found[i] = word in _YES
      if word in nobody:
        found[i] = np.nan
      elif word not in _YES + _NO:
        self.bad(i, f"'{cell}' in column '{column}' is neither 0 nor 1")
    return found

  # -- files ------------------------------------------------------------------

  def files(
    self, column: str, root: Path, suffix: str
  ) -> tuple[list[str], np.ndarray]:
    """Paths below `root` and bytes of each file; one that is not there is bad.

    Raises:
      UserError: none of them is there.
    """
    paths = [
      _below(root, f'{cell}{suffix}') if cell else ''
      for cell in self.texts(column)
    ]
    sizes, absent = np.zeros(len(paths), np.int64), []
    for i, path in enumerate(paths):
      if not path or i in self.reasons:
        continue
      try:
        sizes[i] = os.stat(root / path).st_size  # noqa: PTH116 for speed
      except (OSError, ValueError):
        self.bad(i, f'there is no file {root / path}')
        absent.append(i)
    if absent and len(absent) == len(paths):
      raise UserError(
        f'none of the {len(paths)} files of {self.table.file} is there, for '
        f'example {root / paths[0]}: set source.root to the folder in which '
        "they lie (and source.suffix='.jpg' if the table leaves that out)"
      )
    return paths, sizes

  # -- splits -----------------------------------------------------------------

  def splits(self, column: str) -> list[str]:
    """The split of each row, under the names that configs use."""
    found = []
    for i, cell in enumerate(self.texts(column)):
      name = _SPLITS.get(cell.lower(), cell)
      if cell and not re.fullmatch(r'\w+', name):
        self.bad(i, f"'{cell}' in column '{column}' cannot name a split")
      found.append(name)
    return found


def file_column(table: Table, suffix: str = '') -> str:
  """The column whose cells are names of pictures or recordings.

  Raises:
    UserError: there is none, or there are several.
  """
  found = [
    name
    for name in table.columns
    if name and kind_of(table.column(name), suffix) is not None
  ]
  named = [name for name in found if name.lower() in _FILE_COLUMNS]
  if len(named) == 1:
    return named[0]
  if len(found) != 1 or suffix:
    what = f'several columns ({listed(found)})' if found else 'no column'
    raise UserError(
      f'{table.file} has {what} of names of pictures or recordings: say which '
      f'it is with source.path_column; it has {", ".join(table.columns)}'
    )
  return found[0]


def kind_of(cells: Sequence[Cell], suffix: str = '') -> str | None:
  """'images' or 'speech', as the suffixes of names say; None if they do not."""
  names = [f'{c}{suffix}'.lower() for c in cells[:_SEEN] if c]
  images = (*pictures.SUFFIXES, *medical.SUFFIXES)
  for kind, suffixes in (('images', images), ('speech', AUDIO)):
    if names and sum(n.endswith(suffixes) for n in names) > 0.8 * len(names):
      return kind
  return None


def split_names(cells: Sequence[Cell]) -> set[str]:
  """The splits that a column names, if all of its cells name some."""
  names = {_SPLITS.get(str(cell).lower()) for cell in cells}
  return set() if None in names else names


def check_whole(
  table: Table, split: Mapping[int, str], key: Sequence[str], what: str
) -> None:
  """Refuses a group, or a file, that is in two splits.

  Args:
    table: for messages.
    split: of each row that counts.
    key: n names of groups or files.
    what: the column of the key.

  Raises:
    UserError: names the first ones.
  """
  first: dict[str, int] = {}
  torn: dict[str, tuple[int, int]] = {}
  for i in split:
    other = first.setdefault(key[i], i)
    if split[other] != split[i]:
      torn.setdefault(key[i], (other, i))
  if torn:
    named = [
      f'{k} in {split[a]} (row {table.rows[a]}) and in {split[b]} (row '
      f'{table.rows[b]})'
      for k, (a, b) in torn.items()
    ]
    raise UserError(
      f"{table.file}: {len(torn)} of '{what}' are in two splits: "
      f'{listed(named, 3)}. Put each into one, or leave source.split_column '
      'out, and source.shares divide them.'
    )


def divide(
  table: Table,
  rows: Sequence[int],
  key: Sequence[str],
  shares: Mapping[str, float],
  seed: int,
) -> dict[int, str]:
  """The split of each row by a hash of its key; rows in none are left out.

  Raises:
    EmptySplitError: names a seed under which no split is empty.
  """
  names = list(shares)
  keys = [key[i].encode(errors='surrogateescape') for i in rows]
  numbers, empty, help_, better = shares_lib.divided(keys, shares, seed)
  if empty:
    text = (
      f'{table.file}: by source.shares and split_seed={seed} no row is in '
      f'{listed(empty)}, since there are only {len(set(keys))} files or groups '
      f'to divide; {help_}.'
    )
    raise EmptySplitError(text, better)
  return {
    i: names[k] for i, k in zip(rows, numbers, strict=True) if k < len(names)
  }


def _below(root: Path, path: str) -> str:
  """A name as a path below `root` where it is, so that it may move."""
  if '\\' in path and '/' not in path and os.sep == '/':
    path = path.replace('\\', '/')  # A table made on Windows.
  path = os.path.normpath(path)
  if path.startswith(f'{root}/'):
    path = path[len(f'{root}/') :]
  return path
