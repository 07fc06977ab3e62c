"""The file of a gallery: people with their consent and their templates.

JSON, written whole each time, so that what is deleted is in no byte of it.
"""

import base64
import dataclasses
import datetime
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.engine.gallery import templates as templates_lib
from recog_jax.engine.gallery.templates import Key
from recog_jax.errors import UserError, unknown_name
from recog_jax.storage import load_json, write_json

_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Consent:
  """What somebody has agreed to.

  Attributes:
    purpose: what templates are kept for.
    date: when it was given, YYYY-MM-DD.
  """

  purpose: str
  date: str


@dataclasses.dataclass(frozen=True)
class Template:
  """One picture of somebody.

  Attributes:
    name: 16 random bytes as hexadecimal digits.
    bits: 256 bytes, see `templates`.
  """

  name: str
  bits: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Person:
  """Somebody who is enrolled."""

  name: str
  consent: Consent
  templates: tuple[Template, ...]


@dataclasses.dataclass(frozen=True)
class Gallery:
  """All of a file.

  Attributes:
    model: tells models apart.
    key: name of the key.
    dim: of the embeddings.
    thresholds: false accept rate of a comparison -> score, of a val split.
    chosen_on: what that split was, in words.
    people: in the order of their enrolment.
  """

  model: str
  key: str
  dim: int
  thresholds: Mapping[float, float]
  chosen_on: str
  people: tuple[Person, ...] = ()

  def find(self, name: str) -> Person:
    """Somebody by name; case and the form of accents do not count.

    Raises:
      UserError: nobody is called so.
    """
    for person in self.people:
      if _same(person.name) == _same(name):
        return person
    raise unknown_name('person', name, [p.name for p in self.people])

  def has(self, name: str) -> bool:
    return any(_same(p.name) == _same(name) for p in self.people)

  def with_person(self, person: Person) -> 'Gallery':
    """With somebody, in the place of whoever has that name."""
    kept = tuple(p for p in self.people if _same(p.name) != _same(person.name))
    return dataclasses.replace(self, people=(*kept, person))

  def without(self, name: str) -> 'Gallery':
    """Without somebody.

    Raises:
      UserError: nobody is called so.
    """
    gone = self.find(name)
    return dataclasses.replace(
      self, people=tuple(p for p in self.people if p is not gone)
    )

  def templates(self) -> tuple[np.ndarray, list[bytes], np.ndarray]:
    """uint8 `t 256`, names of `t` templates, and int64 `t`: whose they are."""
    rows = [(i, t) for i, p in enumerate(self.people) for t in p.templates]
    bits = b''.join(t.bits for _, t in rows)
    return (
      np.frombuffer(bits, np.uint8).reshape(len(rows), -1),
      [bytes.fromhex(t.name) for _, t in rows],
      np.array([i for i, _ in rows], np.int64),
    )

  def renewed(self, old: Key, new: Key) -> 'Gallery':
    """With the templates of another key; see `templates.carried`."""
    bits, names, whose = self.templates()
    moved = templates_lib.carried(old, new, bits, names)
    people = tuple(
      dataclasses.replace(
        person,
        templates=tuple(
          Template(names[row].hex(), moved[row].tobytes())
          for row in np.flatnonzero(whose == i)
        ),
      )
      for i, person in enumerate(self.people)
    )
    return dataclasses.replace(self, key=new.name, people=people)

  def threshold(self, far: float) -> tuple[float, float]:
    """The score for a false accept rate of a comparison.

    Returns:
      It, and the rate that it holds for: the largest known one that is not
      above `far`, or the smallest, where val was too small for such a rate.
    """
    fitting = [known for known in self.thresholds if known <= far * (1 + 1e-9)]
    rate = max(fitting) if fitting else min(self.thresholds)
    return self.thresholds[rate], rate


def make_templates(key: Key, embedding: np.ndarray) -> tuple[Template, ...]:
  """New templates of embeddings `n d`."""
  names = [secrets.token_bytes(16) for _ in embedding]
  bits = templates_lib.protect(key, embedding, names)
  return tuple(
    Template(name.hex(), row.tobytes())
    for name, row in zip(names, bits, strict=True)
  )


