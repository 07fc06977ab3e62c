"""Errors that a user can cause, told in one or two plain sentences."""

import difflib
import sys
from collections.abc import Iterable


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


def warn(text: str) -> None:
  """Tells of something that was mended, or left out, without stopping."""
  print(f'warning: {text}', file=sys.stderr, flush=True)
