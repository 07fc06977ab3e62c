"""What lies in a folder or a table of one's own: for configs that fit it.

A config file that asks here has sizes and names of columns that follow from the
data; they are in the config that a run keeps, and can be set on the command
line like any other.
"""

import collections
import contextlib
import functools
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from recog_jax.data import files
from recog_jax.data.sources.table_columns import (
  AUDIO,
  EmptySplitError,
  split_names,
)
from recog_jax.data.sources.table_file import (
  Table,
  find_table,
  read_table,
  tables_in,
)
from recog_jax.errors import UserError, listed, say

_SUFFIXES = ('', '.jpg', '.png', '.jpeg', '.wav', '.flac', '.mp3')
_TRIED = 5  # Rows whose files are looked for.
_SPLITS = ('split', 'set', 'subset', 'partition', 'fold')
_GROUPS = (
  *(
    'patient',
    'subject',
    'speaker',
    'client',
    'person',
    'group',
    'participant',
  ),
  'writer',
)


def data_dir() -> Path | None:
  """What the command's --data_dir names.

  A config file runs while flags are read, so that it looks at the words.
  """
  words = sys.argv[1:]
  for i, word in enumerate(words):
    flag, equals, value = word.lstrip('-').partition('=')
    if word.startswith('-') and flag == 'data_dir':
      value = value if equals else ''.join(words[i + 1 : i + 2])
      return Path(value).expanduser().absolute()
  return None


@functools.cache
def tell(note: str) -> None:
  """Says what was found, once, also where a config is read again."""
  if note:
    say(*note.split('\n'))


@contextlib.contextmanager
def unheard() -> Iterator[None]:
  """Keeps warnings back: what the run builds itself says them again."""
  with contextlib.redirect_stderr(io.StringIO()):
    yield


def read_own_table(place: Path, says: Callable[[Table], bool]) -> Table | None:
  """The table that a place is, or the one in a folder that is about its files.

  Args:
    place: a file or folder.
    says: whether a table of a folder is one.

  Raises:
    UserError: there are several.
  """
  if place.is_file():
    return read_table(find_table(None, place))
  if not place.is_dir():
    raise UserError(f'--data_dir={place} is not there.')
  found = []
  for file in tables_in(place):
    with contextlib.suppress(UserError):
      table = read_table(file)
      if says(table):
        found.append(table)
  if len(found) > 1:
    raise UserError(
      f'{place} holds several tables ({listed(t.file.name for t in found)}): '
      f'name one, for example --data_dir={found[0].file}'
    )
  return found[0] if found else None


def locate(table: Table) -> dict[str, Any] | None:
  """The keys `path_column`, `root` and `suffix` under which files are there."""
  home = table.file.parent
  roots = ['', *(p.name for p in files.listed(home) if p.is_dir())]
  if len(roots) > 1000:
    roots = ['']
  for suffix in _SUFFIXES:
    for column in filter(None, table.columns):
      cells = [c for c in table.column(column) if c and isinstance(c, str)]
      tried = cells[:: max(1, len(cells) // _TRIED)][:_TRIED]
      for root in roots if tried else ():
        names = [f'{c}{suffix}'.replace('\\', '/') for c in tried]
        there = [_is_file(home / root / name) for name in names]
        if 2 * sum(there) > len(there):
          return {'path_column': column, 'root': root, 'suffix': suffix}
  return None


def is_audio(table: Table, found: dict[str, Any]) -> bool:
  """Whether the files of `locate` are recordings."""
  cells = [str(c) for c in table.column(found['path_column']) if c]
  return f'{cells[0]}{found["suffix"]}'.lower().endswith(AUDIO)


def division(table: Table, found: dict[str, Any]) -> dict[str, Any]:
  """Keys of `table` that say which rows are train, val and test."""
  keys: dict[str, Any] = {}
  names = [c for c in table.columns if c and c != found['path_column']]
  group = next((c for c in names if _stem(c) in _GROUPS), None)
  # With one speaker or two there is nothing to keep apart.
  if group and len(set(map(str, table.column(group)))) > 2:
    keys['group_column'] = group
  for column in sorted(names, key=lambda c: c.lower() not in _SPLITS):
    if 'train' in split_names(table.column(column)):
      keys['split_column'] = column
      if 'val' not in split_names(table.column(column)):
        keys['shares'] = {'train': 0.9, 'val': 0.1}
      break
  return keys


def build(make: Callable[..., Any], keys: dict[str, Any], place: Path) -> Any:
  """A source of some keys, which get another seed where a split is empty."""
  try:
    return make(**keys, data_dir=place)
  except EmptySplitError as error:
    if error.seed is None:
      raise
    keys['split_seed'] = error.seed
    return make(**keys, data_dir=place)


def splits_of(names: Sequence[str], *, grouped: bool = False) -> dict[str, str]:
  """`config.data.splits` for a source that has some splits.

  Args:
    names: of the source's splits.
    grouped: it must not be cut.
  """
  same = {'valid': 'val', 'validation': 'val', 'dev': 'val'}
  found = {same.get(n, n): n for n in names}
  splits = {k: found[k] for k in ('train', 'val', 'test') if k in found}
  if 'train' not in splits:
    raise UserError(
      f'none of the splits {listed(names)} is called train: rename the one '
      'that is'
    )
  if 'val' not in splits and not grouped:
    train = splits['train']
    splits |= {'train': f'{train}[:90%]', 'val': f'{train}[90%:]'}
  return splits


def column_by_name(
  table: Table, names: Sequence[str], taken: Sequence[str | None]
) -> str | None:
  """The first of some names that is a column, without case or `_id`."""
  free = {_stem(c): c for c in table.columns if c and c not in taken}
  return next((free[name] for name in names if name in free), None)


def free_columns(table: Table, keys: dict[str, Any]) -> list[str]:
  """Columns that no key names, and that are not all one value or empty."""
  taken = {v for v in keys.values() if isinstance(v, str)}
  found = []
  for column in table.columns:
    values = collections.Counter(map(str, table.column(column)))
    if column and column not in taken and len(values) > 1:
      found.append(column)
  return found


def _stem(column: str) -> str:
  name = column.lower().replace(' ', '_').replace('-', '_')
  return name.removesuffix('_id').removesuffix('id').rstrip('_') or name


def _is_file(path: Path) -> bool:
  try:
    return os.path.isfile(path)  # noqa: PTH113 it takes any string
  except ValueError:
    return False
