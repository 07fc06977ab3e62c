"""How a study ends: what a user can mend is told in a sentence."""

from collections.abc import Callable, Iterable

from recog_jax import terminal
from recog_jax.errors import tell, told, unknown_name


def exit_code_of(function: Callable[[], int | None]) -> int:
  """Calls a function; the exit code, 1 for an error that it raised."""
  terminal.open_streams()
  try:
    return function() or 0
  except Exception as error:
    sentence = told(error)
    if sentence is None:
      raise
    tell(sentence)
  return 1


def chosen(kind: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
  """The names in a list by commas.

  Raises:
    UserError: one that is not known.
  """
  known, names = tuple(known), tuple(filter(None, text.split(',')))
  for name in names:
    if name not in known:
      raise unknown_name(kind, name, known)
  return names
