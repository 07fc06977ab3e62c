"""Arabic: the final yeh with and without dots, and ة and ه, stay apart."""

from recog_jax.text.languages.arabic_script import (
  ARABIC_DIGITS,
  make_normalizer,
)
from recog_jax.text.languages.base import Language

AR = Language(
  code='ar',
  name='Arabic',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    {
      'ی': 'ي',
      **dict.fromkeys('کڪ', 'ك'),
      **dict.fromkeys('ہھە', 'ه'),
      'ۃ': 'ة',
    }
  ),
  digits=ARABIC_DIGITS,
  letters='اآبتثجحخدذرزسشصضطظعغفقكلمنهةويىءؤئ',
  aliases=('ara', 'arb', 'arz'),
)
