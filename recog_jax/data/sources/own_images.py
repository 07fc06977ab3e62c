"""One's own pictures: what `configs/my_images.py` makes of them."""

import collections
import contextlib
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data import files
from recog_jax.data.image.codecs import decode_image, jpeg_size
from recog_jax.data.sources import own
from recog_jax.data.sources.image_folder import image_folder
from recog_jax.data.sources.pictures import PictureSource
from recog_jax.data.sources.table import table as table_source
from recog_jax.data.sources.table_file import Table
from recog_jax.errors import UserError, listed

_TARGETS = (
  *('label', 'labels', 'class', 'target', 'category', 'diagnosis', 'species'),
  *('grade', 'finding_labels', 'tags', 'y'),
)
_SEPARATORS = '|;'
_FLAGS = {'0', '1', '0.0', '1.0'}
_MOST_CLASSES = 30  # Whole numbers with more values are numbers, not classes.
_SAMPLE = 40  # Pictures whose size is looked at.
# Up to so many pictures all are decoded once, to leave out a damaged one.
_CHECKED = 10_000
_BAD_SHARE = 0.02


@dataclasses.dataclass(frozen=True)
class Pictures:
  """What a config of pictures needs to know.

  Attributes:
    source: keys of `config.data.source`.
    splits: of `config.data.splits`.
    size: pictures to train on.
    target: 'label', 'labels' (any number of them) or 'number'.
    uneven: the commonest class has three times the pictures of the rarest.
    side: pixels of the shorter side, the median.
    note: a sentence that says all this.
  """

  source: Mapping[str, Any]
  splits: Mapping[str, str]
  size: int
  target: str
  uneven: bool
  side: int
  note: str


# What a config is without data: for those who only read it.
_NOTHING = Pictures(
  {'name': 'image_folder'},
  {'train': 'train', 'val': 'val', 'test': 'test'},
  size=1000,
  target='label',
  uneven=False,
  side=256,
  note='',
)


@functools.cache
def look(place: Path | None, columns: tuple[str, ...] = ()) -> Pictures:
  """Looks at a folder of classes, or at a table.

  Args:
    place: the folder or the table; None: nothing is known.
    columns: of the table, what to predict; () where one of them is plain.

  Raises:
    UserError: there is neither, or it cannot be told what to predict.
  """
  if place is None:
    return _NOTHING
  with own.unheard():
    table = own.read_own_table(place, _is_of_pictures)
    if table is None:
      if columns:
        raise UserError(
          f'{place} holds no table of pictures, so that there is no column '
          f'{listed(columns)}'
        )
      keys: dict[str, Any] = {'name': 'image_folder'}
      source, what = image_folder(data_dir=place), ''
      target = 'label'
    else:
      keys, target = _table_keys(table, columns)
      if len(table) <= _CHECKED:
        keys['max_bad_share'] = _BAD_SHARE
      source = own.build(table_source, keys, place)
      keys = {'name': 'table', **keys}
      what = f' of {table.file.name}'
    counts = source.listed()
    if sum(counts.values()) <= _CHECKED:
      keys['max_bad_share'] = _BAD_SHARE
    splits = own.splits_of(list(counts), grouped=source.info.grouped)
  train = splits['train'].split('[')[0]
  side = _median_side(source, train)
  told = ', '.join(f'{k} {n:,}' for k, n in counts.items())
  return Pictures(
    keys,
    splits,
    counts[train],
    target,
    target == 'label' and _is_uneven(source, train),
    side,
    f'{place.name}: {told} pictures{what}, about {side} pixels; '
    f'{_about(keys, source, target)}',
  )


def _is_of_pictures(table: Table) -> bool:
  found = own.locate(table)
  return found is not None and not own.is_audio(table, found)


