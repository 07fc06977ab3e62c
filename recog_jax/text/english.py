"""English as it is read aloud: numbers and titles as words.

References of corpora write what was said, a recogniser that was trained on
subtitles writes `Mr. Smith paid $20`. For scores both go through this; but
spellings (colour, color) and contractions stay as they are.
"""

import re

from recog_jax.text.normalize import normalize

_TITLES = {
  'mr': 'mister',
  'mrs': 'missus',
  'dr': 'doctor',
  'st': 'saint',
  'prof': 'professor',
  'capt': 'captain',
  'col': 'colonel',
  'gen': 'general',
  'lt': 'lieutenant',
  'sgt': 'sergeant',
  'rev': 'reverend',
  'hon': 'honorable',
  'jr': 'junior',
  'sr': 'senior',
  'vs': 'versus',
  'etc': 'et cetera',
}
_ONES = (
  *('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'),
  *('nine', 'ten', 'eleven', 'twelve', 'thirteen', 'fourteen', 'fifteen'),
  *('sixteen', 'seventeen', 'eighteen', 'nineteen'),
)
_TENS = (
  *('twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty'),
  'ninety',
)
_LARGE = ((10**12, 'trillion'), (10**9, 'billion'), (10**6, 'million'))
_LARGE = (*_LARGE, (1000, 'thousand'), (100, 'hundred'))
_ORDINALS = {
  'one': 'first',
  'two': 'second',
  'three': 'third',
  'five': 'fifth',
  'eight': 'eighth',
  'nine': 'ninth',
  'twelve': 'twelfth',
}
_CURRENCIES = {'$': 'dollars', '£': 'pounds', '€': 'euros'}
_NUMBER = re.compile(
  r'(?<!\w)([$£€]?)(\d+(?:,\d{3})*)(?:[.:](\d+))?(st|nd|rd|th|s|%)?(?!\w)'
)


def cardinal(n: int) -> str:
  """A number below 10**15 in words, without `and`."""
  if n < 20:
    return _ONES[n]
  if n < 100:
    ten, one = divmod(n, 10)
    return _TENS[ten - 2] + (f' {_ONES[one]}' if one else '')
  size, name = next(row for row in _LARGE if n >= row[0])
  count, rest = divmod(n, size)
  return f'{cardinal(count)} {name}' + (f' {cardinal(rest)}' if rest else '')


def ordinal(n: int) -> str:
  """As `cardinal`, of a place in an order."""
  first, _, last = cardinal(n).rpartition(' ')
  if last in _ORDINALS:
    last = _ORDINALS[last]
  else:
    last = last[:-1] + 'ieth' if last.endswith('y') else f'{last}th'
  return f'{first} {last}'.strip()


def _year(n: int) -> str:
  """A number of four digits in two halves, as years are read."""
  century, rest = divmod(n, 100)
  if not rest:
    return f'{cardinal(century)} hundred'
  return f'{cardinal(century)} {"o " if rest < 10 else ""}{cardinal(rest)}'


def _spoken(found: re.Match) -> str:
  currency, whole, part, ending = found.groups()
  digits = whole.replace(',', '')
  if len(digits) > 15 or (len(digits) > 1 and digits[0] == '0'):
    words = ' '.join(_ONES[int(d)] for d in digits)
  elif ending in ('st', 'nd', 'rd', 'th'):
    words = ordinal(int(digits))
  elif len(whole) == 4 and 1100 <= int(whole) < 2000 and not (part or currency):
    words = _year(int(digits))
  else:
    words = cardinal(int(digits))
  if part and ':' in found[0]:
    words += f' {cardinal(int(part))}'
  elif part:
    words += ' point ' + ' '.join(_ONES[int(d)] for d in part)
  if currency:
    words += f' {_CURRENCIES[currency]}'
  if ending == '%':
    words += ' percent'
  if ending == 's':
    words = words[:-1] + 'ies' if words.endswith('y') else f'{words}s'
  return f' {words}'


def numbers_in_words(text: str) -> str:
  """A text in small letters with its numbers in words."""
  return ' '.join(_NUMBER.sub(_spoken, text).replace('-', ' ').split())


def read_aloud(text: str) -> str:
  """A text in small letters, as words alone.

  Titles and numbers are spelled out; `&` is and, punctuation goes.
  """
  text = text.lower().replace('&', ' and ')
  text = normalize(_NUMBER.sub(_spoken, text), 'en')
  return ' '.join(_TITLES.get(word, word) for word in text.split())
