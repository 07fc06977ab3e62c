"""What a model is asked about: files, folders, patterns, lists."""

import collections
import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from recog_jax.data import files
from recog_jax.errors import UserError, listed, warn

# Names in a list are separated by one of these, the first that it holds.
_SEPARATORS = ('\0', '\n')


def find(words: Sequence[str], suffixes: tuple[str, ...]) -> list[str]:
  """The files that the words of a command line name.

  Args:
    words: files, folders (with the folders in them), patterns with `*`, and `-`
      for a list on standard input.
    suffixes: of files that are taken from a folder.

  Returns:
    Paths in the order of the words, those of a folder by name; none twice.

  Raises:
    UserError: a word that names nothing, or nothing at all.
  """
  if not words:
    raise UserError('name files or folders, or - for a list on standard input')
  found: dict[str, None] = {}
  for word in words:
    if word == '-':
      found |= dict.fromkeys(_of_list())
    else:
      found |= dict.fromkeys(_of_word(word, suffixes))
  if not found:
    raise UserError('the list on standard input is empty')
  return list(found)


def _of_list() -> list[str]:
  text = sys.stdin.read()
  separator = next((s for s in _SEPARATORS if s in text), '\n')
  return [line.rstrip('\r') for line in text.split(separator) if line.strip()]


def _of_word(word: str, suffixes: tuple[str, ...]) -> list[str]:
  path = Path(word)
  if path.is_dir():
    return _of_folder(path, suffixes)
  if not path.exists() and glob.has_magic(word):
    # pathlib's own takes no pattern that is absolute.
    matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207
    if not matches:
      raise UserError(f"there is no file like '{word}'")
    # What a pattern names beside files is no more than a folder would give.
    if any(Path(match).is_dir() for match in matches):
      return [f for m in matches for f in _of_match(Path(m), suffixes)]
    return matches
  return [word]


def _of_match(path: Path, suffixes: tuple[str, ...]) -> list[str]:
  if path.is_dir():
    return sorted(map(str, files.below(path, suffixes)))
  return [str(path)]


def _of_folder(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
  found = sorted(map(str, files.below(folder, suffixes)))
  others: collections.Counter[str] = collections.Counter()
  for path in files.below(folder, ('',)):
    if not path.name.lower().endswith(suffixes):
      others[path.suffix.lower() or '(no suffix)'] += 1
  told = listed(f'{suffix} {n:,}' for suffix, n in others.most_common())
  if not found:
    there = f'; there are files of other kinds: {told}' if others else ''
    raise UserError(
      f'{folder} holds no file that the model takes '
      f'({listed(suffixes, 8)}){there}'
    )
  if others:
    warn(f'{folder}: files of other kinds are left out: {told}')
  return found


def name_of(path: str) -> str:
  """A path as it can be printed and written."""
  return os.fsencode(path).decode('utf-8', 'backslashreplace')
