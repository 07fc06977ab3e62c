"""Phones of all languages in IPA, with articulatory features.

A phone is a letter of the International Phonetic Alphabet (IPA, 2020), or two
with a tie, and marks behind it. Its features say how it is made, after Hayes,
"Introductory phonology", 2009, as panphon has them (Mortensen et al., COLING
2016): 1 with the feature, -1 without, 0 where it does not apply. So what a
recogniser has learned of one language's phones says something about those of
another, of which it has heard none.
"""

import functools
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

FEATURES = (
  'syllabic',
  'consonantal',
  'sonorant',
  'continuant',
  'delayed_release',
  'nasal',
  'lateral',
  'trill',
  'strident',
  'voice',
  'spread_glottis',
  'constricted_glottis',
  'labial',
  'round',
  'coronal',
  'anterior',
  'distributed',
  'dorsal',
  'high',
  'low',
  'front',
  'back',
  'tense',
  'long',
)
WORD = '|'  # Between words.
# What is finer than voice, manner and the part of the tongue counts half.
_FINE = ('anterior', 'distributed', 'high', 'low', 'front', 'back')
_FINE += ('tense', 'long')
_WEIGHTS = np.array([0.5 if name in _FINE else 1.0 for name in FEATURES])
# Places of consonants: what they add to `dorsal` and so on.
_PLACES = {
  'labial': {'labial': 1},
  'labiodental': {'labial': 1, 'distributed': 0},
  'dental': {'coronal': 1, 'anterior': 1, 'distributed': 1},
  'alveolar': {'coronal': 1, 'anterior': 1, 'distributed': -1},
  'postalveolar': {'coronal': 1, 'anterior': -1, 'distributed': 1},
  'retroflex': {'coronal': 1, 'anterior': -1, 'distributed': -1},
  'palatal': {
    **{'coronal': 1, 'anterior': -1, 'distributed': 1},
    **{'dorsal': 1, 'high': 1, 'low': -1, 'front': 1, 'back': -1},
  },
  'alveolopalatal': {
    **{'coronal': 1, 'anterior': -1, 'distributed': 1},
    **{'dorsal': 1, 'high': 1, 'low': -1, 'front': 1, 'back': -1},
  },
  'velar': {'dorsal': 1, 'high': 1, 'low': -1, 'front': -1, 'back': 1},
  'uvular': {'dorsal': 1, 'high': -1, 'low': -1, 'front': -1, 'back': 1},
  'pharyngeal': {'dorsal': 1, 'high': -1, 'low': 1, 'front': -1, 'back': 1},
  'glottal': {},
}
# Manners: syllabic and so on; what is left out is -1.
_MANNERS = {
  'plosive': {'consonantal': 1},
  'nasal': {'consonantal': 1, 'sonorant': 1, 'nasal': 1},
  'trill': {'consonantal': 1, 'sonorant': 1, 'continuant': 1, 'trill': 1},
  'tap': {'consonantal': 1, 'sonorant': 1, 'continuant': 1},
  'fricative': {'consonantal': 1, 'continuant': 1, 'delayed_release': 1},
  'lateral': {
    **{'consonantal': 1, 'sonorant': 1, 'continuant': 1, 'lateral': 1},
  },
  'lateral fricative': {
    **{'consonantal': 1, 'continuant': 1, 'delayed_release': 1, 'lateral': 1},
  },
  'approximant': {'sonorant': 1, 'continuant': 1},
  'implosive': {'consonantal': 1, 'constricted_glottis': 1},
}
# Manner -> place -> voiceless and voiced letter; - is none.
_CONSONANTS = {
  'plosive': {
    **{'labial': 'pb', 'alveolar': 'td', 'retroflex': 'ʈɖ', 'palatal': 'cɟ'},
    **{'velar': 'kɡ', 'uvular': 'qɢ', 'glottal': 'ʔ-'},
  },
  'nasal': {
    **{'labial': '-m', 'labiodental': '-ɱ', 'alveolar': '-n'},
    **{'retroflex': '-ɳ', 'palatal': '-ɲ', 'velar': '-ŋ', 'uvular': '-ɴ'},
  },
  'trill': {'labial': '-ʙ', 'alveolar': '-r', 'uvular': '-ʀ'},
  'tap': {'alveolar': '-ɾ', 'retroflex': '-ɽ'},
  'fricative': {
    **{'labial': 'ɸβ', 'labiodental': 'fv', 'dental': 'θð', 'alveolar': 'sz'},
    **{'postalveolar': 'ʃʒ', 'alveolopalatal': 'ɕʑ', 'retroflex': 'ʂʐ'},
    **{'palatal': 'çʝ'},
    **{'velar': 'xɣ', 'uvular': 'χʁ', 'pharyngeal': 'ħʕ', 'glottal': 'hɦ'},
  },
  'lateral fricative': {'alveolar': 'ɬɮ'},
  'lateral': {
    **{'alveolar': '-l', 'retroflex': '-ɭ', 'palatal': '-ʎ', 'velar': '-ʟ'},
  },
  'approximant': {
    **{'labiodental': '-ʋ', 'alveolar': '-ɹ', 'retroflex': '-ɻ'},
    **{'palatal': '-j', 'velar': '-ɰ'},
  },
  'implosive': {
    **{'labial': '-ɓ', 'alveolar': '-ɗ', 'retroflex': '-ᶑ'},
    **{'palatal': '-ʄ', 'velar': '-ɠ'},
  },
}
_STRIDENT = 'szʃʒɕʑʂʐfv'
# (height, tense) -> front, front round, central, central round, back, back
# round; - is none.
_VOWELS = {
  ('high', 1): 'iyɨʉɯu',
  ('high', -1): 'ɪʏ---ʊ',
  ('mid', 1): 'eøɘɵɤo',
  ('mid', -1): 'ɛœɜɞʌɔ',
  ('low', 0): 'æɶa-ɑɒ',
}
_ALIASES = {'g': 'ɡ', 'ʧ': 'tʃ', 'ʤ': 'dʒ', 'ɚ': 'ə', 'ɝ': 'ɜ', 'ᵻ': 'ɪ'}
_ALIASES |= {'ʦ': 'ts', 'ʣ': 'dz', 'ɫ': 'l', 'ʱ': 'ʰ', 'c\u0327': 'ç'}
# Marks -> features that they set.
MARKS = {
  'ː': {'long': 1},
  'ʰ': {'spread_glottis': 1},
  'ʼ': {'constricted_glottis': 1},
  'ʲ': {'dorsal': 1, 'high': 1, 'front': 1, 'back': -1},
  'ʷ': {'labial': 1, 'round': 1},
  'ˤ': {'dorsal': 1, 'low': 1, 'back': 1},
  '\u0303': {'nasal': 1},
  '\u032a': {'distributed': 1, 'anterior': 1},
  '\u0329': {'syllabic': 1},
  '\u0325': {'voice': -1},
}
# Length of half or less, stress, tone, syllables: of how it is said, not what.
_DROPPED = set('ˈˌ.ˑ‿ˑ\u0306\u031a\u030a\u032f\u0361\u035c˞') | set('˥˦˧˨˩-_')


