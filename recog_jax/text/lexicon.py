"""Texts as phones by a lexicon, and back: a word a line, with its phones."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from recog_jax.text.ids import BLANK, digest, labels
from recog_jax.text.phones import INVENTORY, WORD

Entry = tuple[str, tuple[str, ...]]


def parse(content: bytes) -> list[Entry]:
  """The entries of a lexicon: `word TAB phones`, phones with spaces between.

  Of a word that comes again, each line is a pronunciation. Empty lines and
  those that begin with # are left out.

  Raises:
    ValueError: a line is none, or nothing is in it; the line is named.
  """
  try:
    text = content.decode('utf-8')
  except UnicodeDecodeError as error:
    raise ValueError(f'the lexicon is no UTF-8 text ({error})') from None
  entries = []
  for number, line in enumerate(text.splitlines(), 1):
    if not line.strip() or line.startswith('#'):
      continue
    word, _, said = line.partition('\t')
    word, phones = word.strip(), tuple(said.split())
    if not word or not phones or word.split() != [word]:
      raise ValueError(
        f'line {number} of the lexicon is no word, tab and phones: {line!r:.60}'
      )
    entries.append((word, phones))
  if not entries:
    raise ValueError('the lexicon has no words')
  return entries


def write(entries: Iterable[Entry]) -> bytes:
  """What `parse` reads."""
  lines = (f'{word}\t{" ".join(phones)}\n' for word, phones in entries)
  return ''.join(lines).encode()


@dataclasses.dataclass(frozen=True, init=False)
class LexiconTokenizer:
  """Tokens are phones; a lexicon says which a word has, and back.

  Tokens depend on the inventory alone, so that a model of some languages reads
  another one with that one's lexicon.
  """

  model: bytes
  tokens: tuple[str, ...]

  def __init__(
    self, model: str | bytes, inventory: str | Sequence[str] = 'ipa'
  ):
    """Makes the tokenizer of a lexicon.

    Args:
      model: the content of a lexicon; a config has its path.
      inventory: the phones in the order of their ids; `ipa` is
        `phones.INVENTORY`, which all languages share.

    Raises:
      ValueError: it is no lexicon, or has other phones.
    """
    units = INVENTORY if inventory == 'ipa' else tuple(inventory)
    if isinstance(inventory, str) and inventory != 'ipa':
      raise ValueError(f"the inventory is 'ipa' or a list, not '{inventory}'")
    content = model.encode() if isinstance(model, str) else bytes(model)
    object.__setattr__(self, 'model', content)
    object.__setattr__(self, 'tokens', (BLANK, WORD, *units))
    other = {p for _, phones in self.entries for p in phones} - {*units}
    if other:
      raise ValueError(
        f'the lexicon has phones that are not in the inventory: '
        f'{", ".join(sorted(other)[:10])}; `python -m experiments.lexicon` '
        'writes those of the inventory'
      )

  @functools.cached_property
  def entries(self) -> list[Entry]:
    return parse(self.model)

  @functools.cached_property
  def _phones(self) -> dict[str, tuple[str, ...]]:
    """The first pronunciation of each word."""
    return dict(reversed(self.entries))

  @functools.cached_property
  def _words(self) -> dict[tuple[str, ...], str]:
    """The first word of each pronunciation."""
    return {phones: word for word, phones in reversed(self.entries)}

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    return {unit: i for i, unit in enumerate(self.tokens) if i}

  @property
  def vocab_size(self) -> int:
    return len(self.tokens)

  @property
  def lexicon(self) -> list[tuple[str, tuple[int, ...]]]:
    """Words and ids of their phones, for decoders."""
    return [
      (word, tuple(self._ids[p] for p in phones))
      for word, phones in self.entries
    ]

  def encode(self, text: str) -> list[int]:
    """Ids of the phones of a text's words, `|` between; others are left out."""
    found: list[int] = []
    for word in text.split():
      phones = self._phones.get(word)
      if phones:
        found += [self._ids[WORD]] if found else []
        found += [self._ids[p] for p in phones]
    return found

  def decode(self, ids: Iterable[int]) -> str:
    """Words; phones that are no word of the lexicon stand as they are."""
    phones = [self.tokens[i] for i in labels(ids, self.vocab_size)]
    parts: list[list[str]] = [[]]
    for phone in phones:
      if phone == WORD:
        parts.append([])
      else:
        parts[-1].append(phone)
    words = [self._words.get(tuple(p), ''.join(p)) for p in parts if p]
    return ' '.join(words)

  def unknown(self, text: str) -> list[str]:
    """The words of a text that the lexicon has not."""
    return [word for word in text.split() if word not in self._phones]

  def fingerprint(self) -> str:
    """Of the phones: their ids mean the same with any lexicon."""
    return digest('LexiconTokenizer', *self.tokens)
