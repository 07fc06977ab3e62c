"""A table of pictures or recordings, as people have it, as a source.

  {'name': 'table', 'file': 'labels.csv', 'label_column': 'diagnosis',
   'group_column': 'patient'}

Each row is a file with its target. A row's split is that of its column, or a
hash of its name (or of its group's) and a seed: rows that are added, removed or
put in another order move no other row.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data import cache
from recog_jax.data.image.records import Info
from recog_jax.data.sources import (
  bad_records,
  pictures,
  table_columns,
  table_targets,
)
from recog_jax.data.sources import shares as shares_lib
from recog_jax.data.sources.file_source import FileSource
from recog_jax.data.sources.image_folder import picture_shape
from recog_jax.data.sources.pictures import PictureSource
from recog_jax.data.sources.speech_listing import Entry, Listing
from recog_jax.data.sources.table_columns import Rows
from recog_jax.data.sources.table_file import (
  Cell,
  Table,
  find_table,
  read_table,
)
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.ranges import NotNegative, Seed, Share, Size

_KINDS = ('images', 'speech')


def table(
  *,
  file: str | os.PathLike | None = None,
  root: str | os.PathLike | None = None,
  path_column: str | None = None,
  suffix: str = '',
  label_column: str | None = None,
  separator: str | None = None,
  label_columns: Sequence[str] = (),
  unknown_cells: Sequence[str] = (),
  label_names: Sequence[str] | None = None,
  number_columns: str | Sequence[str] = (),
  text_column: str | None = None,
  offset_column: str | None = None,
  duration_column: str | None = None,
  group_column: str | None = None,
  split_column: str | None = None,
  shares: Mapping[str, NotNegative] | None = None,
  split_seed: Seed = 0,
  kind: str | None = None,
  channels: int = 3,
  shape: tuple[int, int] | None = None,
  sample_rate: Size = 16000,
  max_bad_share: Share = 0.0,
  encoding: str = 'utf-8',
  data_dir: str | os.PathLike | None = None,
) -> PictureSource | FileSource:
  """A CSV, TSV or JSON lines file of pictures or recordings, one a row.

  One target is named: `label_column` (one label, or several with `separator`),
  `label_columns` (several, each 0 or 1), `number_columns` (regression) of
  pictures; `text_column` of recordings.

  Args:
    file: the table, absolute or below `data_dir`; by default `data_dir` itself,
      or the one table in it.
    root: the folder where relative names of files begin, absolute or below the
      table's folder; by default the table's folder.
    path_column: names of the files; by default the one column of such names.
    suffix: '.jpg', for example, where the names lack it.
    label_column: the class of each picture.
    separator: between several labels in a cell, '|' for example; in JSON they
      may be a list. An empty cell has no label.
    label_columns: one column for each label, of 0 and 1.
    unknown_cells: cells of `label_columns` that say that nobody knows, in place
      of 0 or 1: ('', '-1'), for example; they count neither as one nor the
      other.
    label_names: the classes of `label_column` in the order of their numbers; by
      default those of train, sorted.
    number_columns: one column, or several, of numbers to predict.
    text_column: transcripts; all other columns become fields.
    offset_column: where a recording begins in its file, in seconds.
    duration_column: how long it is, in seconds.
    group_column: a speaker or patient, for example, whose rows are all in one
      split.
    split_column: train, val or test of each row; valid, validation and dev are
      val as well.
    shares: of each split, by default {'train': 0.8, 'val': 0.1, 'test': 0.1};
      with a `split_column` only if given, then the rows of train are divided.
    split_seed: another one is another division.
    kind: 'images' or 'speech'; by default as the suffixes say.
    channels: of pictures: 3, or 1 for grey.
    shape: (h, w) of all pictures, see `image_folder`.
    sample_rate: in Hz, of what is handed out of recordings.
    max_bad_share: share of the rows, and of each split's files, that may be
      bad: no file, no number, no transcript, damaged. They are left out and
      listed; at 0 the first one stops.
    encoding: of the table.
    data_dir: where `file` lies.

  Raises:
    UserError: no such table, column or file, a bad row, a group in two splits.
  """
  bad_records.check_share(max_bad_share)
  sheet = read_table(find_table(file, data_dir), encoding)
  path_column = path_column or table_columns.file_column(sheet, suffix)
  speech = _is_speech(kind, sheet, path_column, suffix, text_column)
  if isinstance(number_columns, str):
    number_columns = (number_columns,)
  target = {
    'label_column': label_column,
    'label_columns': tuple(label_columns),
    'number_columns': tuple(number_columns),
    'text_column': text_column,
  }
  _check_target(sheet, speech, target)

  rows = Rows(sheet)
  root = sheet.file.parent / Path(root or '').expanduser()
  files = _Files.of(rows, root, path_column, suffix, offset_column)
  groups = rows.texts(group_column) if group_column else files.paths
  given = rows.splits(split_column) if split_column else None
  if speech:
    seconds = {'offset': offset_column, 'duration': duration_column}
    seconds = {key: rows.numbers(c) for key, c in seconds.items() if c}
    texts = rows.texts(text_column)
  else:
    column = _targets(rows, target, separator, label_names, unknown_cells)
  _leave_out_bad(rows, max_bad_share)

  split = _split(rows, groups, given, shares, split_seed)
  for name, key in {path_column: files.names, group_column: groups}.items():
    if name:
      table_columns.check_whole(sheet, split, key, name)
  members = files.members(split)
  grouped = group_column is not None
  if speech:
    hidden = {path_column, text_column, split_column}
    fields = {c: sheet.column(c) for c in sheet.columns if c not in hidden}
    listings = {
      name: Listing(files.entries(ids, texts, fields, seconds))
      for name, ids in members.items()
    }
    source = FileSource(
      sheet.file.stem,
      listings,
      sample_rate=sample_rate,
      max_bad_share=max_bad_share,
    )
    source.info = dataclasses.replace(source.info, grouped=grouped)
    return source
  hidden = {path_column, split_column}
  fields = {c: sheet.column(c) for c in sheet.columns if c not in hidden}
  found = column.targets(members)
  info = Info(
    sheet.file.stem,
    picture_shape(channels, shape),
    found.label_names,
    target_names=found.target_names,
    grouped=grouped,
  )
  listings = {
    name: files.listing(ids, found.values, fields)
    for name, ids in found.members.items()
  }
  return PictureSource(
    info, listings, where=str(sheet.file), max_bad_share=max_bad_share
  )


@dataclasses.dataclass(frozen=True)
class _Files:
  """The files of a table's rows.

  Attributes:
    root: where relative paths begin.
    paths: n paths.
    names: n names, each with the offset in its file.
    sizes: int64 `n`, bytes.
  """

  root: Path
  paths: Sequence[str]
  names: Sequence[str]
  sizes: np.ndarray

  @classmethod
  def of(
    cls, rows: Rows, root: Path, column: str, suffix: str, offset: str | None
  ) -> '_Files':
    paths, sizes = rows.files(column, root, suffix)
    names = paths
    if offset:
      starts = rows.texts(offset)
      names = [f'{p}:{at}' for p, at in zip(paths, starts, strict=True)]
    return cls(root, paths, names, sizes)

  def members(self, split: Mapping[int, str]) -> table_targets.Members:
    """The rows of each split, in the order of a hash of their names."""
    ids = sorted(split)
    keys = [self.names[i].encode(errors='surrogateescape') for i in ids]
    order = np.lexsort((np.arange(len(ids)), shares_lib.hashes(keys, 0)))
    found: dict[str, list[int]] = {}
    for i in (ids[k] for k in order):
      found.setdefault(split[i], []).append(i)
    return {name: np.array(found[name], np.int64) for name in sorted(found)}

  def listing(
    self,
    ids: np.ndarray,
    values: np.ndarray,
    fields: Mapping[str, Sequence[Cell]],
  ) -> pictures.Listing:
    """The pictures of some rows (int `k`), with targets and other columns."""
    found = pictures.make_listing(
      self.root,
      [os.fsencode(self.paths[i]) for i in ids.tolist()],
      values[ids],
      self.sizes[ids].tolist(),
      fields={
        name: [str(cells[i]) for i in ids.tolist()]
        for name, cells in fields.items()
      },
    )
    stamp = hashlib.sha256(np.ascontiguousarray(found.labels).tobytes())
    return dataclasses.replace(found, stamp=stamp.hexdigest())

  def entries(
    self,
    ids: np.ndarray,
    texts: Sequence[str],
    fields: Mapping[str, Sequence[Cell]],
    seconds: Mapping[str, np.ndarray],
  ) -> list[Entry]:
    """The recordings of some rows (int `k`), with their transcripts."""
    return [
      Entry(
        str(self.root / self.paths[i]),
        texts[i],
        {**{k: str(v[i]) for k, v in fields.items()}, 'id': self.names[i]},
        **{k: float(v[i]) for k, v in seconds.items()},
      )
      for i in ids.tolist()
    ]


def _is_speech(
  kind: str | None,
  sheet: Table,
  path_column: str,
  suffix: str,
  text_column: str | None,
) -> bool:
  """Whether the files are recordings."""
  if kind is not None and kind not in _KINDS:
    raise unknown_name('source.kind', kind, _KINDS)
  cells = sheet.column(path_column)
  kind = kind or table_columns.kind_of(cells, suffix)
  if kind is None:
    raise UserError(
      f"the names in column '{path_column}' of {sheet.file}, for example "
      f"'{cells[0]}', are neither of pictures nor of recordings: set "
      "source.suffix if the table leaves it out, or source.kind to 'images' or "
      "'speech'"
    )
  if (kind == 'speech') == (text_column is None):
    files = 'recordings' if kind == 'speech' else 'pictures'
    wants = 'their transcripts' if kind == 'speech' else 'no text_column'
    raise UserError(
      f"column '{path_column}' of {sheet.file} names {files}, which need "
      f'{wants}: set source.text_column, or source.kind if these are none; the '
      f'columns are {", ".join(sheet.columns)}'
    )
  return kind == 'speech'


def _check_target(
  sheet: Table, speech: bool, target: Mapping[str, Any]
) -> None:
  """One kind of target is named, and its columns are there."""
  named = [key for key, value in target.items() if value]
  if len(named) != 1:
    what = ' and '.join(named) or 'no target'
    raise UserError(
      f'source table has {what}: name one of label_column, label_columns or '
      f'number_columns; the columns of {sheet.file} are '
      f'{", ".join(sheet.columns)}'
    )
  if speech and named != ['text_column']:
    raise UserError(
      f'source.{named[0]} is for pictures; recordings have a text_column'
    )
  for value in target.values():
    for column in (value,) if isinstance(value, str) else value or ():
      sheet.column(column)


def _targets(
  rows: Rows,
  target: Mapping[str, Any],
  separator: str | None,
  label_names: Sequence[str] | None,
  unknown: Sequence[str],
) -> table_targets.Column:
  """Reads the columns of the target of pictures."""
  if target['number_columns']:
    return table_targets.Numbers(rows, target['number_columns'])
  if target['label_columns']:
    return table_targets.Flags(rows, target['label_columns'], unknown)
  column = target['label_column']
  lists = any(isinstance(c, list) for c in rows.table.column(column))
  if separator or lists:
    return table_targets.Several(rows, column, separator, label_names)
  return table_targets.Classes(rows, column, label_names)


def _leave_out_bad(rows: Rows, max_bad_share: float) -> None:
  """Says that bad rows are left out, or stops at too many."""
  sheet = rows.table
  bad = [*sheet.bad, *(rows.reasons[i] for i in sorted(rows.reasons))]
  place = cache.folder_for('bad', sheet.file.stem, 'table', str(sheet.file))
  bad_records.leave_out(
    bad,
    len(sheet) + len(sheet.bad),
    max_bad_share,
    what=str(sheet.file),
    listing=place.with_suffix('.txt'),
  )


def _split(
  rows: Rows,
  groups: Sequence[str],
  given: Sequence[str] | None,
  shares: Mapping[str, float] | None,
  seed: int,
) -> dict[int, str]:
  """The split of each good row.

  Args:
    rows: of the table.
    groups: what shares do not part, of each row.
    given: the split of each row; None divides all of them.
    shares: of each split.
    seed: of that division.
  """
  sheet, good = rows.table, rows.good
  if shares or given is None:
    shares = shares_lib.check_shares(shares or shares_lib.SHARES)
  if given is None:
    return table_columns.divide(sheet, good, groups, shares, seed)
  split = {i: given[i] for i in good}
  if not shares:
    return split
  twice = sorted({*shares} & {*split.values()} - {'train'})
  if twice:
    raise UserError(
      f'{sheet.file} has rows of {listed(twice)}, so that source.shares cannot '
      'divide its train into that as well: leave it out of them'
    )
  train = [i for i in good if split[i] == 'train']
  if not train:
    raise UserError(
      f'{sheet.file} has no row of train that source.shares could divide: its '
      f'splits are {listed(sorted(set(split.values())))}'
    )
  rest = {i: name for i, name in split.items() if name != 'train'}
  return rest | table_columns.divide(sheet, train, groups, shares, seed)