def _vector(found: dict[str, int]) -> np.ndarray:
  """int8 of features; those of a place that is not used are 0."""
  base = dict.fromkeys(FEATURES, -1)
  if found.get('coronal', -1) < 0:
    base |= {'anterior': 0, 'distributed': 0}
  if found.get('dorsal', -1) < 0:
    base |= {'high': 0, 'low': 0, 'front': 0, 'back': 0}
  if found.get('syllabic', -1) < 0:
    base['tense'] = 0
  return np.array([{**base, **found}[name] for name in FEATURES], np.int8)


@functools.cache
def _letters() -> dict[str, np.ndarray]:
  """The features of each letter."""
  table = {}
  for manner, places in _CONSONANTS.items():
    for place, pair in places.items():
      for letter, voice in zip(pair, (-1, 1), strict=True):
        if letter == '-':
          continue
        found = {**_PLACES[place], **_MANNERS[manner], 'voice': voice}
        found['strident'] = 1 if letter in _STRIDENT else -1
        if place == 'glottal':
          found['consonantal'] = -1
          key = 'spread_glottis' if letter in 'hɦ' else 'constricted_glottis'
          found[key] = 1
        table[letter] = _vector(found)
  w = {**_PLACES['velar'], **_MANNERS['approximant'], 'voice': 1}
  table['w'] = _vector({**w, 'labial': 1, 'round': 1})
  table['ɥ'] = _vector(
    {**_PLACES['palatal'], **_MANNERS['approximant'], 'voice': 1}
    | {'labial': 1, 'round': 1}
  )
  for (height, tense), row in _VOWELS.items():
    for i, letter in enumerate(row):
      if letter != '-':
        table[letter] = _vector(_vowel(height, tense, i))
  table['ə'] = _vector(_vowel('mid', 0, 2))
  table['ɐ'] = _vector(_vowel('low', -1, 2))
  return table


def _vowel(height: str, tense: int, column: int) -> dict[str, int]:
  rounded = 1 if column % 2 else -1
  return {
    **{'syllabic': 1, 'sonorant': 1, 'continuant': 1, 'voice': 1, 'dorsal': 1},
    'high': 1 if height == 'high' else -1,
    'low': 1 if height == 'low' else -1,
    'front': 1 if column < 2 else -1,
    'back': 1 if column > 3 else -1,
    'round': rounded,
    'labial': rounded,
    'tense': tense,
  }