def _table_keys(
  table: Table, columns: Sequence[str]
) -> tuple[dict[str, Any], str]:
  """Keys of the source, and the kind of target."""
  found = own.locate(table)
  if found is None:
    raise UserError(
      f'no column of {table.file} names files that are there, below its folder '
      f'or one in it; the columns are {listed(table.columns, 20)}'
    )
  keys = {**found, **own.division(table, found)}
  target, more = _target(table, keys, columns)
  keys = {'file': table.file.name, **keys, **more}
  return {k: v for k, v in keys.items() if v != ''}, target


def _target(
  table: Table, keys: dict[str, Any], columns: Sequence[str]
) -> tuple[str, dict[str, Any]]:
  """What is predicted: the kind, and keys of the source."""
  free = own.free_columns(table, keys)
  flags = [c for c in free if {*map(str, table.column(c))} <= _FLAGS]
  if not columns:
    named = own.column_by_name(table, _TARGETS, [*keys.values()])
    if named in free:
      columns = [named]
    elif len(free) == 1:
      columns = free
    elif len(free) == len(flags) > 1:
      columns = flags
    else:
      raise UserError(
        f'which column of {table.file} is to be predicted? Name it behind the '
        'config, for example --config=configs/my_images.py:'
        f'{(free or table.columns)[0]}; there are {listed(free, 20)}'
      )
  if len(columns) > 1:
    if {*columns} <= {*flags}:
      return 'labels', {'label_columns': tuple(columns)}
    return 'number', {'number_columns': tuple(columns)}
  (column,) = columns
  cells = table.column(column)
  if any(isinstance(c, list) for c in cells):
    return 'labels', {'label_column': column}
  for separator in _SEPARATORS:
    if any(separator in c for c in cells):
      return 'labels', {'label_column': column, 'separator': separator}
  values = collections.Counter(c for c in cells if c)
  if _is_number(values):
    return 'number', {'number_columns': (column,)}
  if 2 * len(values) > len(cells) > 3:
    raise UserError(
      f"column '{column}' of {table.file} has {len(values)} different values "
      f'in {len(cells)} rows, which are no classes: name another one behind '
      'the config, --config=configs/my_images.py:COLUMN; there are '
      f'{listed(free, 20)}'
    )
  return 'label', {'label_column': column}


def _is_number(values: Mapping[str, int]) -> bool:
  """Whether what a column mostly holds are numbers and no numbered classes."""
  total, whole, fraction = 0, 0, 0
  for value, count in values.items():
    total += count
    if re.fullmatch(r'[-+]?\d+', value):
      whole += count
    else:
      try:
        float(value)
      except ValueError:
        continue
      fraction += count
  if whole + fraction < 0.9 * total:
    return False
  return bool(fraction) or len(values) > _MOST_CLASSES


def _median_side(source: PictureSource, split: str) -> int:
  """Of the shorter sides of some pictures that can be read, in pixels."""
  listing, sides = source.listing(split), []
  for number in np.linspace(0, len(listing) - 1, _SAMPLE).astype(int):
    with contextlib.suppress(OSError, ValueError):
      data = files.read_bytes(listing.path(int(number)))
      size = jpeg_size(data) or decode_image(data, 1).shape
      sides.append(min(size[:2]))
  return int(np.median(sides)) if sides else _NOTHING.side


def _is_uneven(source: PictureSource, split: str) -> bool:
  labels = source.listing(split).labels
  counts = np.bincount(labels, minlength=len(source.info.label_names))
  return bool(counts.min() > 0 and counts.max() > 3 * counts.min())


def _about(keys: Mapping[str, Any], source: PictureSource, target: str) -> str:
  labels = source.info.label_names
  kinds = {
    'number': f'the number {listed(source.info.target_names)}',
    'labels': f'any of {len(labels)} labels ({listed(labels)})',
    'label': f'one of {len(labels)} classes ({listed(labels)})',
  }
  text = f'to predict: {kinds[target]}'
  if 'split_column' in keys:
    text += f"; divided as column '{keys['split_column']}' says"
  if 'group_column' in keys:
    text += f"; no '{keys['group_column']}' is in two splits"
  return text
