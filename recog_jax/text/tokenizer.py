"""Text to ids and back: characters, phones, SentencePiece.

Id 0 is CTC's blank in all of them, and no text encodes to it. A tokenizer is
immutable and pickles, so it goes to worker processes as it is.
"""

import dataclasses
import functools
import inspect
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from recog_jax.text.aggregate import Aggregate, made_parts
from recog_jax.text.ids import BLANK, BLANK_ID, digest, labels
from recog_jax.text.keywords import Keywords
from recog_jax.text.language_tokens import with_languages
from recog_jax.text.languages import find
from recog_jax.text.lexicon import LexiconTokenizer
from recog_jax.text.timit import INVENTORIES
from recog_jax.text.vocabulary import Vocabulary
from recog_jax.text.whisper import Whisper

UNK = '<unk>'
# What an unknown unit reads as in decoded text; SentencePiece's sign for it.
UNK_SURFACE = '⁇'


class Tokenizer(Protocol):
  """What the data, the task and the decoder know of a tokenizer.

  Attributes:
    tokens: the index is the id; `tokens[BLANK_ID]` is `<blank>`.
    vocab_size: number of tokens, the blank included: the model's outputs.
  """

  @property
  def tokens(self) -> tuple[str, ...]: ...

  @property
  def vocab_size(self) -> int: ...

  def encode(self, text: str) -> list[int]:
    """Ids of a text, never the blank; unknown units are dropped or `<unk>`."""
    ...

  def decode(self, ids: Iterable[int]) -> str:
    """Text of ids; blanks (the padding of targets) are skipped.

    Raises:
      ValueError: an id that is not below `vocab_size`.
    """
    ...

  def unknown(self, text: str) -> list[str]:
    """The units of a text that are outside the vocabulary, as they come."""
    ...

  def fingerprint(self) -> str:
    """Changes if a text would be encoded to other ids."""
    ...


@dataclasses.dataclass(frozen=True, init=False)
class _Units:
  """One id for each unit of a closed list; subclasses say what a unit is."""

  tokens: tuple[str, ...]

  def __init__(self, units: Iterable[str], unknown: str):
    # NFC takes some letters apart (ਸ਼), so a sound list can have a part twice.
    units = tuple(dict.fromkeys(units))
    if not units:
      raise ValueError('the vocabulary is empty: name the units of the text')
    if {BLANK, UNK} & {*units}:
      raise ValueError(f'{BLANK} and {UNK} are added, leave them out')
    special = (BLANK, UNK) if _keeps_unknown(unknown) else (BLANK,)
    object.__setattr__(self, 'tokens', (*special, *units))

  def _split(self, text: str) -> list[str]:
    raise NotImplementedError

  def _join(self, units: Iterable[str]) -> str:
    raise NotImplementedError

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    first = 2 if self.tokens[1] == UNK else 1
    return {unit: i for i, unit in enumerate(self.tokens) if i >= first}

  @property
  def vocab_size(self) -> int:
    return len(self.tokens)

  def encode(self, text: str) -> list[int]:
    other = 1 if self.tokens[1] == UNK else BLANK_ID
    ids = (self._ids.get(unit, other) for unit in self._split(text))
    return [i for i in ids if i != BLANK_ID]

  def decode(self, ids: Iterable[int]) -> str:
    units = (self.tokens[i] for i in labels(ids, self.vocab_size))
    return self._join(UNK_SURFACE if u == UNK else u for u in units)

  def unknown(self, text: str) -> list[str]:
    return [unit for unit in self._split(text) if unit not in self._ids]

  def fingerprint(self) -> str:
    return digest(type(self).__name__, *self.tokens)


