"""Hindi: nasals before a consonant of their class are an anusvara.

That, and गए instead of गये, is the spelling of the Central Hindi Directorate.
Anusvara and candrabindu stay apart: हंस and हँस are two words.
"""

from recog_jax.text.languages.base import (
  APOSTROPHES,
  NO_QUOTES,
  Language,
  words,
)
from recog_jax.text.normalizer import Normalizer

_NASALS = (
  ('ङ्(?=[कखगघ])', 'ं'),
  ('ञ्(?=[चछजझ])', 'ं'),
  ('ण्(?=[टठडढ])', 'ं'),
  ('न्(?=[तथदध])', 'ं'),
  ('म्(?=[पफबभ])', 'ं'),
)
# A letter with a vowel sign that looks like another letter.
_VOWELS = (
  ('अा', 'आ'),
  ('अाॅ', 'ऑ'),
  ('अॉ', 'ऑ'),
  ('अो', 'ओ'),
  ('अौ', 'औ'),
  ('एे', 'ऐ'),
)
_NUKTA = (('([ािीुूेैोौॉ])़', r'़\1'), ('़+', '़'))
_SPELLING = words(
  *('गये गए', 'गयी गई', 'गयीं गईं', 'नये नए', 'नयी नई', 'नयीं नईं'),
  *('आये आए', 'आयी आई', 'आयीं आईं', 'जाये जाए', 'लिये लिए', 'दिये दिए'),
  *('किये किए', 'चाहिये चाहिए', 'हुये हुए', 'हुयी हुई', 'हुयीं हुईं'),
  *('कीजिये कीजिए', 'दीजिये दीजिए', 'लीजिये लीजिए', 'रुपये रुपए'),
  *('पिये पिए', 'जिये जिए', 'कहिये कहिए', 'देखिये देखिए', 'सुनिये सुनिए'),
  *('इसलिये इसलिए', 'बताइये बताइए', 'जाइये जाइए', 'आइये आइए', 'पाये पाए'),
)

HI = Language(
  code='hi',
  name='Hindi',
  script='Deva',
  direction='ltr',
  normalizer=Normalizer(
    replace=APOSTROPHES,
    keep="'",
    spelling=(*_VOWELS, *_NUKTA, *_NASALS, *_SPELLING, NO_QUOTES),
  ),
  digits='०१२३४५६७८९',
  letters=('अआइईउऊऋएऐऑओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसहळािीुूृॅेैॉोौ्ंँः़ऽॐ'),
  aliases=('hin',),
)
