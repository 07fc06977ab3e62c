"""Balochi, in the letters of Sayad Hashmi's dictionary Sayad Ganj.

Its spelling is not settled. ھ is the consonant, ہ the silent end of a word; a
hamza with a vowel sign is a case ending (ءَ, ءِ) or the word for "and" (ءُ), so
that those signs stay while all others go.
"""

from recog_jax.text.languages.arabic_script import (
  DIGITS,
  MARKS,
  TAH,
  make_normalizer,
)
from recog_jax.text.languages.base import Language

BAL = Language(
  code='bal',
  name='Balochi',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    {
      **dict.fromkeys('يى', 'ی'),
      **dict.fromkeys('كڪ', 'ک'),
      **dict.fromkeys('هە', 'ہ'),
      'ۓ': 'ئے',
    },
    remove=f'(?<!ء)[{TAH}{MARKS}]|\u0640',
    spelling=(('ی\u0654', 'ئ'),),
  ),
  digits=DIGITS,
  letters='اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوؤۆۏہھءیێئے\u064e\u064f\u0650',
  aliases=('bgp', 'bgn', 'bcc'),
)
