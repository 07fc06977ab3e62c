"""Files of pairs in the format of LFW's pairs.txt.

  10      300
  Abel_Pacheco    1       4
  Robert_Downey_Jr        1       Tommy_Shane_Steiner     1

The first line has the number of folds, and of pairs of one person in each of
them; as many pairs of two people follow those. A line is a name and two
pictures' numbers, or twice a name and a number. Where the first line has one
number (as in LFW's view 1), there is one fold.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from recog_jax.errors import UserError, listed


@dataclasses.dataclass(frozen=True)
class Listed:
  """The pairs of a file.

  Attributes:
    names: ((person, number), (person, number)) of each.
    fold: int64 `p`.
  """

  names: Sequence[tuple[tuple[str, int], tuple[str, int]]]
  fold: np.ndarray

  @property
  def same(self) -> np.ndarray:
    """bool `p`: both names are one."""
    return np.array([a[0] == b[0] for a, b in self.names])

  def rows(self, files: Sequence[str], where: str) -> np.ndarray:
    """int64 `p 2`: the records of each pair.

    A picture is PERSON/PERSON_0001.jpg, as in LFW, or PERSON/1.jpg.

    Args:
      files: paths of all records.
      where: the file of pairs, for messages.

    Raises:
      UserError: some are not there.
    """
    known: dict[tuple[str, str], int] = {}
    for row, file in enumerate(files):
      path = PurePosixPath(file)
      known[path.parent.name, path.stem] = row
    absent, found = [], []
    for pair in self.names:
      found.append([_row(known, *picture) for picture in pair])
      absent += [
        f'{name} {number}'
        for (name, number), row in zip(pair, found[-1], strict=True)
        if row is None
      ]
    if absent:
      missing = list(dict.fromkeys(absent))
      raise UserError(
        f'{where} names {len(missing)} pictures that the split has not: '
        f'{listed(missing, 5)}. Give the data set that it was made for, whole'
      )
    return np.array(found, np.int64)


def _row(
  known: Mapping[tuple[str, str], int], name: str, number: int
) -> int | None:
  found = known.get((name, f'{name}_{number:04d}'))
  return known.get((name, str(number))) if found is None else found


def read(file: str, folds: int) -> Listed:
  """The pairs of a file.

  Args:
    file: its path.
    folds: into which pairs of one fold are dealt.

  Raises:
    UserError: it cannot be read, or a line is none of that format.
  """
  try:
    text = Path(file).expanduser().read_text('utf-8')
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f'{file} cannot be read as pairs: {error}') from error
  head, *lines = [line.split() for line in text.splitlines()] or [[]]
  lines = [line for line in lines if line]
  if not 1 <= len(head) <= 2 or not all(word.isdigit() for word in head):
    raise UserError(
      f'{file} is no file of pairs: its first line has the number of folds and '
      'of pairs of one person in each, for example 10 300'
    )
  names = [_pair(file, i, words) for i, words in enumerate(lines, 2)]
  count, each = (1, int(head[0])) if len(head) == 1 else map(int, head)
  if len(names) != 2 * count * each:
    raise UserError(
      f'{file} has {len(names)} pairs, and its first line says {count} times '
      f'{each} of one person and {each} of two: it is not whole'
    )
  if not names:
    raise UserError(f'{file} names no pairs')
  fold = np.arange(len(names)) // (2 * each)
  if count == 1:  # Both kinds are dealt out alike.
    fold = np.arange(len(names)) % each * min(folds, each) // each
  return Listed(names, fold)


def _pair(
  file: str, number: int, words: list[str]
) -> tuple[tuple[str, int], tuple[str, int]]:
  try:
    if len(words) == 3:
      name, first, second = words
      return (name, int(first)), (name, int(second))
    name, first, other, second = words
    return (name, int(first)), (other, int(second))
  except ValueError:
    raise UserError(
      f"{file}, line {number}: '{' '.join(words):.60}' is no pair: it is a "
      'name and two numbers, or twice a name and a number'
    ) from None
