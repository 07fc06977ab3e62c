"""What hears the parts of a recording in their order."""

from collections.abc import Callable, Iterable, Mapping
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


def no_language(language: str | None) -> None:
  """Of tasks whose models are not told what they hear.

  Raises:
    UserError: there is one.
  """
  if language is not None:
    raise UserError(
      f"language '{language}': only Whisper is told what it hears, with the "
      "decoder 'whisper'; leave it out"
    )
