"""How a study ends: what a user can mend is told in a sentence."""

from collections.abc import Callable

from recog_jax import terminal
from recog_jax.errors import UserError, sentence_of, tell


def exit_code_of(function: Callable[[], int | None]) -> int:
  """Calls a function; the exit code, 1 for an error that it raised."""
  terminal.open_streams()
  try:
    return function() or 0
  except UserError as error:
    tell(error)
  except OSError as error:
    tell(sentence_of(error))
  return 1
