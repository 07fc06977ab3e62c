"""Sindhi: 52 letters, among them two kafs (ڪ, ک) and two hehs (ه, ھ).

The plain h is ه, ھ is that of جھ and گھ. Many texts take one for the other; as
both are letters, and either may follow ج or گ, they are not made one here.
"""

from recog_jax.text.languages.arabic_script import DIGITS, make_normalizer
from recog_jax.text.languages.base import Language

SD = Language(
  code='sd',
  name='Sindhi',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    {
      # What keyboards for Urdu, Persian and Arabic give.
      **dict.fromkeys('یى', 'ي'),
      **dict.fromkeys('ہە', 'ه'),
      'ك': 'ڪ',
    }
  ),
  digits=DIGITS,
  letters='اآبٻڀتٿٽٺثپجڄڃچڇحخدڌڏڊڍذرڙزسشصضطظعغفڦقڪکگڳڱلمنڻوؤهھءيئ۽۾',
  aliases=('snd',),
)
