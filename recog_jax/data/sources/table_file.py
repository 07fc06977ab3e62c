"""Tables as people have them: CSV, TSV, JSON lines, as columns of cells."""

import collections
import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recog_jax.data import files
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.text.normalize import NO_TEXT, is_text

SUFFIXES = ('.csv', '.tsv', '.tab', '.jsonl', '.ndjson', '.json')
_JSON = ('.jsonl', '.ndjson', '.json')
_OFFICE = ('.xlsx', '.xls', '.ods', '.parquet', '.feather')
_DELIMITERS = ',;\t|'
_UTF16 = (b'\xff\xfe', b'\xfe\xff')
_CELL_BYTES = 1 << 24  # csv's own limit, 131,072, is below some transcripts.

# A text without blanks around it; of JSON also a list of such.
Cell = str | list[str]


@dataclasses.dataclass(frozen=True)
class Table:
  """A table in memory.

  Attributes:
    file: where it comes from.
    columns: their names, in order.
    cells: n rows of a cell for each column.
    rows: n row numbers, as spreadsheets and editors count: of a table with a
      header that is row 1.
    bad: a sentence for each row that is none.
  """

  file: Path
  columns: tuple[str, ...]
  cells: Sequence[Sequence[Cell]]
  rows: Sequence[int]
  bad: Sequence[str]

  def __len__(self) -> int:
    return len(self.rows)

  def column(self, name: str) -> list[Cell]:
    """The n cells of a column.

    Raises:
      UserError: there is none of that name; near ones and all are listed.
    """
    if name not in self.columns:
      raise unknown_name(f'column of {self.file}', name, self.columns)
    at = self.columns.index(name)
    return [row[at] for row in self.cells]

  def where(self, number: int) -> str:
    """The place of a row (from 0), for messages."""
    return f'{self.file}, row {self.rows[number]}'


def find_table(
  file: str | os.PathLike | None, data_dir: str | os.PathLike | None
) -> Path:
  """The table's file.

  Args:
    file: its name, absolute or below `data_dir`.
    data_dir: without `file` the table itself, or a folder with one table.

  Raises:
    UserError: there is none, or several.
  """
  if not (file or data_dir):
    raise UserError(
      'the table is not named: set config.data.source.file or --data_dir.'
    )
  place = Path(data_dir or '.').expanduser().absolute()
  if file and place.is_file():
    place = place.parent
  if file:
    place = place / Path(file).expanduser()
  if place.is_dir():
    found = tables_in(place)
    if len(found) != 1:
      what = f'several tables ({listed(f.name for f in found)})'
      raise UserError(
        f'{place} holds {what if found else "no table"}: name it with '
        'config.data.source.file, for example labels.csv'
      )
    place = found[0]
  if not place.is_file():
    raise UserError(f'there is no table {place}.')
  return place


def tables_in(folder: Path) -> list[Path]:
  """The tables in a folder, not those of deeper ones."""
  return [
    f
    for f in files.listed(folder)
    if f.suffix.lower() in SUFFIXES and f.is_file()
  ]


def read_table(file: Path, encoding: str = 'utf-8') -> Table:
  """A table with a header, or objects that name their columns.

  Byte order marks, either end of line, quoted cells over several lines and
  blank lines are as they should be. The delimiter is the one of `,;|` and tab
  that the header has most of.

  Args:
    file: .csv, .tsv, .jsonl or another one of `SUFFIXES`.
    encoding: as Python names them; UTF-16 is known by its byte order mark.

  Raises:
    UserError: it cannot be read, has no row, or two columns of one name.
  """
  text = _text(file, encoding)
  if file.suffix.lower() in _JSON or text.lstrip()[0] in '{[':
    table = _from_json(file, text)
  else:
    table = _from_csv(file, text)
  if not table.cells:
    bad = next(iter(table.bad), f'{file} has no row below its header.')
    raise UserError(bad)
  return table


def _text(file: Path, encoding: str) -> str:
  if file.suffix.lower() in _OFFICE:
    raise UserError(f'{file} is no text: save the table as CSV (UTF-8).')
  try:
    data = file.read_bytes()
  except OSError as e:
    raise UserError(f'{file} cannot be read: {e.strerror}.') from e
  if encoding.lower().replace('_', '-') in ('utf-8', 'utf8'):
    encoding = 'utf-16' if data.startswith(_UTF16) else 'utf-8-sig'
  try:
    text = data.decode(encoding)
  except LookupError:
    raise UserError(
      f"source.encoding: there is no encoding '{encoding}': take utf-8, cp1252 "
      'or another one of Python'
    ) from None
  except UnicodeError as e:
    at = getattr(e, 'start', 0)
    raise UserError(
      f'{file} is not {encoding.removesuffix("-sig").upper()} (byte {at}): '
      'save it as UTF-8, or set source.encoding, for example to cp1252.'
    ) from e
  if not is_text(text):
    raise UserError(f'{file} is no text: save the table as CSV (UTF-8).')
  if not text.strip():
    raise UserError(f'{file} is empty.')
  return text


