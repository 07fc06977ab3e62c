"""Urdu, and what Shahmukhi and Saraiki share with it.

Letters and spellings follow the National Language Promotion Department of
Pakistan (Muqtadira): لیے and not لئے, but گئے; ہ and ھ are two letters, and ھ
only follows a consonant that it aspirates.
"""

from recog_jax.text.languages.arabic_script import DIGITS, make_normalizer
from recog_jax.text.languages.base import Language, words

# Keyboards for Arabic give its yeh, kaf and heh, which look like Urdu's.
LETTERS = {
  **dict.fromkeys('يى', 'ی'),
  **dict.fromkeys('كڪ', 'ک'),
  **dict.fromkeys('هە', 'ہ'),
  'ة': 'ۃ',
  'ۀ': 'ۂ',
  'ۓ': 'ئے',
}
ASPIRATED = 'بپتٹجچدڈرڑکگلمن'
YEH_WITH_HAMZA = ('ی\u0654', 'ئ')
# ھ where nothing can be aspirated is ہ.
ASPIRATION = (
  (r'(?<!\w)ھ(?=\w)', 'ہ'),
  (rf'(?<=\w)(?<![{ASPIRATED}])ھ', 'ہ'),
)
# Hamza over a carrier that is written elsewhere.
HAMZA = (
  (r'(?<=[اآ])ئو', 'ؤ'),
  (r'(?<=\w)(?<!\bش)ئ\b', 'ئی'),
)
# A form that only ends words, inside of one: old encodings had no other.
FINAL_FORMS = (
  (r'(?<=\w)ے(?=\w)', 'ی'),
  (r'(?<=\w)ں(?=\w)', 'ن'),
)
_FUTURE = 'گا|گی|گے'
_PARTICLES = f'{_FUTURE}|کہ|کا|کی|کے|کو|نے|سے|میں|پر|تک|ہے|ہیں'
_JOINED = (
  (rf'(?<=\w[ےں])(?=(?:{_PARTICLES})\b)', ' '),
  # Without: بےشمار. بےٹا is an old code's بیٹا.
  (r'\bبے(?!ٹ|گم\b|ان\b|چن|چا|ج)(?=\w\w)', 'بے '),
  (r'(?<=ئے)(?=\w)', ' '),
)
# A short i before the last yeh is no hamza: لیے, کیجیے, but گئے and نئے.
_YEH = (
  (r'(?<=[آاو])ئ?یئے\b', 'ئیے'),
  (r'یئے\b', 'یے'),
  (r'(?<=[بپتٹثجچحخدڈذرڑزسصضظعغفقکلہھ])ئے\b', 'یے'),
  (r'(?<=\w[نمشط])ئے\b', 'یے'),
  *words('چاہئیں چاہییں', 'ہؤا ہوا', 'ہؤے ہوئے', 'ہؤی ہوئی', 'ہؤئے ہوئے'),
)

UR = Language(
  code='ur',
  name='Urdu',
  script='Arab',
  direction='rtl',
  normalizer=make_normalizer(
    LETTERS,
    spelling=(
      YEH_WITH_HAMZA,
      *ASPIRATION,
      *HAMZA,
      *_JOINED,
      *FINAL_FORMS,
      *_YEH,
    ),
  ),
  digits=DIGITS,
  letters='اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوؤہۂۃھءیئے',
  aliases=('urd',),
)
