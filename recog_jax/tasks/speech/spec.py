"""What scores and report need to know of speech recognition."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from recog_jax.text.tokenizer import Tokenizer

# Unit -> the error rate that is counted in it.
RATES = {'word': 'wer', 'character': 'cer', 'phone': 'per'}


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is recognised, and how errors are counted; see `make_speech`.

  Attributes:
    tokenizer: of the targets.
    unit: of the headline's error rate: 'word', 'character' or 'phone'.
    fold: text -> text before errors are counted; None for as it is.
  """

  tokenizer: Tokenizer
  unit: str
  fold: Callable[[str], str] | None

  @property
  def headline(self) -> str:
    """The metric that chooses the best checkpoint."""
    return RATES[self.unit]

  @property
  def units(self) -> tuple[str, ...]:
    """In what errors are counted."""
    return ('phone',) if self.unit == 'phone' else ('word', 'character')

  @property
  def pieces(self) -> Sequence[str]:
    """Of a text, by token: nothing, where a token is a language."""
    return getattr(self.tokenizer, 'pieces', self.tokenizer.tokens)

  @property
  def says_language(self) -> bool:
    """Whether texts begin with a symbol of their language."""
    return hasattr(self.tokenizer, 'language')

  def text(self, ids: Any, num: int) -> str:
    """That of the first `num` of the token ids `u`, not folded."""
    return self.tokenizer.decode(int(i) for i in ids[:num])

  def language(self, ids: Any, num: int) -> str | None:
    """The code of the language that was recognised; None where none was."""
    if not self.says_language:
      return None
    tokenizer: Any = self.tokenizer
    return tokenizer.language(int(i) for i in ids[:num])
