"""Errors that a user can cause, told in one or two plain sentences."""

import difflib
import errno
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

# What would steer a terminal or tear a line, and half a surrogate pair, which
# has no encoding.
_UNPRINTABLE = re.compile(
  '[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]'
)
# What to do about an error of the system; the others need no advice.
_ADVICE = {
  **dict.fromkeys(
    (errno.ENOSPC, errno.EDQUOT), 'make room, and run the same command again'
  ),
  errno.EFBIG: 'raise the limit on the size of files (ulimit -f)',
  **dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS),
    'give rights to it, or choose another place',
  ),
  **dict.fromkeys(
    (errno.EMFILE, errno.ENFILE),
    'raise the limit (ulimit -n), or take fewer workers',
  ),
  **dict.fromkeys(
    (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENXIO, errno.ENODEV),
    'the disk or network drive fails; run the same command again once it is '
    'back',
  ),
  errno.ENOENT: 'see that the path is right',
  errno.EISDIR: 'it is a folder where a file is wanted; move it away, or '
  'choose another path',
  errno.ENOTDIR: 'it is no folder; choose another path',
  errno.EEXIST: 'it is no folder; move it away, or choose another path',
  errno.ENOTEMPTY: 'move away what it holds',
  errno.ENAMETOOLONG: 'a name has at most 255 bytes, a path 4,095; choose a '
  'shorter one',
  errno.ELOOP: 'its links lead in a circle; remove them',
}


class UserError(Exception):
  """Says what was wrong and what to do; commands print it and exit with 1."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
  """The error for a name that is not in a table; near matches come first.

  Args:
    kind: what the name stands for, for example `model`.
    name: what the user wrote.
    known: every name that would have been right.
  """
  known = sorted(known)
  near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
  hint = f'did you mean {" or ".join(near)}? ' if near else ''
  rest = f'known: {", ".join(known)}' if known else 'there is none'
  return UserError(f"unknown {kind} '{name}': {hint}{rest}")


def listed(names: Iterable[str], most: int = 6) -> str:
  """The first names, and how many more there are."""
  names = list(names)
  more = len(names) - most
  return ', '.join(names[:most]) + (f' and {more} more' * (more > 0))


def printable(text: object) -> str:
  r"""A text as one line of a terminal: what would steer it stands as \x1b.

  For all that comes from files, folders, other programs and servers: names,
  transcripts, messages.
  """
  return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], str(text))


def say(*lines: object) -> None:
  """Lines for the terminal; what they quote cannot break them."""
  print('\n'.join(map(printable, lines)), flush=True)


def warn(text: str) -> None:
  """Tells of something that was mended, or left out, without stopping."""
  print(f'warning: {printable(text)}', file=sys.stderr, flush=True)


def tell(error: object) -> None:
  """The line that a command ends with which could not do its work."""
  print(f'error: {printable(error)}', file=sys.stderr, flush=True)


def told(error: BaseException) -> str | None:
  """What a user can do about an error; None: it is one of the program's."""
  if isinstance(error, UserError):
    return str(error)
  if isinstance(error, OSError):
    return sentence_of(error)
  if isinstance(error, UnicodeError):
    return f'a name or a file is no UTF-8 text ({error})'
  return None


def sentence_of(error: OSError) -> str:
  """What the system could not do, where, and what to do about it."""
  # Errors of networks say all in their text.
  said = error.strerror or str(error).strip() or type(error).__name__
  if not isinstance(error.filename, str | bytes | os.PathLike):
    place, path = '', None
  else:
    path = Path(os.fsdecode(error.filename))
    place = f' ({path})'
  return f'{said}{place}{advice_of(error.errno, path)}'


def advice_of(code: int | None, path: Path | None = None) -> str:
  """What to do about an error of the system; begins with a colon.

  Args:
    code: errno.
    path: at which it happened, if that is known.
  """
  advice = _ADVICE.get(code or 0, '')
  if path is not None and code in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST):
    for part in (path, *path.parents):
      if part.is_symlink() and not part.exists():
        target = part.readlink()
        return f': {part} is a link to {target}, which is not there; mend it'
      if code == errno.ENOTDIR and part.is_file():
        return f': {part} is a file, not a folder; choose another path'
  return advice and f': {advice}'
