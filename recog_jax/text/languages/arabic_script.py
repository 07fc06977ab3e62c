"""What languages in Arabic letters have in common.

Their letters differ: what is one letter to Urdu is two to Pashto or Sindhi.
Here is only what is the same for all of them.
"""

from recog_jax.text.languages.base import APOSTROPHES, NO_QUOTES
from recog_jax.text.normalizer import Normalizer

DIGITS = '۰۱۲۳۴۵۶۷۸۹'
ARABIC_DIGITS = '٠١٢٣٤٥٦٧٨٩'
# Short vowels and other marks that most writers leave out, signs above names
# and of the Quran, and the tatweel, which only makes a word longer on the page.
# Madda and hamza stay: they belong to letters.
MARKS = (
  '\u0640\u0610-\u0614\u0616-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc'
  '\u06df-\u06e8\u06ea-\u06ed\u08d3-\u08ff'
)
# A small tah, which is a mark on names, and in Shahmukhi part of letters.
TAH = '\u0615'
_MADDA, _HAMZA_ABOVE, _HAMZA_BELOW = '\u0653\u0654\u0655'
# Letters that do not join with the next one.
NOT_JOINING = 'اآدڈذرڑزژوؤءےڌڏڊڍډړږ'
_COMMON = {
  **APOSTROPHES,
  # Isolated marks: their compatibility forms begin with a space.
  **dict.fromkeys(
    map(chr, (*range(0xFC5E, 0xFC64), *range(0xFE70, 0xFE80))), ''
  ),
  # Signs of numbers.
  '٫': '.',
  '٬': ',',
  '٪': '%',
  # A hamza of its own place; alef with a hamza that many leave out, or a wasla.
  'ٴ': _HAMZA_ABOVE,
  **dict.fromkeys('أإٱٲٳ', 'ا'),
}
_SPELLING = (
  # Full stops and commas of the script in numbers.
  (r'(?<=\d)۔(?=\d)', '.'),
  (r'(?<=\d)،(?=\d)', ','),
  NO_QUOTES,
)
# A hamza that is part of no letter.
_NO_LETTER = (f'[{_MADDA}{_HAMZA_ABOVE}{_HAMZA_BELOW}]', '')


def make_normalizer(
  letters: dict[str, str],
  *,
  spelling: tuple[tuple[str, str], ...] = (),
  joiner: str = '',
  remove: str = f'[{TAH}{MARKS}]',
) -> Normalizer:
  """The normaliser of a language in Arabic letters.

  Args:
    letters: those that only look different, or have another code.
    spelling: see `Normalizer`.
    joiner: see `Normalizer`.
    remove: see `Normalizer`.
  """
  return Normalizer(
    replace={**_COMMON, **letters},
    joiner=joiner,
    remove=remove,
    keep="'",
    spelling=(*_SPELLING, *spelling, _NO_LETTER),
  )
