"""The consent register: whose records may be used, and whose no more.

A file of JSON lines, to which lines are added and of which none is changed:

  {"record": "a/1.png", "purpose": "research", "licence": "CC BY 4.0",
   "date": "2026-01-31"}
  {"subject": "p17", "field": "patient", "date": "2026-02-01"}
  {"subject": "p17", "field": "patient", "withdrawn": "2026-05-09"}

Of several lines about one record or subject the last one holds. What is
withdrawn is left out of all splits before anything is counted or ordered, as if
it had never been there.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data.base import Source, fields_of, names_of, person_field
from recog_jax.data.splits import Subset
from recog_jax.errors import UserError, listed

KEYS = ('record', 'subject', 'field', 'purpose', 'licence', 'date', 'withdrawn')


@dataclasses.dataclass(frozen=True)
class Register:
  """What a register says by now.

  Attributes:
    file: of it.
    records: {name: whether it is withdrawn}.
    subjects: {(field or '', value): whether it is withdrawn}.
  """

  file: Path
  records: Mapping[str, bool]
  subjects: Mapping[tuple[str, str], bool]


def read(file: str | os.PathLike) -> Register:
  """Reads a register.

  Raises:
    UserError: there is none, or a line is no JSON or says nothing of anybody.
  """
  path = Path(file).expanduser()
  try:
    text = path.read_text(encoding='utf-8')
  except FileNotFoundError as error:
    raise UserError(
      f'the consent register {path} is not there: without it nobody knows what '
      'was withdrawn; put it back, or set config.data.consent'
    ) from error
  records: dict[str, bool] = {}
  subjects: dict[tuple[str, str], bool] = {}
  for number, line in enumerate(text.splitlines(), 1):
    if not line.strip():
      continue
    row = _row(line, f'{path}, line {number}')
    gone = bool(row.get('withdrawn'))
    if 'record' in row:
      records[str(row['record'])] = gone
    else:
      subjects[str(row.get('field') or ''), str(row['subject'])] = gone
  return Register(path, records, subjects)


def _row(line: str, where: str) -> dict[str, Any]:
  try:
    row = json.loads(line)
  except ValueError as error:
    raise UserError(f'{where} is no JSON: {error}') from error
  if not isinstance(row, dict) or ('record' in row) == ('subject' in row):
    raise UserError(
      f'{where} must be an object with either "record" or "subject"'
    )
  if unknown := sorted({*row} - {*KEYS}):
    raise UserError(
      f'{where} has the unknown key "{unknown[0]}": known are {listed(KEYS, 9)}'
    )
  return row


class Consented:
  """A source without what was withdrawn; see `data.base.Source`."""

  def __init__(self, source: Source, register: Register):
    """Looks for every record and subject of the register in the source.

    Raises:
      UserError: the register names some that are not there.
    """
    self.info = source.info
    self._source = source
    found = {name: Known.of(source.records(name)) for name in source.sizes()}
    _check(register, found.values())
    self._kept = {k: v.kept(register) for k, v in found.items()}
    self._records = functools.cache(self._make_records)

  def sizes(self) -> dict[str, int]:
    return {name: len(ids) for name, ids in self._kept.items()}

  def left_out(self) -> dict[str, int]:
    """Records of each split that are withdrawn."""
    sizes = self._source.sizes()
    return {name: sizes[name] - len(ids) for name, ids in self._kept.items()}

  def records(self, split: str) -> Any:
    if split not in self._kept:
      return self._source.records(split)  # Which says what there is.
    return self._records(split)

  def _make_records(self, split: str) -> Any:
    records, ids = self._source.records(split), self._kept[split]
    return records if len(ids) == len(records) else Subset(records, ids)

  def fingerprint(self) -> str:
    """The source's where nothing is withdrawn."""
    if not any(self.left_out().values()):
      return self._source.fingerprint()
    state = hashlib.sha256(self._source.fingerprint().encode())
    for name in sorted(self._kept):
      state.update(name.encode() + self._kept[name].tobytes())
    return state.hexdigest()


@dataclasses.dataclass(frozen=True)
class Known:
  """Names and fields of the n records of a split."""

  names: np.ndarray
  fields: Mapping[str, np.ndarray]

  @classmethod
  def of(cls, records: Any) -> 'Known':
    ids = np.arange(len(records))
    if hasattr(records, 'utterances'):
      fields = dict(records.utterances.fields)
      names = fields.get('id', [str(i) for i in ids])
    else:
      fields, names = fields_of(records, ids), names_of(records, ids)
    return cls(
      np.asarray(names, object),
      {k: np.asarray(v, object) for k, v in fields.items()},
    )

  def of_subject(self, field: str, value: str) -> np.ndarray:
    """bool `n`: the records of somebody."""
    name = field or person_field(self.fields)
    if name not in self.fields:
      return np.zeros(len(self.names), bool)
    return self.fields[name].astype(str) == value

  def kept(self, register: Register) -> np.ndarray:
    """int64 numbers of the records that are not withdrawn."""
    gone = np.array(
      [register.records.get(str(name), False) for name in self.names], bool
    )
    for (field, value), withdrawn in register.subjects.items():
      if withdrawn:
        gone |= self.of_subject(field, value)
    return np.flatnonzero(~gone)


def _check(register: Register, splits: Any) -> None:
  """Refuses a register that names what is not there: a misspelt name would
  leave somebody's records in."""
  splits = list(splits)
  names = {str(name) for known in splits for name in known.names}
  unknown = [name for name in register.records if name not in names]
  unknown += [
    f'{field}={value}' if field else value
    for field, value in register.subjects
    if not any(known.of_subject(field, value).any() for known in splits)
  ]
  if unknown:
    raise UserError(
      f'{register.file} names records or subjects that the data do not have: '
      f'{listed(unknown)}; mend the names, or a withdrawal would not be obeyed'
    )


def consented(source: Any, file: str | os.PathLike | None) -> Any:
  """A source without what a register says is withdrawn; None: as it is.

  Raises:
    UserError: see `read` and `Consented`.
  """
  return source if file is None else Consented(source, read(file))
