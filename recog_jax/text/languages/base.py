"""What a language is to a recogniser."""

import dataclasses
import re

from recog_jax.text.normalizer import Normalizer

DIGITS = '0123456789'


@dataclasses.dataclass(frozen=True, eq=False)
class Language:
  """A language as it is written.

  Attributes:
    code: of ISO 639, the shortest one; `pnb` is Punjabi in Arabic letters.
    name: in English.
    script: of ISO 15924.
    direction: `ltr` or `rtl`.
    normalizer: of its text.
    digits: its own, from zero on; normalised text has 0 to 9.
    letters: of normalised text, in the order of the language; not the space.
    aliases: other codes of it, also of those whose writing it shares.
  """

  code: str
  name: str
  script: str
  direction: str
  normalizer: Normalizer
  digits: str
  letters: str
  aliases: tuple[str, ...] = ()

  @property
  def alphabet(self) -> str:
    """The space, the letters, 0 to 9: what a tokenizer's ids may stand for."""
    return f' {self.letters}{DIGITS}'


def words(*pairs: str) -> tuple[tuple[str, str], ...]:
  """Whole words as entries of `Normalizer.spelling`: `wrong right`."""
  split = (pair.split() for pair in pairs)
  # Not \b: it is inside of words in scripts with vowel signs.
  return tuple((rf'(?<!\S){re.escape(a)}(?!\S)', b) for a, b in split)


# An apostrophe is a letter of English words in other languages' text alone.
APOSTROPHES = dict.fromkeys('’ʼ´`', "'")
NO_QUOTES = (r"(?<![a-zA-Z])'|'(?![a-zA-Z])", ' ')