class Characters(_Units):
  """Every character (Unicode code point after NFC) is a token, space too."""

  def __init__(
    self,
    alphabet: str = '',
    unknown: str = 'drop',
    language: str | Sequence[str] = (),
  ):
    """Makes the tokenizer of an alphabet.

    Args:
      alphabet: the characters, in the order of their ids, from 1 on; one that
        comes again is the same.
      unknown: `drop` leaves other characters out of the ids; `unk` gives them
        the id 1, `<unk>`, and the alphabet ids from 2 on.
      language: one or several whose letters and digits come behind the
        alphabet: `ur`, or ('ur', 'en'); of text as `config.data.lang` makes it.

    Raises:
      ValueError: an empty alphabet or none, an unknown language, or another
        `unknown`.
    """
    if not isinstance(alphabet, str):
      raise ValueError(f'the alphabet is one text, not {alphabet!r}')
    codes = [language] if isinstance(language, str) else language
    # One by one: a letter and a mark behind it would be composed.
    known = [letter for code in codes for letter in find(code).alphabet]
    super().__init__([*self._split(alphabet), *known], unknown)

  def _split(self, text: str) -> list[str]:
    return list(unicodedata.normalize('NFC', text))

  def _join(self, units: Iterable[str]) -> str:
    return ''.join(units)


class Phones(_Units):
  """Tokens are phones, which a text has with spaces between."""

  def __init__(self, inventory: str | Sequence[str], unknown: str = 'drop'):
    """Makes the tokenizer of an inventory.

    Args:
      inventory: the phones in the order of their ids, or the name of a known
        inventory, `timit61`, `timit48` or `timit39`.
      unknown: `drop` or `unk`, as for `Characters`.

    Raises:
      ValueError: an unknown or empty inventory, a phone with a space in it.
    """
    if isinstance(inventory, str):
      if inventory not in INVENTORIES:
        raise ValueError(
          f"unknown inventory of phones '{inventory}': give a list, or one of "
          + ', '.join(INVENTORIES)
        )
      inventory = INVENTORIES[inventory]
    units = [unicodedata.normalize('NFC', phone) for phone in inventory]
    spaced = [u for u in units if u.split() != [u]]
    if spaced:
      raise ValueError(f'phones without spaces, not {_listed(spaced)}')
    super().__init__(units, unknown)

  def _split(self, text: str) -> list[str]:
    return unicodedata.normalize('NFC', text).split()

  def _join(self, units: Iterable[str]) -> str:
    return ' '.join(units)


@dataclasses.dataclass(frozen=True, init=False)
class SentencePiece:
  """A trained SentencePiece model, unigram or BPE.

  Kudo and Richardson, "SentencePiece", 2018. The blank is put in front: piece i
  of the model, from whichever program it comes, is id i + 1.
  """

  model: bytes
  drops: bool

  def __init__(self, model: str | bytes, unknown: str = 'drop'):
    """Makes the tokenizer of a model.

    Args:
      model: the bytes of a `.model` file; a config has its path.
      unknown: `drop` takes unknown characters out of the text before it is cut
        into pieces; `unk` gives them the id of the model's `<unk>`.

    Raises:
      ValueError: not a model, another `unknown`, sentencepiece is missing.
    """
    object.__setattr__(self, 'model', bytes(model))
    object.__setattr__(self, 'drops', not _keeps_unknown(unknown))
    _ = self._processor  # Says at once if it is no model.

  def __reduce__(self):
    # Without the processor: it is made again where it is needed.
    return SentencePiece, (self.model, 'drop' if self.drops else 'unk')

  @functools.cached_property
  def _processor(self) -> Any:
    # An empty proto is accepted, and every use of it fails.
    try:
      if self.model:
        return sentencepiece_library().SentencePieceProcessor(
          model_proto=self.model
        )
    except RuntimeError:
      pass
    raise ValueError('not a SentencePiece model: train one with `prepare`')

  @functools.cached_property
  def _known(self) -> dict[str, bool]:
    return {}

  def _knows(self, character: str) -> bool:
    if character not in self._known:
      ids = self._processor.encode(character)
      self._known[character] = self._processor.unk_id() not in ids
    return self._known[character]

  @functools.cached_property
  def tokens(self) -> tuple[str, ...]:
    pieces = range(self._processor.get_piece_size())
    return (BLANK, *map(self._processor.id_to_piece, pieces))

  @property
  def vocab_size(self) -> int:
    return len(self.tokens)

  def encode(self, text: str) -> list[int]:
    text = unicodedata.normalize('NFC', text)
    if self.drops:
      text = ''.join(filter(self._knows, text))
    return [i + 1 for i in self._processor.encode(text)]

  def decode(self, ids: Iterable[int]) -> str:
    found = labels(ids, self.vocab_size)
    return self._processor.decode([i - 1 for i in found])

  def unknown(self, text: str) -> list[str]:
    text = unicodedata.normalize('NFC', text)
    return [c for c in text if not self._knows(c)]

  def fingerprint(self) -> str:
    return digest('SentencePiece', str(self.drops), self.model)