# -- CSV ----------------------------------------------------------------------


def _from_csv(file: Path, text: str) -> Table:
  first = text.lstrip('\r\n').splitlines()[0]
  delimiter = max(_DELIMITERS, key=first.count)
  if file.suffix.lower() in ('.tsv', '.tab'):
    delimiter = '\t'
  try:
    lines = _csv_rows(text, delimiter, csv.QUOTE_MINIMAL)
  except csv.Error as e:
    if delimiter != '\t':
      raise UserError(f'{file} is no CSV: {e}.') from e
    # Many programs write tabs, and quotation marks as they are.
    lines = _csv_rows(text, delimiter, csv.QUOTE_NONE)
  if not lines:
    raise UserError(f'{file} is empty.')
  (_, header), *lines = lines
  while header and not header[-1]:
    header.pop()
  _check_header(file, header)
  cells, rows, bad = [], [], []
  for number, row in lines:
    while len(row) > len(header) and not row[-1]:
      row.pop()
    if len(row) == len(header):
      cells.append(row)
      rows.append(number)
    else:
      bad.append(
        f'{file}, row {number} has {len(row)} cells, its header {len(header)}.'
      )
  return Table(file, tuple(header), cells, rows, bad)


def _csv_rows(
  text: str, delimiter: str, quoting: int
) -> list[tuple[int, list[str]]]:
  """Numbered rows that are not blank.

  Raises:
    csv.Error: quotation marks are not closed, for example.
  """
  csv.field_size_limit(_CELL_BYTES)
  reader = csv.reader(
    io.StringIO(text, newline=''),
    delimiter=delimiter,
    quoting=quoting,
    strict=True,
  )
  rows = []
  try:
    for number, row in enumerate(reader, 1):
      cells = [cell.strip() for cell in row]
      if any(cells):
        rows.append((number, cells))
  except csv.Error as e:
    raise csv.Error(f'{e} (line {reader.line_num})') from e
  return rows


def _check_header(file: Path, header: Sequence[str]) -> None:
  twice = [k for k, n in collections.Counter(header).items() if n > 1 and k]
  if twice:
    raise UserError(f"{file} has two columns '{twice[0]}': rename one of them.")


# -- JSON ---------------------------------------------------------------------


def _from_json(file: Path, text: str) -> Table:
  found, bad = [], []
  for number, load in _json_rows(file, text):
    try:
      found.append((number, _plain(load())))
    except (ValueError, RecursionError) as e:
      reason = 'is not JSON' if isinstance(e, json.JSONDecodeError) else e
      if isinstance(e, RecursionError):
        reason = 'is JSON of too many levels'
      bad.append(f'{file}, row {number} {reason}.')
  columns = tuple(dict.fromkeys(key for _, row in found for key in row))
  cells = [[row.get(key, '') for key in columns] for _, row in found]
  return Table(file, columns, cells, [number for number, _ in found], bad)


def _json_rows(
  file: Path, text: str
) -> Iterable[tuple[int, Callable[[], Any]]]:
  """Row number, and what gives its value."""
  if text.lstrip().startswith('['):
    try:
      rows = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as e:
      raise UserError(f'{file} is no JSON list: {e}.') from e
    return [(n, lambda row=row: row) for n, row in enumerate(rows, 1)]
  return [
    (n, lambda line=line: json.loads(line, object_pairs_hook=_object))
    for n, line in enumerate(text.split('\n'), 1)
    if line.strip()
  ]


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    raise ValueError('has a key twice')
  return found


def _plain(row: Any) -> Mapping[str, Cell]:
  if not isinstance(row, dict):
    raise ValueError('is JSON, but no object {...}')
  if not is_text(''.join(row)):
    raise ValueError(f'holds {NO_TEXT}')
  return {
    key: [_word(v) for v in value] if isinstance(value, list) else _word(value)
    for key, value in row.items()
  }


def _word(value: Any) -> str:
  if value is None:
    return ''
  if isinstance(value, bool):
    return str(int(value))
  if isinstance(value, str) and not is_text(value):
    raise ValueError(f'holds {NO_TEXT}')
  if isinstance(value, str | int | float):
    return str(value).strip()
  return json.dumps(value)
