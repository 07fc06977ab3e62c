"""The letters of a recogniser with CTC, from the file beside its weights."""

import dataclasses
import functools
import json
import unicodedata
from collections.abc import Iterable
from typing import ClassVar

from recog_jax.text.ids import BLANK, BLANK_ID, digest, labels

# What stands for a blank, in the names of facebook's and of other files.
_PADS = ('<pad>', '[PAD]')
_SPACE = '|'


@dataclasses.dataclass(frozen=True, init=False)
class Vocabulary:
  """Symbols of a `vocab.json`, as wav2vec 2.0, HuBERT and MMS have it.

  `|` stands between words. Symbols of several characters, such as `<s>`, are
  outputs that no text has; the blank, `<pad>`, is number 0.
  """

  FILE: ClassVar[str] = 'vocab.json'
  model: bytes
  language: str | None

  def __init__(self, model: str | bytes, language: str | None = None):
    """Makes the tokenizer of a file.

    Args:
      model: what a `vocab.json` holds; a config has its path, or that of its
        folder.
      language: of MMS's file, which has a list for each, such as
        `urd-script_arabic`.

    Raises:
      ValueError: no such file, no such language, or another blank.
    """
    object.__setattr__(self, 'model', bytes(model))
    object.__setattr__(self, 'language', language)
    _ = self.tokens  # Says at once if it is none.

  @functools.cached_property
  def tokens(self) -> tuple[str, ...]:
    try:
      found = json.loads(self.model)
    except ValueError:
      found = None
    if not isinstance(found, dict) or not found:
      raise ValueError(f'not a {self.FILE}: take the one beside the weights')
    if all(isinstance(part, dict) for part in found.values()):
      if self.language not in found:
        known = ', '.join(sorted(found)[:8])
        raise ValueError(
          f'this {self.FILE} has a list for each language, and none for '
          f"language='{self.language}': it has {len(found)}, such as {known}"
        )
      found = found[self.language]
    if sorted(found.values()) != list(range(len(found))):
      raise ValueError(
        f'this {self.FILE} does not number its symbols from 0 on without gaps'
      )
    symbols = sorted(found, key=found.__getitem__)
    if symbols[BLANK_ID] not in _PADS:
      raise ValueError(
        f"the first symbol of this {self.FILE} is '{symbols[0]}' and not "
        f'{_PADS[0]}, which stands for the blank: weights that go with it have '
        'another order, which cannot be read'
      )
    return (BLANK, *(' ' if s == _SPACE else s for s in symbols[1:]))

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    return {s: i for i, s in enumerate(self.tokens) if i and len(s) == 1}

  @property
  def vocab_size(self) -> int:
    return len(self.tokens)

  def _split(self, text: str) -> list[str]:
    return list(unicodedata.normalize('NFC', text))

  def encode(self, text: str) -> list[int]:
    return [self._ids[c] for c in self._split(text) if c in self._ids]

  def decode(self, ids: Iterable[int]) -> str:
    symbols = (self.tokens[i] for i in labels(ids, self.vocab_size))
    return ''.join(s for s in symbols if len(s) == 1).strip()

  def unknown(self, text: str) -> list[str]:
    return [c for c in self._split(text) if c not in self._ids]

  def fingerprint(self) -> str:
    return digest(type(self).__name__, *self.tokens)
