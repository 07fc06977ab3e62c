"""What a corpus says of its recordings, and how its text files are read."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recog_jax.data import files
from recog_jax.errors import UserError, unknown_name, warn


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


def root_of(
  folder: str | os.PathLike | None,
  data_dir: str | os.PathLike | None,
  source: str,
) -> Path:
  """The folder of a corpus.

  Raises:
    UserError: none is named, or it is not there.
  """
  if not (folder or data_dir):
    raise UserError(
      f'the folder of {source} is not named: set config.data.source.folder or '
      '--data_dir.'
    )
  root = Path(folder or data_dir or '').expanduser().absolute()
  if not root.is_dir():
    raise UserError(f'the folder {root} does not exist.')
  return root


def locales(root: Path, named: str | Sequence[str], file: str) -> list[Path]:
  """The folders of some languages, each of which holds a file.

  Args:
    root: one of them, a folder of them, or a folder of such folders (archives
      unpack to cv-corpus-25.0-2026-03-06/ur).
    named: their names; () for all that are there.
    file: what each holds.

  Raises:
    UserError: one that is named is not there; those that are, are listed.
  """
  # By the file's name: folders of recordings are not gone through.
  found = [
    path.parent
    for pattern in (file, f'*/{file}', f'*/*/{file}')
    for path in files.listed(root, pattern)
    if path.is_file()
  ]
  if isinstance(named, str):
    named = [named]
  if not named:
    return found
  by_name = {place.name: place for place in reversed(found)}
  for name in named:
    if name not in by_name:
      raise unknown_name(f'language below {root}', name, by_name)
  return [by_name[name] for name in dict.fromkeys(named)]


def without_empty(
  listings: Mapping[str, Listing], name: str
) -> dict[str, Listing]:
  """The splits that hold a record; warns of the others.

  Raises:
    UserError: none does.
  """
  found = {k: v for k, v in listings.items() if v.entries or v.bad}
  if not found:
    raise UserError(f'{name} holds no record in any split.')
  if empty := [k for k in listings if k not in found]:
    warn(
      f'{name}: no record in {", ".join(empty)}; cut one from another split, '
      "for example config.data.splits.val='train[90%:]'"
    )
  return found


def of_locales(
  kind: str, folders: Sequence[Path], read: Callable[[Path], Listing]
) -> tuple[dict[str, Listing], str]:
  """Splits train, dev and test of folders with a TSV file of each, and a name.

  Args:
    kind: begins the name.
    folders: of a language each.
    read: makes the listing of a TSV file.
  """
  listings = {}
  for split in ('train', 'dev', 'test'):
    files = [place / f'{split}.tsv' for place in folders]
    parts = [read(file) for file in files if file.is_file()]
    if parts:
      listings[split] = merged(parts)
  name = '_'.join([kind, *(f.name for f in folders)])[:60]
  return without_empty(listings, name), name


class CountedSizes(Mapping[str, int]):
  """Sizes of a source's splits by name; counts one when it is asked for."""

  def __init__(self, source: Any):
    """Nothing is counted yet.

    Args:
      source: has `splits` and `records(split)`.
    """
    self._source = source

  def __getitem__(self, split: str) -> int:
    if split not in self._source.splits:
      raise KeyError(split)
    return len(self._source.records(split))

  def __iter__(self) -> Iterator[str]:
    return iter(self._source.splits)

  def __len__(self) -> int:
    return len(self._source.splits)
