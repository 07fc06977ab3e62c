"""Whisper's own tokenizer, from the file that comes with its weights."""

import dataclasses
import functools
import json
from collections.abc import Iterable
from typing import Any, ClassVar

from recog_jax.text.ids import BLANK, BLANK_ID, digest, labels

_END, _START, _NO_TIMES = (
  '<|endoftext|>',
  '<|startoftranscript|>',
  '<|notimestamps|>',
)
_TIMES = 1501  # 0.00 to 30.00 s, which files may lack.


@dataclasses.dataclass(frozen=True, init=False)
class Whisper:
  """Byte pairs, and the special symbols behind them, which no text has.

  The numbers are Whisper's, but the end of a text is 0, the blank, and what is
  0 there has the end's number (see `models.speech.whisper_vocabulary`).
  """

  FILE: ClassVar[str] = 'tokenizer.json'
  model: bytes

  def __init__(self, model: str | bytes):
    """Makes the tokenizer of a file.

    Args:
      model: what a `tokenizer.json` holds; a config has its path, or that of
        its folder.

    Raises:
      ValueError: no such file, of another model, or tokenizers is missing.
    """
    object.__setattr__(self, 'model', bytes(model))
    _ = self.vocab_size  # Says at once if it is none.

  def __reduce__(self):
    # Without the processor: it is made again where it is needed.
    return Whisper, (self.model,)

  @functools.cached_property
  def _processor(self) -> Any:
    try:
      import tokenizers
    except ImportError:
      raise ValueError(
        "Whisper's tokenizer needs the package tokenizers: pip install "
        "'recog_jax[whisper]'"
      ) from None
    try:
      return tokenizers.Tokenizer.from_buffer(self.model)
    except Exception as error:  # The library raises no other type.
      raise ValueError(
        f'not a {self.FILE} ({str(error)[:100]}): take the one that lies '
        'beside the weights of Whisper'
      ) from error

  @functools.cached_property
  def _special(self) -> dict[str, int]:
    found = {
      name: self._processor.token_to_id(name)
      for name in (_END, _START, _NO_TIMES)
    }
    if None in found.values():
      raise ValueError(
        f'a {self.FILE} of another model, which lacks '
        + ', '.join(name for name, i in found.items() if i is None)
        + ': take the one that lies beside the weights of Whisper'
      )
    return found

  @property
  def vocab_size(self) -> int:
    return self._special[_NO_TIMES] + 1 + _TIMES

  def _swapped(self, i: int) -> int:
    end = self._special[_END]
    return {0: end, end: 0}.get(i, i)

  @functools.cached_property
  def tokens(self) -> tuple[str, ...]:
    first = self._special[_NO_TIMES] + 1
    found = [self._processor.id_to_token(i) or '' for i in range(first)]
    found += [f'<|{i / 50:.2f}|>' for i in range(_TIMES)]
    end = self._special[_END]
    found[0], found[end] = BLANK, found[0]
    # A space in front of a word as SentencePiece has it.
    return tuple(
      f'\u2581{token[1:]}' if token[:1] == '\u0120' else token
      for token in found
    )

  def encode(self, text: str) -> list[int]:
    text = ' '.join(text.split())
    if not text:
      return []
    found = self._processor.encode(f' {text}', add_special_tokens=False).ids
    return [self._swapped(i) for i in found if i < self._special[_END]]

  def decode(self, ids: Iterable[int]) -> str:
    found = [self._swapped(i) for i in labels(ids, self.vocab_size)]
    text = [i for i in found if i < self._special[_END]]
    return self._processor.decode(text).strip()

  def unknown(self, text: str) -> list[str]:
    """None: bytes spell everything."""
    del text
    return []

  def fingerprint(self) -> str:
    # Of what it does, and not how the file is written.
    content = json.loads(self.model).get('model', {})
    return digest('Whisper', json.dumps(content, sort_keys=True))


assert BLANK_ID == 0  # The end takes its place.