def make_tokenizer(
  keys: Mapping[str, Any],
  data_dir: str | os.PathLike[str] | None = None,
  model: bytes | None = None,
) -> Tokenizer:
  """The tokenizer of a config.

  Args:
    keys: `name` and what it takes: `characters` an `alphabet` or a `language`,
      or both, `phones` an `inventory` (list or name), `sentencepiece` a
      `model` (path of the file); all of them `unknown`, `drop` (default) or
      `unk`; `whisper` a `model` (path of a `tokenizer.json` or its folder),
      `wav2vec2` that of a `vocab.json`, and a `language`; `keywords` takes
      `words`, `lexicon` a `model` (path of a lexicon) and an `inventory`;
      `aggregate` `languages` and `parts`, the keys of one for each. A
      `name` that is a factory is called with the other keys. All take
      `language_tokens`, see `language_tokens.with_languages`.
    data_dir: the folder to which a relative path of a model belongs.
    model: what is in that file, where it is known.

  Raises:
    ValueError: an unknown name or key, a missing one, or a wrong value.
  """
  keys = dict(keys)
  if wanted := keys.pop('language_tokens', False):
    plain = make_tokenizer(keys, data_dir, model)
    return with_languages(plain, keys, language_tokens=wanted)
  name = keys.pop('name', None)
  if callable(name):
    return name(**keys)
  if name not in KINDS:
    raise ValueError(
      f"unknown tokenizer '{name}': known: {', '.join(sorted(KINDS))}"
    )
  known = inspect.signature(KINDS[name]).parameters
  content = next(iter(known))
  wrong = sorted(keys.keys() - {*known})
  if wrong:
    raise ValueError(
      f'tokenizer {name} has no key {_listed(wrong)}: it takes '
      f'{", ".join(known)}'
    )
  # Characters may be those of a language; a file is one of its own.
  instead = content != 'model' and keys.get('language')
  if keys.get(content) is None and not instead:
    raise ValueError(f"tokenizer {name} lacks the key '{content}'")
  if KINDS[name] is Aggregate:
    make = functools.partial(make_tokenizer, data_dir=data_dir)
    return Aggregate(keys['languages'], made_parts(keys, make, model))
  if content == 'model':
    path = Path(data_dir or '').expanduser() / keys['model']
    if path.is_dir() and (file := getattr(KINDS[name], 'FILE', None)):
      path /= file
    keys['model'] = _read(path) if model is None else model
  return KINDS[name](**keys)


KINDS = {
  'aggregate': Aggregate,
  'characters': Characters,
  'keywords': Keywords,
  'lexicon': LexiconTokenizer,
  'phones': Phones,
  'sentencepiece': SentencePiece,
  'wav2vec2': Vocabulary,
  'whisper': Whisper,
}
# Those that are made of a file.
OF_FILES = (SentencePiece, Vocabulary, Whisper, LexiconTokenizer, Aggregate)


def sentencepiece_library() -> Any:
  """The package sentencepiece.

  Raises:
    ValueError: it is missing.
  """
  try:
    import sentencepiece
  except ImportError:
    raise ValueError(
      'SentencePiece tokenizers need the package sentencepiece: '
      'pip install sentencepiece'
    ) from None
  return sentencepiece


def _read(path: Path) -> bytes:
  try:
    return path.read_bytes()
  except OSError as error:
    raise ValueError(
      f"cannot read the tokenizer's model {path} ({error.strerror}): `prepare` "
      'trains one of SentencePiece; others come with their weights'
    ) from None


def _keeps_unknown(unknown: str) -> bool:
  if unknown not in ('drop', 'unk'):
    raise ValueError(
      f"unknown characters are 'drop' (left out) or 'unk', not '{unknown}'"
    )
  return unknown == 'unk'


def _listed(names: Iterable[str]) -> str:
  return ', '.join(f"'{name}'" for name in names)
