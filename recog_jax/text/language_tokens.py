"""The language as a symbol in front of a text: `language_tokens`.

A recogniser of several languages says which one it hears before it says what
(Watanabe, Hori and Hershey, "Language independent end-to-end architecture for
joint language identification and speech recognition", ASRU 2017). The symbols
stand behind those of the text, whose ids stay as they are.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recog_jax.text.ids import digest, labels
from recog_jax.text.languages import code_of, place_of

# Tokenizers whose texts have no place in front: of one token, and with symbols
# of languages of their own.
_WITHOUT = ('keywords', 'whisper')


@dataclasses.dataclass(frozen=True)
class LanguageTokens:
  """A tokenizer, and a symbol for each of some languages.

  What it encodes and decodes is text alone; `prefix` and `language` are of the
  symbols.

  Attributes:
    plain: the tokenizer of the text.
    languages: their codes, in the order of their ids.
  """

  plain: Any
  languages: tuple[str, ...]

  @functools.cached_property
  def tokens(self) -> tuple[str, ...]:
    return (*self.plain.tokens, *(f'<|{code}|>' for code in self.languages))

  @functools.cached_property
  def pieces(self) -> tuple[str, ...]:
    """What each token is of a text: nothing, if it is a language."""
    of_text = getattr(self.plain, 'pieces', self.plain.tokens)
    return (*of_text, *([''] * len(self.languages)))

  @property
  def vocab_size(self) -> int:
    return self.plain.vocab_size + len(self.languages)

  @property
  def lexicon(self) -> Any:
    """That of the text's tokenizer; None where it has none."""
    return getattr(self.plain, 'lexicon', None)

  def encode(self, text: str) -> list[int]:
    return self.plain.encode(text)

  def decode(self, ids: Iterable[int]) -> str:
    found = labels(ids, self.vocab_size)
    return self.plain.decode(i for i in found if i < self.plain.vocab_size)

  def unknown(self, text: str) -> list[str]:
    return self.plain.unknown(text)

  def fingerprint(self) -> str:
    own = self.plain.fingerprint()
    return digest(type(self).__name__, own, *self.languages)

  def prefix(self, language: str) -> int:
    """The id of a language.

    Raises:
      ValueError: it has none.
    """
    at = place_of(language, self.languages, 'symbol', 'language_tokens')
    return self.plain.vocab_size + at

  def language(self, ids: Iterable[int]) -> str | None:
    """The code of the first language among some ids; None without one."""
    first = self.plain.vocab_size
    return next((self.languages[i - first] for i in ids if i >= first), None)


def with_languages(
  plain: Any,
  keys: Mapping[str, Any],
  *,
  language_tokens: bool | Sequence[str] = False,
) -> Any:
  """A tokenizer whose texts begin with a symbol of their language, if wanted.

  Args:
    plain: the tokenizer of the text.
    keys: those that it was made of.
    language_tokens: codes of the languages (field `lang` of the data), each of
      which gets a symbol in front of its texts; True takes those of `language`.

  Raises:
    ValueError: no languages, one that comes twice, or a tokenizer that cannot
      have them.
  """
  if not language_tokens:
    return plain
  if keys.get('name') in _WITHOUT:
    raise ValueError(
      f'tokenizer {keys["name"]} cannot have language_tokens: leave it out'
    )
  codes = keys.get('language') if language_tokens is True else language_tokens
  codes = [codes] if isinstance(codes, str) else list(codes or ())
  if not codes:
    raise ValueError(
      "name the languages: language_tokens is a list such as ('ur', 'en'), or "
      'True beside `language`'
    )
  made = LanguageTokens(plain, tuple(map(code_of, codes)))
  if len({*made.tokens}) < made.vocab_size:
    raise ValueError(
      f'a language of language_tokens comes twice: {", ".join(codes)}'
    )
  return made


def text_of(tokenizer: Any) -> Any:
  """The tokenizer of the text alone."""
  return getattr(tokenizer, 'plain', tokenizer)