def segment(text: str) -> tuple[list[str], list[str]]:
  """Splits IPA into phones.

  Affricates are one phone, with or without a tie (`tʃ`, `t͡ʃ`), written without
  it; stress, tones and marks of syllables are dropped.

  Args:
    text: IPA; spaces may stand anywhere between phones.

  Returns:
    The phones, and the characters that are no IPA.
  """
  text = _plain(text)
  letters = _letters()
  phones: list[str] = []
  unknown = []
  fresh = False
  for c in text:
    if c in letters:
      if phones and not fresh and phones[-1] + c in AFFRICATES:
        phones[-1] += c
      else:
        phones.append(c)
      fresh = False
    elif c in MARKS:
      if phones and c not in phones[-1]:
        phones[-1] += c
    elif c.isspace():
      fresh = True
    elif c not in _DROPPED:
      unknown.append(c)
  return [_ordered(phone) for phone in phones], unknown


def _plain(text: str) -> str:
  """Marks behind their letters, and one spelling of each letter."""
  text = unicodedata.normalize('NFD', text)
  for old, new in _ALIASES.items():
    text = text.replace(old, new)
  return text


def _ordered(phone: str) -> str:
  """The marks in one order, so that a phone has one spelling."""
  base = ''.join(c for c in phone if c not in MARKS)
  return base + ''.join(c for c in MARKS if c in phone)


AFFRICATES = {'tʃ', 'dʒ', 'ts', 'dz', 'tɕ', 'dʑ', 'ʈʂ', 'ɖʐ', 'tɬ', 'pf', 'kx'}


@functools.cache
def features(phone: str) -> np.ndarray:
  """int8 `24` of a phone, in the order of `FEATURES`.

  Raises:
    ValueError: it is none.
  """
  phone = _ordered(_plain(phone))
  base = ''.join(c for c in phone if c not in MARKS)
  letters = _letters()
  if base in AFFRICATES and {*base} <= {*letters}:
    # Stopped as the first part, released as the second.
    found = letters[base[0]].copy()
    for name in ('delayed_release', 'strident', 'anterior', 'distributed'):
      found[FEATURES.index(name)] = letters[base[1]][FEATURES.index(name)]
  elif base in letters:
    found = letters[base].copy()
  else:
    raise ValueError(f"'{phone}' is no phone of the IPA")
  for mark in phone[len(base) :]:
    for name, value in MARKS[mark].items():
      found[FEATURES.index(name)] = value
  return found


def distance(first: str, second: str) -> float:
  """How far two phones are apart, 0 to 1: the mean difference of features.

  Places of the tongue within a part of it, tenseness and length count half.
  """
  apart = features(first).astype(int) - features(second)
  return float((np.abs(apart) * _WEIGHTS).sum() / 2 / _WEIGHTS.sum())


def nearest(phone: str, inventory: Sequence[str]) -> str:
  """The phone of an inventory that is most like another; the first of equals.

  Raises:
    ValueError: one of them is no phone.
  """
  return min(inventory, key=lambda other: distance(phone, other))


# What the languages here have (eSpeak's voices and grammars of them), and what
# their neighbours add: vowels with length and nasality, stops with breath.
_PLAIN = tuple('pbtdʈɖcɟkɡqʔmnɳɲŋrɾɽfvθðszʃʒʂʐxɣχʁħʕhɦlɭʎʋɹɻjwɓɗʄɠ')
_BREATHED = tuple(f'{c}ʰ' for c in 'pbtdʈɖcɟkɡɽmnlr')
_DENTAL = tuple(f'{c}\u032a' for c in 'td') + ('t\u032aʰ', 'd\u032aʰ')
_RELEASED = ('tʃ', 'dʒ', 'tʃʰ', 'dʒʰ', 'ts', 'dz')
_OPEN = tuple('iyɨuɪʊeøɘɤoɛœɜʌɔəæaɐɑɒ')
_NASAL = tuple(f'{v}\u0303' for v in 'iuɪʊeoɛʌɔəæaɑ')
_LONG = tuple(f'{v}ː' for v in 'iueoɛɔɜæaɑ')
_LONG_NASAL = tuple(f'{v}ː\u0303' for v in 'iueoɛɔaɑæ')
INVENTORY: tuple[str, ...] = tuple(
  map(
    _ordered,
    (
      *(*_PLAIN, *_BREATHED, *_DENTAL, *_RELEASED),
      *(*_OPEN, *_NASAL, *_LONG, *_LONG_NASAL),
    ),
  )
)


def common(text: str, inventory: Sequence[str] = INVENTORY) -> list[str]:
  """The phones of IPA text, each as the nearest one of an inventory.

  What is no IPA is left out; `segment` says what that is.
  """
  known = {*inventory}
  return [p if p in known else nearest(p, inventory) for p in segment(text)[0]]


def words(text: str) -> list[str]:
  """The parts of IPA text that are words: what `|` separates."""
  return [part for part in (p.strip() for p in text.split(WORD)) if part]


def rows(phones: Iterable[str]) -> np.ndarray:
  """int8 `n 24`: the features of some phones."""
  return np.stack([features(phone) for phone in phones])
