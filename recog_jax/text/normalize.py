"""Transcripts as a model and a score should see them, by language.

Two spellings of one utterance must not count as an error. References, the
hypotheses' training text and language models go through the same normaliser.
What is read aloud but is not written as a word (digits, and signs such as % or
$) is left as it is, since reading it needs a grammar of the language: where the
alphabet lacks it, the tokenizer reports it as unknown.
"""

import dataclasses
import functools
import re
import sys
import unicodedata
from collections.abc import Mapping

# Punctuation by Unicode's categories, but these are read aloud.
_SPOKEN = '%&@#'
# Control characters without a sound: zero-width spaces and joiners, direction
# marks, byte order mark, soft hyphen.
_SILENT = re.compile('[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]')
# What `is_text` finds, for messages.
NO_TEXT = 'what is no text (a lone surrogate or NUL)'


def is_text(text: str) -> bool:
  """Whether it can be written: JSON can escape halves of characters."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return '\0' not in text


@dataclasses.dataclass(frozen=True)
class Normalizer:
  """What is done to the text of one language; the steps are in this order.

  Attributes:
    replace: characters, and what they become.
    form: Unicode's normal form. NFKC also makes ligatures, full-width letters
      and presentation forms the plain letters that they are.
    case: `lower`, `upper` or `keep`.
    remove: a pattern of what is taken out without a space in its place.
    keep: punctuation that stays where it touches a letter. All other becomes
      a space, except between digits.
  """

  replace: Mapping[str, str] = dataclasses.field(default_factory=dict)
  form: str = 'NFC'
  case: str = 'keep'
  remove: str = ''
  keep: str = ''

  def __call__(self, text: str) -> str:
    table = str.maketrans(dict(self.replace))
    text = unicodedata.normalize('NFC', text).translate(table)
    # Once more after NFKC, which both makes such characters and loses some.
    text = unicodedata.normalize(self.form, text).translate(table)
    text = _SILENT.sub('', text)
    if self.remove:
      text = re.sub(self.remove, '', text)
    text = _CASES[self.case](text)
    text = _punctuation(self.keep).sub(' ', text)
    # Again, since changing case or removing a mark can bring two together.
    return unicodedata.normalize('NFC', ' '.join(text.split()))


# ’ ʼ ´ ` are typed for the apostrophe. The opening quote ‘ is not; a straight
# quotation mark at the edge of a word cannot be told from one (dogs', 'tis).
_ENGLISH = Normalizer(
  replace=dict.fromkeys('’ʼ´`', "'"), form='NFKC', case='lower', keep="'"
)
# Short vowels and other marks that most writers leave out, and the tatweel,
# which only makes a word longer on the page. Madda and hamza stay: they belong
# to letters.
_ARABIC_MARKS = '[\u064b-\u0652\u0670\u0640]'
# Keyboards for Arabic give its yeh, kaf and heh, which look like Urdu's.
_URDU_LETTERS = {'ي': 'ی', 'ى': 'ی', 'ك': 'ک', 'ه': 'ہ', 'ة': 'ۃ'}

# A language joins with one entry. Sindhi keeps its letters: ڪ and ک, ه and ھ
# are different ones there.
NORMALIZERS = {
  'en': _ENGLISH,
  'ur': Normalizer(replace=_URDU_LETTERS, form='NFKC', remove=_ARABIC_MARKS),
  'sd': Normalizer(form='NFKC', remove=_ARABIC_MARKS),
  'pa': Normalizer(),
}


def normalize(text: str, lang: str, *, case: str | None = None) -> str:
  """Normalises a transcript; doing it twice changes nothing more.

  Args:
    text: as the data set has it.
    lang: a language of `NORMALIZERS`, also with a region (`en-US`, `ur_pk`), or
      `none`, which gives the text back untouched (phones, for example).
    case: `lower`, `upper` or `keep` instead of the language's own.

  Raises:
    ValueError: an unknown language or case; the known ones are listed.
  """
  if case is not None and case not in _CASES:
    raise ValueError(
      f"the case of text is {', '.join(sorted(_CASES))}, not '{case}'"
    )
  if lang == 'none':
    return text
  return _normalizer(lang, case)(text)


@functools.cache
def _normalizer(lang: str, case: str | None) -> Normalizer:
  code = re.split('[-_]', lang.lower())[0]
  if code not in NORMALIZERS:
    raise ValueError(
      f"there is no text normaliser for the language '{lang}': known: "
      f"{', '.join(sorted(NORMALIZERS))}, and 'none' to leave text alone"
    )
  normalizer = NORMALIZERS[code]
  return dataclasses.replace(normalizer, case=case) if case else normalizer


_CASES = {'lower': str.lower, 'upper': str.upper, 'keep': str}


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
