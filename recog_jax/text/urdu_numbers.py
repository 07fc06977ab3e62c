"""Urdu as it is read aloud: numbers, dates, times and money as words."""

import re

_NAMES = (
  'صفر ایک دو تین چار پانچ چھ سات آٹھ نو '
  'دس گیارہ بارہ تیرہ چودہ پندرہ سولہ سترہ اٹھارہ انیس '
  'بیس اکیس بائیس تئیس چوبیس پچیس چھبیس ستائیس اٹھائیس انتیس '
  'تیس اکتیس بتیس تینتیس چونتیس پینتیس چھتیس سینتیس اڑتیس انتالیس '
  'چالیس اکتالیس بیالیس تینتالیس چوالیس پینتالیس چھیالیس سینتالیس '
  'اڑتالیس انچاس '
  'پچاس اکیاون باون ترپن چون پچپن چھپن ستاون اٹھاون انسٹھ '
  'ساٹھ اکسٹھ باسٹھ تریسٹھ چونسٹھ پینسٹھ چھیاسٹھ سڑسٹھ اڑسٹھ انہتر '
  'ستر اکہتر بہتر تہتر چوہتر پچھتر چھہتر ستتر اٹھہتر اناسی '
  'اسی اکیاسی بیاسی تراسی چوراسی پچاسی چھیاسی ستاسی اٹھاسی نواسی '
  'نوے اکانوے بانوے ترانوے چورانوے پچانوے چھیانوے ستانوے اٹھانوے ننانوے'
)
_UNITS = tuple(_NAMES.split())
_LARGE = (
  (10**11, 'کھرب'),
  (10**9, 'ارب'),
  (10**7, 'کروڑ'),
  (10**5, 'لاکھ'),
  (1000, 'ہزار'),
  (100, 'سو'),
)
_MOST = 10**13
_YEAR = 'جنوری فروری مارچ اپریل مئی جون جولائی اگست ستمبر اکتوبر نومبر دسمبر'
_MONTHS = tuple(_YEAR.split())
_CURRENCIES = {'$': 'ڈالر', '£': 'پاؤنڈ', '€': 'یورو', '₨': 'روپے'}
# Those whose ending is not behind the number; masculine and feminine.
_ORDINALS = {
  1: ('پہلا', 'پہلی'),
  2: ('دوسرا', 'دوسری'),
  3: ('تیسرا', 'تیسری'),
  4: ('چوتھا', 'چوتھی'),
  6: ('چھٹا', 'چھٹی'),
  9: ('نواں', 'نویں'),
}
_DATE = re.compile(r'(?<![\w/-])(\d{1,2})([/-])(\d{1,2})\2(\d{4})(?![\w/-])')
_NUMBER = re.compile(
  r'(?<![\w.])([$£€₨]?)(\d+(?:,\d{2,3})*)(?:([.:])(\d+))?'
  r'(%|\s?واں|\s?ویں)?(?!\w)'
)


def cardinal(n: int) -> str:
  """A number below 10**13 in words, by lakh and crore.

  Raises:
    ValueError: it is larger, or negative.
  """
  if not 0 <= n < _MOST:
    raise ValueError(f'numbers are read from 0 to {_MOST - 1:,}, not {n}')
  if n < 100:
    return _UNITS[n]
  size, name = next(row for row in _LARGE if n >= row[0])
  count, rest = divmod(n, size)
  return f'{cardinal(count)} {name}' + (f' {cardinal(rest)}' if rest else '')


def ordinal(n: int, feminine: bool = False) -> str:
  """As `cardinal`, of a place in an order."""
  if n in _ORDINALS:
    return _ORDINALS[n][feminine]
  return cardinal(n) + ('ویں' if feminine else 'واں')


def year(n: int) -> str:
  """1947 is nineteen hundred forty-seven, 2020 two thousand twenty."""
  if 1100 <= n < 2000:
    century, rest = divmod(n, 100)
    return f'{_UNITS[century]} سو' + (f' {_UNITS[rest]}' if rest else '')
  return cardinal(n)


def read_aloud(text: str) -> str:
  """A text with its numbers in words; digits are 0 to 9.

  Dates are day, month, year; `10:30` is a time, `5%` per cent, signs of money
  stand before the number. What is too long, or begins with 0, is read digit by
  digit.
  """
  text = _NUMBER.sub(_spoken, _DATE.sub(_date, text))
  return ' '.join(text.split())


def _date(found: re.Match) -> str:
  day, month, whole = int(found[1]), int(found[3]), int(found[4])
  if not (1 <= day <= 31 and 1 <= month <= 12):
    return found[0].replace(found[2], ' ')
  return f'{cardinal(day)} {_MONTHS[month - 1]} {year(whole)}'


def _spoken(found: re.Match) -> str:
  currency, whole, sign, part, ending = found.groups()
  digits = whole.replace(',', '')
  plain = not (currency or part or ending)
  if int(digits) >= _MOST or (len(digits) > 1 and digits[0] == '0'):
    words = ' '.join(_UNITS[int(d)] for d in digits)
  elif ending and ending != '%':
    return f' {ordinal(int(digits), ending.endswith("ویں"))} '
  elif plain and len(whole) == 4:
    words = year(int(digits))
  else:
    words = cardinal(int(digits))
  if sign == ':':
    minutes = int(part)
    words += f' بج کر {cardinal(minutes)} منٹ' if minutes else ' بجے'
  elif part:
    words += ' اعشاریہ ' + ' '.join(_UNITS[int(d)] for d in part)
  if currency:
    words += f' {_CURRENCIES[currency]}'
  if ending == '%':
    words += ' فیصد'
  return f' {words} '
