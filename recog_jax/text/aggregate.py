"""One tokenizer for each of several languages, side by side in one vocabulary.

As NeMo's AggregateTokenizer: each language has a range of ids of its own, a
text is encoded by the tokenizer of its language, and decoded id by id, so that
the ids of a text may be of several languages.
"""

import base64
import bisect
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from recog_jax.text.ids import BLANK, digest, labels
from recog_jax.text.language_tokens import text_of
from recog_jax.text.languages import code_of, place_of

# Tokenizers whose texts may stand side by side.
_PARTS = ('characters', 'sentencepiece')


@dataclasses.dataclass(frozen=True)
class _Part:
  """The tokenizer of a language, with the ids that it has among all."""

  plain: Any
  shift: int

  def encode(self, text: str) -> list[int]:
    return [i + self.shift for i in self.plain.encode(text)]

  def unknown(self, text: str) -> list[str]:
    return self.plain.unknown(text)


@dataclasses.dataclass(frozen=True)
class Aggregate:
  """Tokenizers of several languages as one; the blank is common.

  Attributes:
    languages: their codes, as in the field `lang`, in the order of their ids.
    parts: for each a tokenizer; a config has its keys, of `characters` or
      `sentencepiece`.
  """

  languages: Sequence[str]
  parts: Sequence[Any]

  def __post_init__(self):
    codes = tuple(map(code_of, self.languages))
    if len({*codes}) < len(codes):
      raise ValueError(f'a language comes twice: {", ".join(self.languages)}')
    object.__setattr__(self, 'languages', codes)
    object.__setattr__(self, 'parts', tuple(self.parts))

  @functools.cached_property
  def pieces(self) -> tuple[str, ...]:
    """What each token is of a text."""
    return (BLANK, *(t for part in self.parts for t in part.tokens[1:]))

  @functools.cached_property
  def tokens(self) -> tuple[str, ...]:
    """Names, all different: a second one of a piece has its language before.

    A model of one language thereby gives its outputs to one that has that
    language first.
    """
    found = {BLANK: None}
    for code, part in zip(self.languages, self.parts, strict=True):
      for token in part.tokens[1:]:
        found[f'{code}:{token}' if token in found else token] = None
    return (*found,)

  @property
  def vocab_size(self) -> int:
    return len(self.pieces)

  @functools.cached_property
  def _shifts(self) -> tuple[int, ...]:
    """What is added to the ids of each part."""
    sizes = (part.vocab_size - 1 for part in self.parts)
    return (*itertools.accumulate(sizes, initial=0),)[:-1]

  def of_language(self, language: str) -> _Part:
    """What encodes texts of a language.

    Raises:
      ValueError: it has no tokenizer.
    """
    at = place_of(language, self.languages, 'tokenizer', 'languages')
    return _Part(self.parts[at], self._shifts[at])

  def _nearest(self, text: str) -> _Part:
    found = map(self.of_language, self.languages)
    return min(found, key=lambda part: len(part.unknown(text)))

  def encode(self, text: str) -> list[int]:
    """By the first of the tokenizers that know most of the text."""
    return self._nearest(text).encode(text)

  def unknown(self, text: str) -> list[str]:
    """Of the first of the tokenizers that know most of the text."""
    return self._nearest(text).unknown(text)

  def decode(self, ids: Iterable[int]) -> str:
    def part_of(i: int) -> int:
      return bisect.bisect_left(self._shifts, i) - 1

    text = ''
    for at, run in itertools.groupby(labels(ids, self.vocab_size), part_of):
      own = [i - self._shifts[at] for i in run]
      # SentencePiece leaves out the space before its first word.
      if text and self.parts[at].tokens[own[0]].startswith('\u2581'):
        text += ' '
      text += self.parts[at].decode(own)
    return text

  def fingerprint(self) -> str:
    parts = (part.fingerprint() for part in self.parts)
    return digest(type(self).__name__, *self.languages, *parts)

  @property
  def model(self) -> bytes:
    """The files that parts are made of, by language: JSON with base64."""
    files = {
      code: base64.b64encode(part.model).decode()
      for code, part in zip(self.languages, self.parts, strict=True)
      if hasattr(part, 'model')
    }
    return json.dumps(files).encode()


def made_parts(
  keys: Mapping[str, Any],
  make: Callable[..., Any],
  model: bytes | None = None,
) -> list[Any]:
  """The parts of a config.

  Args:
    keys: `languages` and `parts`, see `Aggregate`.
    make: makes a part of its keys, and of `model`, its file's content.
    model: `Aggregate.model` of one that was made before, in place of files.

  Raises:
    ValueError: not as many parts as languages, a part of another kind, or one
      that cannot be made.
  """
  languages, parts = keys['languages'], keys.get('parts') or ()
  if isinstance(languages, str) or not 0 < len(languages) == len(parts):
    raise ValueError(
      'the tokenizer aggregate has one of `parts` for each of `languages`, '
      "which are a list such as ('ur', 'en')"
    )
  if wrong := [part for part in parts if part.get('name') not in _PARTS]:
    raise ValueError(
      f'parts of the tokenizer aggregate are {" or ".join(_PARTS)}, not '
      f"'{wrong[0].get('name')}'"
    )
  files = {} if model is None else json.loads(model)
  known_files = [files.get(code_of(language)) for language in languages]
  return [
    make(part, model=file and base64.b64decode(file))
    for part, file in zip(parts, known_files, strict=True)
  ]


def encoders(
  tokenizer: Any, fields: Mapping[str, Sequence[str]], count: int
) -> list[Any]:
  """What encodes each of some texts: that of its language, if there are such.

  Args:
    tokenizer: any one.
    fields: `count` strings of each name, of which `lang` is looked at.
    count: n.

  Raises:
    ValueError: no field `lang`, or a language without a tokenizer.
  """
  plain = text_of(tokenizer)
  if not hasattr(plain, 'of_language'):
    return [tokenizer] * count
  if 'lang' not in fields:
    raise ValueError(
      'the tokenizer aggregate takes the language of an utterance from the '
      'field `lang`, which the data set has not: name it in config.data.lang'
    )
  langs = fields['lang']
  found = {code: plain.of_language(code) for code in sorted({*langs})}
  return [found[code] for code in langs]
