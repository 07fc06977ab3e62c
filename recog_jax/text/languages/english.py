"""English in small letters, with apostrophes inside of words."""

from recog_jax.text.languages.base import APOSTROPHES, DIGITS, Language
from recog_jax.text.normalizer import Normalizer

# ’ ʼ ´ ` are typed for the apostrophe. The opening quote ‘ is not; a straight
# quotation mark at the edge of a word cannot be told from one (dogs', 'tis).
EN = Language(
  code='en',
  name='English',
  script='Latn',
  direction='ltr',
  normalizer=Normalizer(replace=APOSTROPHES, keep="'"),
  digits=DIGITS,
  letters="'abcdefghijklmnopqrstuvwxyz",
  aliases=('eng',),
)
