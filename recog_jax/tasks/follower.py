"""What hears the parts of a recording in their order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from recog_jax.answers import Span
from recog_jax.errors import UserError


class Follower(Protocol):
  """Hears recordings, each part by what came before; see `Task.follower`."""

  def __call__(
    self,
    waves: Iterable[np.ndarray],
    batch_of: Callable[[np.ndarray], Mapping[str, Any]],
    rate: int,
  ) -> tuple[list[Mapping[str, Any]], list[Span]]:
    """Rows and spans of one recording for `Task.answer`, at least one part.

    Args:
      waves: float32 `n` each, one after another, without gaps.
      batch_of: the batch of one row of a wave.
      rate: in Hz.
    """
    ...


def check_language(language: str | None, known: Sequence[str] = ()) -> None:
  """Of models that hear each part on its own.

  Args:
    language: that is spoken; None: nobody says it.
    known: codes of those that the model is told; () of most.

  Raises:
    UserError: the model is not told it.
  """
  if language is None or language in known:
    return
  if known:
    raise UserError(
      f"language '{language}': this model is told {', '.join(known)}; leave it "
      'out where another one is spoken'
    )
  raise UserError(
    f"language '{language}': this model is not told what it hears, as Whisper "
    "is with the decoder 'whisper', and models with "
    'config.model.language_embedding; leave it out'
  )
