"""What a corpus says of its recordings, and how its text files are read."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from recog_jax.data import files
from recog_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Entry:
  """One utterance.

  Attributes:
    path: the audio file.
    text: its transcript.
    fields: other strings, `id` among them.
    offset: where it begins in the file, in seconds.
    duration: in seconds; None is up to the file's end.
  """

  path: str
  text: str
  fields: Mapping[str, str]
  offset: float = 0.0
  duration: float | None = None


@dataclasses.dataclass(frozen=True)
class Listing:
  """What a corpus says of one split.

  Attributes:
    entries: in the order of the record numbers.
    bad: a sentence about each record that cannot be one.
  """

  entries: Sequence[Entry]
  bad: Sequence[str] = ()


def merged(parts: Iterable[Listing]) -> Listing:
  """Several listings as one, in order."""
  parts = list(parts)
  return Listing(
    [e for part in parts for e in part.entries],
    [b for part in parts for b in part.bad],
  )


def children(folder: Path, *names: str) -> list[Path]:
  """The folders in a folder that have one of some names, in any case."""
  return [
    p for p in files.listed(folder) if p.name.lower() in names and p.is_dir()
  ]


def read_lines(file: Path) -> list[str]:
  """A text file's lines.

  Raises:
    UserError: it cannot be read, or is not UTF-8.
  """
  try:
    return file.read_text('utf-8-sig').split('\n')
  except OSError as e:
    raise UserError(f'{file} cannot be read: {e.strerror}.') from e
  except UnicodeDecodeError as e:
    raise UserError(
      f'{file} is not UTF-8 (byte {e.start}): convert it, for example with '
      'iconv.'
    ) from e
  except ValueError as e:  # A NUL in the path.
    raise UserError(f'{file} cannot be read: {e}.') from e


def gather(
  file: Path,
  rows: Iterable[tuple[int, str]],
  entry: Callable[[str], Entry],
) -> Listing:
  """Entries of numbered lines; a ValueError tells what is wrong with one."""
  entries, bad = [], []
  for number, line in rows:
    try:
      entries.append(entry(line))
    except ValueError as e:
      bad.append(f'{file}:{number}: {e}.')
  return Listing(entries, bad)