def make_consent(purpose: str | None, date: str | None) -> Consent:
  """A consent, checked.

  Raises:
    UserError: a part of it is missing, or the date is none, or to come.
  """
  if not (purpose and purpose.strip()) or not date:
    raise UserError(
      'nobody is enrolled without consent: say what for and when it was given, '
      "--purpose='entry to the lab' --consent_date=2026-01-31"
    )
  try:
    day = datetime.date.fromisoformat(date)
  except ValueError:
    raise UserError(
      f'--consent_date={date} is no date: write it as 2026-01-31'
    ) from None
  if day > datetime.date.today():
    raise UserError(f'--consent_date={date} is yet to come')
  return Consent(purpose.strip(), day.isoformat())


def check_name(name: str | None) -> str:
  """A person's name, without blanks around it.

  Raises:
    UserError: there is none, or it cannot be written in one line.
  """
  found = unicodedata.normalize('NFC', (name or '').strip())
  if not found or not found.isprintable():
    raise UserError("say who it is: --name='Ada Lovelace'")
  return found


def thresholds_of(
  score: np.ndarray, same: np.ndarray, fars: Sequence[float]
) -> dict[float, float]:
  """The lowest scores at which no more impostors pass.

  Rates that would mean less than one pair are left out, but for the strictest.

  Args:
    score: float `n`.
    same: bool `n`.
    fars: false accept rates of a comparison.

  Raises:
    UserError: no two people were compared.
  """
  impostors = np.sort(score[~same])[::-1]
  if not len(impostors):
    raise UserError('the val split has one person: thresholds need two')
  found: dict[float, float] = {}
  for far in sorted(fars, reverse=True):
    passing = int(far * len(impostors) * (1 + 1e-9))
    # Above the first that must not pass.
    found[far] = float(
      np.nextafter(impostors[min(passing, len(impostors) - 1)], 2)
    )
    if passing == 0:
      break
  return found


def _same(name: str) -> str:
  return unicodedata.normalize('NFC', name.strip()).casefold()


# -- the file ------------------------------------------------------------------


def write(path: Path, gallery: Gallery) -> None:
  """Writes a gallery, whole or not at all.

  Raises:
    UserError: it cannot be written.
  """
  people = [
    {
      'name': person.name,
      'consent': dataclasses.asdict(person.consent),
      'templates': {
        t.name: base64.b64encode(t.bits).decode() for t in person.templates
      },
    }
    for person in gallery.people
  ]
  found = {
    'format': _FORMAT,
    'model': gallery.model,
    'key': gallery.key,
    'dim': gallery.dim,
    'thresholds': {f'{k:g}': v for k, v in gallery.thresholds.items()},
    'chosen_on': gallery.chosen_on,
    'people': people,
  }
  try:
    write_json(path, found)
  except OSError as error:
    raise UserError(f'{path} cannot be written: {error}') from error


def read(path: Path) -> Gallery:
  """The gallery of a file.

  Raises:
    UserError: there is none, or it is damaged.
  """
  try:
    found = load_json(path)
  except FileNotFoundError:
    raise UserError(
      f'the gallery {path} is not there: `enrol` begins one'
    ) from None
  try:
    return _parsed(found)
  except (KeyError, ValueError, TypeError, AttributeError) as error:
    raise UserError(f'{path} is no gallery, or it is damaged') from error


def _parsed(found: Mapping[str, Any]) -> Gallery:
  if found['format'] != _FORMAT:
    raise ValueError('another format')
  people = []
  for person in found['people']:
    templates = tuple(
      Template(bytes.fromhex(name).hex(), base64.b64decode(bits, validate=True))
      for name, bits in person['templates'].items()
    )
    if any(len(t.bits) != templates_lib.BITS // 8 for t in templates):
      raise ValueError('a template of another length')
    people.append(
      Person(str(person['name']), Consent(**person['consent']), templates)
    )
  return Gallery(
    model=str(found['model']),
    key=str(found['key']),
    dim=int(found['dim']),
    thresholds={float(k): float(v) for k, v in found['thresholds'].items()},
    chosen_on=str(found['chosen_on']),
    people=tuple(people),
  )
