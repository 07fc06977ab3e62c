"""The keys of a decoder that are of its language model."""

import dataclasses
from collections.abc import Sequence

from recog_jax.decode import fusion
from recog_jax.decode.arpa import read_arpa
from recog_jax.ranges import NotNegative

_UNITS = {
  'word': fusion.make_word_scorer,
  'token': fusion.make_token_scorer,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmKeys:
  """Shallow fusion with an n-gram model.

  Attributes:
    lm: an ARPA file, plain or gzipped; None for no language model.
    lm_unit: 'word', or 'token' for a model of the tokens themselves, in which
      a space is spelled as SentencePiece's sign.
    alpha: factor of the language model's log probability (natural log); its
      default and that of `beta` are pyctcdecode's.
    beta: added for each word, or token, of the language model.
  """

  lm: str | None = None
  lm_unit: str = 'word'
  alpha: NotNegative = 0.5
  beta: float = 1.5

  def scorer(
    self, *, blank_id: int, vocab: Sequence[str]
  ) -> fusion.Scorer | None:
    """The language model; None without one.

    Raises:
      ValueError: it cannot be read, or does not fit the tokens.
    """
    if self.lm_unit not in _UNITS:
      raise ValueError(
        f"unknown lm_unit '{self.lm_unit}': known are {', '.join(_UNITS)}"
      )
    if self.lm == '':
      raise ValueError('lm is empty: name an ARPA file, or leave lm out')
    if not self.lm:
      return None
    return _UNITS[self.lm_unit](
      read_arpa(self.lm),
      vocab,
      blank_id=blank_id,
      alpha=float(self.alpha),
      beta=float(self.beta),
    )
