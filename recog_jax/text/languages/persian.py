"""Persian, also that of Afghanistan (Dari).

The zero-width non-joiner is part of its spelling: می‌خواهم is one word, whose
parts do not join. Behind a letter that never joins it is not seen, and goes.
"""

from recog_jax.text.languages.arabic_script import (
  DIGITS,
  NOT_JOINING,
  make_normalizer,
)
from recog_jax.text.languages.base import Language
from recog_jax.text.normalizer import ZWNJ

_SUFFIXES = 'ها|های|هایی|هایم|هایت|هایش|هایمان|هایتان|هایشان'

FA = Language(
  code='fa',
  name='Persian',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    {
      **dict.fromkeys('يى', 'ی'),
      **dict.fromkeys('كڪ', 'ک'),
      **dict.fromkeys('ہەھ', 'ه'),
      'ۂ': 'ۀ',
    },
    joiner=ZWNJ,
    spelling=(
      ('ی\u0654', 'ئ'),
      # The same ending in three spellings.
      ('ه\u0654', 'ۀ'),
      (f'(?<=\\w)ه{ZWNJ}ی\\b(?!{ZWNJ})', 'ۀ'),
      # Prefix and plural with a space where the non-joiner should be.
      (r'\b(ن?می) (?=\w)', rf'\1{ZWNJ}'),
      (rf'(?<=\w) (?=(?:{_SUFFIXES})\b)', ZWNJ),
      (f'{ZWNJ}+', ZWNJ),
      (rf'(?<!\w){ZWNJ}|{ZWNJ}(?!\w)|(?<=[{NOT_JOINING}]){ZWNJ}', ''),
    ),
  ),
  digits=DIGITS,
  letters=f'اآبپتثجچحخدذرزژسشصضطظعغفقکگلمنوؤهۀةءیئ{ZWNJ}',
  aliases=('fas', 'per', 'pes', 'prs'),
)
