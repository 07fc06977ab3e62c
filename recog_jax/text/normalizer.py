"""What is done to a transcript, whatever its language: one chain of steps."""

import dataclasses
import functools
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence

# Punctuation by Unicode's categories, but these are read aloud.
_SPOKEN = '%&@#'
# The zero-width non-joiner, which some orthographies write between the parts
# of a word.
ZWNJ = '\u200c'
# Control characters without a sound: zero-width spaces and joiners, direction
# marks and isolates, byte order mark, soft hyphen, selectors of glyphs.
_SILENT = re.compile(
  '[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069'
  '\ufe00-\ufe0f\ufeff]'
)
CASES = {'lower': str.lower, 'upper': str.upper, 'keep': str}


@dataclasses.dataclass(frozen=True, eq=False)
class Normalizer:
  """What is done to the text of one language; the steps are in this order.

  Digits of all scripts become 0 to 9, in every language.

  Attributes:
    replace: characters, and what they become.
    form: Unicode's normal form. NFKC also makes ligatures, full-width letters
      and presentation forms the plain letters that they are.
    joiner: what a zero-width non-joiner becomes: nothing, a space, or itself
      where it is between two letters.
    case: `lower`, `upper` or `keep`.
    remove: a pattern of what is taken out without a space in its place.
    keep: punctuation that stays where it touches a letter. All other becomes
      a space, except between digits.
    spelling: (pattern, replacement) of spellings that are one, in order.
  """

  replace: Mapping[str, str] = dataclasses.field(default_factory=dict)
  form: str = 'NFKC'
  joiner: str = ''
  case: str = 'lower'
  remove: str = ''
  keep: str = ''
  spelling: Sequence[tuple[str, str]] = ()

  def __call__(self, text: str) -> str:
    table = self._table
    text = unicodedata.normalize('NFC', text).translate(table)
    # Once more after NFKC, which both makes such characters and loses some.
    text = unicodedata.normalize(self.form, text).translate(table)
    if self.joiner == ZWNJ:
      kept = text.split(ZWNJ)
      text = ZWNJ.join(_SILENT.sub('', part) for part in kept)
    else:
      text = _SILENT.sub('', text.replace(ZWNJ, self.joiner))
    if self.remove:
      text = re.sub(self.remove, '', text)
    text = CASES[self.case](text)
    if not text.isascii():
      text = re.sub(r'\d', _digit, text)
    text = _punctuation(self.keep).sub(' ', text)
    text = unicodedata.normalize('NFC', text)
    for pattern, replacement in self.spelling:
      text = re.sub(pattern, replacement, text)
    # Again, since changing case or removing a mark can bring two together.
    return unicodedata.normalize('NFC', ' '.join(text.split()))

  @functools.cached_property
  def _table(self) -> dict[int, str]:
    return str.maketrans(dict(self.replace))


def _digit(found: re.Match) -> str:
  return str(unicodedata.decimal(found[0]))


@functools.cache
def _punctuation(keep: str) -> re.Pattern:
  """What becomes a space; compiled from Unicode's table, once."""
  marks = ''.join(
    re.escape(c)
    for c in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(c)[0] == 'P' and c not in _SPOKEN + keep
  )
  # 3.5 and 10:30 stay numbers.
  pattern = rf'(?<!\d)[{marks}]|[{marks}](?!\d)'
  if keep:
    pattern += rf'|(?<![^\W\d_])[{re.escape(keep)}](?![^\W\d_])'
  return re.compile(pattern)
