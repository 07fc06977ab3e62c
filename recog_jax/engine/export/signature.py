"""`signature.json`: what the files of an exported model are, and how it is run.

A program that is not ours needs no other file to call the model; ours also
reads the config beside it, for the task and for how files become arrays.
"""

import dataclasses
import hashlib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.storage import AnyPath, load_json

FILE = 'signature.json'
VERSION = 1
# Of each format the module here that writes and reads it.
FORMATS = {
  name: f'recog_jax.engine.export.{name}'
  for name in ('stablehlo', 'onnx', 'litert')
}


def format_of(name: str) -> Any:
  """The module of a format: `save`, `load`, `SUFFIX`, `PACKAGES`.

  Raises:
    UserError: there is none of this name.
  """
  if name not in FORMATS:
    raise unknown_name('--format', name, FORMATS)
  return importlib.import_module(FORMATS[name])


@dataclasses.dataclass(frozen=True)
class Entry:
  """One program of an export.

  Attributes:
    file: its name in the folder.
    batch: rows that it takes; None: any number.
    samples: of the waveforms; None of pictures.
    frames: of the features of such a waveform; None of pictures.
    inputs: `name`, `dtype`, `shape` of a row, and `unit` of each argument.
    outputs: `name` and `meaning` of each.
  """

  file: str
  batch: int | None
  samples: int | None
  frames: int | None
  inputs: Sequence[Mapping[str, Any]]
  outputs: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Signature:
  """What is known of an exported model.

  Attributes:
    format: of `FORMATS`.
    programs: the one for pictures; those for speech, the shortest first.
    sha256: of the other files, by name.
    step: of the checkpoint.
    facts: all that `signature.json` holds.
  """

  format: str
  programs: tuple[Entry, ...]
  sha256: Mapping[str, str]
  step: int
  facts: Mapping[str, Any]


def digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def is_export(place: AnyPath) -> bool:
  """Whether a folder is an exported model, and no workdir."""
  return (place / FILE).is_file()


def read(place: AnyPath) -> Signature:
  """The signature of an export, whose files are what they were.

  Raises:
    UserError: it is of another version, damaged, or a file is missing or was
      changed.
  """
  facts = load_json(place / FILE)
  version = facts.get('version')
  if version != VERSION:
    raise UserError(
      f'{place} was exported in version {version!r} of the format, and this '
      f'recog_jax reads version {VERSION}: export the workdir again'
    )
  try:
    found = Signature(
      format=facts['format'],
      programs=tuple(
        Entry(**{f.name: entry[f.name] for f in dataclasses.fields(Entry)})
        for entry in facts['programs']
      ),
      sha256=dict(facts['sha256']),
      step=int(facts['step']),
      facts=facts,
    )
    names = {entry.file for entry in found.programs}
    whole = bool(names) and names <= set(found.sha256)
  except (KeyError, TypeError, ValueError) as error:
    raise _damaged(place, f'{type(error).__name__}: {error}') from error
  if not whole:
    raise _damaged(place, 'a program has no sha256')
  format_of(found.format)
  check(place, found.sha256)
  return found


def check(place: AnyPath, wanted: Mapping[str, str]) -> None:
  """Compares files with their sha256.

  Raises:
    UserError: a file is missing, or another one than was written.
  """
  missing = [name for name in wanted if not (place / name).is_file()]
  if missing:
    raise UserError(
      f'{place} lacks {listed(missing)}: copy the whole folder of the export'
    )
  for name, text in wanted.items():
    if digest((place / name).read_bytes()) != text:
      raise UserError(
        f'{place / name} is not the file that was exported (its sha256 is '
        'another one): copy it again, or export the workdir again'
      )


def _damaged(place: AnyPath, reason: str) -> UserError:
  return UserError(
    f'{place / FILE} is damaged ({reason}): copy the folder again, or export '
    'the workdir again'
  )
