"""How a study ends: what a user can mend is told in a sentence."""

import sys
from collections.abc import Callable

from recog_jax.errors import UserError


def exit_code_of(function: Callable[[], int | None]) -> int:
  """Calls a function; the exit code, 1 for an error that it raised."""
  try:
    return function() or 0
  except UserError as error:
    text = str(error)
  except OSError as error:
    text = error.strerror or str(error)
    if error.filename is not None:
      text = f'{error.filename}: {text}'
  print(f'error: {text}', file=sys.stderr)
  return 1
