"""Texts as one token each: which keyword is said in them, if one is."""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from recog_jax.text.ids import BLANK, digest, labels

OTHER = '<other>'


def spoken(phrase: str) -> re.Pattern[str]:
  """What finds whole words in a normalised text."""
  return re.compile(rf'(?<!\S){re.escape(phrase)}(?!\S)')


@dataclasses.dataclass(frozen=True, init=False)
class Keywords:
  """One token for each keyword, and one for all other texts, silence too.

  Id 0 is the blank, which nothing encodes to, id 1 `<other>`.
  """

  tokens: tuple[str, ...]

  def __init__(self, words: Sequence[str]):
    """Makes the tokenizer of keywords.

    Args:
      words: the keywords or phrases, as texts have them after normalisation;
        of a text with several the first one counts.

    Raises:
      ValueError: none, one that is empty or comes twice.
    """
    words = [words] if isinstance(words, str) else list(words)
    clean = [' '.join(word.split()) for word in words]
    if not clean or not all(clean):
      raise ValueError('name the keywords: words is a list such as ("seven",)')
    if len({*clean, BLANK, OTHER}) < len(clean) + 2:
      raise ValueError(f'a keyword comes twice: {", ".join(clean)}')
    object.__setattr__(self, 'tokens', (BLANK, OTHER, *clean))

  @property
  def vocab_size(self) -> int:
    return len(self.tokens)

  def encode(self, text: str) -> list[int]:
    found = [
      (match.start(), -len(word), i)
      for i, word in enumerate(self.tokens[2:], 2)
      if (match := spoken(word).search(text))
    ]
    return [min(found)[2] if found else 1]

  def decode(self, ids: Iterable[int]) -> str:
    tokens = (self.tokens[i] for i in labels(ids, self.vocab_size))
    return ' '.join(t for t in tokens if t != OTHER)

  def unknown(self, text: str) -> list[str]:
    """None: all that is no keyword is `<other>`."""
    del text
    return []

  def fingerprint(self) -> str:
    return digest('Keywords', *self.tokens)
