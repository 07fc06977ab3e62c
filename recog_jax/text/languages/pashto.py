"""Pashto: five yehs (ي ې ی ۍ ئ), and letters that nobody else has.

Urdu's and Arabic's letters are not turned into its own, except those that are
drawn alike. Southern and northern writers choose different letters for some
words; those stay different.
"""

from recog_jax.text.languages.arabic_script import DIGITS, make_normalizer
from recog_jax.text.languages.base import Language

PS = Language(
  code='ps',
  name='Pashto',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    {
      # The yeh without dots, also inside of a word.
      'ى': 'ی',
      **dict.fromkeys('كڪ', 'ک'),
      # One letter, by the shape of its country.
      'گ': 'ګ',
      **dict.fromkeys('ہەھ', 'ه'),
      'ۂ': 'ۀ',
    },
    # It is written between words that belong together.
    joiner=' ',
    spelling=(
      ('ه\u0654', 'ۀ'),
      ('ح\u0654', 'ځ'),
      ('[یي]\u0654', 'ئ'),
    ),
  ),
  digits=DIGITS,
  letters='اآبپتټثجځچڅحخدډذرړزژږسشښصضطظعغفقکګلمنڼوؤهۀءيېیۍئے',
  aliases=('pus', 'pbu', 'pst', 'pbt'),
)
