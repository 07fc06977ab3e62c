"""Punjabi in its two scripts, Gurmukhi (pa) and Shahmukhi (pnb), and Saraiki.

Two outputs of one language: nothing is turned from one script into the other.
"""

from recog_jax.text.languages import urdu
from recog_jax.text.languages.arabic_script import (
  DIGITS,
  MARKS,
  TAH,
  make_normalizer,
)
from recog_jax.text.languages.base import APOSTROPHES, NO_QUOTES, Language
from recog_jax.text.normalizer import Normalizer

_VOWEL_SIGNS = 'ਾਿੀੁੂੇੈੋੌ'
# Bearers with a vowel sign are one letter, which looks the same.
_VOWELS = (
  ('ਅਾ', 'ਆ'),
  ('ੲਿ', 'ਇ'),
  ('ੲੀ', 'ਈ'),
  ('ੳੁ', 'ਉ'),
  ('ੳੂ', 'ਊ'),
  ('ੲੇ', 'ਏ'),
  ('ਅੈ', 'ਐ'),
  ('ੳੋ', 'ਓ'),
  ('ਅੌ', 'ਔ'),
)
# The nukta stands behind its consonant, before the vowel; one is enough.
_NUKTA = ((f'([{_VOWEL_SIGNS}])਼', r'਼\1'), ('਼+', '਼'))
# The nasal sign is a tippi over short vowels and a bindi elsewhere.
_NASAL = (
  (r'(?<=[ਅਇਕ-ਹ਼ਿੁੂ])ਂ', 'ੰ'),
  (r'(?<=[ਆਈਉਊਏਐਓਔਾੀੇੈੋੌ])ੰ', 'ਂ'),
)

PA = Language(
  code='pa',
  name='Punjabi (Gurmukhi)',
  script='Guru',
  direction='ltr',
  normalizer=Normalizer(
    replace=APOSTROPHES,
    keep="'",
    spelling=(*_VOWELS, *_NUKTA, *_NASAL, NO_QUOTES),
  ),
  digits='੦੧੨੩੪੫੬੭੮੯',
  letters=('ਅਆਇਈਉਊਏਐਓਔਕਖਗਘਙਚਛਜਝਞਟਠਡਢਣਤਥਦਧਨਪਫਬਭਮਯਰਲਵੜਸਹ਼ਾਿੀੁੂੇੈੋੌ੍ੰਂਃੱੴ'),
  aliases=('pan', 'pa_guru', 'pa_in'),
)

_SHAHMUKHI = {
  **urdu.LETTERS,
  # Before it had a code, Sindhi's letter was typed for it.
  'ڻ': 'ݨ',
}
_LETTERS_WITH_TAH = ((f'ل{TAH}', 'ࣇ'), (f'ن{TAH}', 'ݨ'), (TAH, ''))
_SPELLING = (
  *_LETTERS_WITH_TAH,
  urdu.YEH_WITH_HAMZA,
  *urdu.ASPIRATION,
  *urdu.HAMZA,
  *urdu.FINAL_FORMS,
)

PNB = Language(
  code='pnb',
  name='Punjabi (Shahmukhi)',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    _SHAHMUKHI, spelling=_SPELLING, remove=f'[{MARKS}]'
  ),
  digits=DIGITS,
  letters='اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلࣇمنںݨوؤہۂۃھءیئے',
  aliases=('pa_arab', 'pa_pk', 'lah', 'hno', 'phr'),
)

# Saraiki has the implosives of Sindhi, one of them with a letter of its own.
SKR = Language(
  code='skr',
  name='Saraiki',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    {**_SHAHMUKHI, 'ڏ': 'ݙ'}, spelling=_SPELLING, remove=f'[{MARKS}]'
  ),
  digits=DIGITS,
  letters='اآبٻپتٹثجڄچحخدڈݙذرڑزژسشصضطظعغفقکگڳلمنںݨوؤہۂۃھءیئے',
)
