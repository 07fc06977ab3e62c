"""Words of Pashto and Balochi, which eSpeak cannot say, as phones by tables.

Letters of Pashto and their sounds are those of Tegey and Robson, "A reference
grammar of Pashto", Center for Applied Linguistics, 1996, in the southern (soft)
pronunciation: ښ and ږ are retroflex. Those of Balochi are the tables "Alphabets
and phonology" of the Balochi dictionary of webonary.org, its ۆ and ێ also in
the Balochi Academy's spelling ۏ, and the fricatives that eastern speakers have.

Neither language writes its short vowels, and و and ی are consonants, long
vowels or diphthongs. So what is given is a guess: a word has a second
pronunciation where a letter has two vowels, and one short vowel stands where
else more consonants would come together than a syllable can have.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from recog_jax.text import phones as phones_lib

_NASAL = '\u0303'
# What a syllable can begin with behind another consonant, and what may stand
# before a consonant at its end.
_SECOND = {*'rwj'}
_BEFORE_LAST = {*'rɽlmnɳwjsʃʂxf'}
_SONORANT = {*'rɽlmnɳwj'}


@dataclasses.dataclass(frozen=True, eq=False)
class Sounds:
  """How the letters of a language sound.

  Phones are of `phones.INVENTORY`, several with spaces between.

  Attributes:
    consonants: letter -> phone; '' is silent.
    vowels: letters -> phones, of several possible ones by the first two.
    both: letter -> (consonant, vowel, other vowel), by what is beside it.
    initial: letters at the begin of a word, instead.
    final: letters at its end, instead; first the likelier pronunciation.
    nasal: the letter that makes the vowel before it nasal.
    inserted: the short vowel that is not written.
  """

  consonants: Mapping[str, str]
  vowels: Mapping[str, tuple[str, ...]]
  both: Mapping[str, tuple[str, str, str]]
  initial: Mapping[str, tuple[str, ...]]
  final: Mapping[str, tuple[str, ...]]
  nasal: str
  inserted: str

  def __call__(self, word: str) -> list[tuple[str, ...]]:
    """The pronunciations of a normalised word, the likelier one first.

    Letters that the table lacks are left out; a word without any other has no
    pronunciation.
    """
    found = (self._said(word, choice) for choice in (0, 1))
    return [said for said in dict.fromkeys(found) if said]

  def _said(self, word: str, choice: int) -> tuple[str, ...]:
    said: list[str] = []
    at = 0
    while at < len(word):
      for size in (3, 2, 1):
        part = word[at : at + size]
        found = self._part(word, at, part, said, choice)
        if found is not None:
          said = found
          break
      at += len(part)
    return tuple(self._with_vowels(said))

  def _part(
    self, word: str, at: int, part: str, said: list[str], choice: int
  ) -> list[str] | None:
    """What was said and a part of the word; None: nothing is known of it."""
    end = at + len(part)
    after_vowel = bool(said) and is_vowel(said[-1])
    if part == self.nasal:
      return _nasal(said) if after_vowel else [*said, 'n']
    tables = (
      *((self.initial,) if at == 0 and end < len(word) else ()),
      # A diphthong has its vowel already.
      *((self.final,) if end == len(word) and not after_vowel else ()),
      self.vowels,
    )
    for table in tables:
      if options := table.get(part):
        return said + options[min(choice, len(options) - 1)].split()
    if part in self.both:
      consonant, *vowels = self.both[part]
      following = word[end : end + 1]
      glide = at == 0 or after_vowel or following in self.vowels
      if following and end + 1 == len(word) and following not in self.both:
        glide = glide or following in self.final
      return [*said, consonant if glide else vowels[choice]]
    if part in self.consonants:
      return said + self.consonants[part].split()
    return None

  def _with_vowels(self, said: Sequence[str]) -> list[str]:
    """Phones with a short vowel wherever consonants would be too many."""
    found: list[str] = []
    run: list[str] = []
    begun = False
    for phone in said:
      if is_vowel(phone):
        found += [*self._run(run, first=not begun, last=False), phone]
        run, begun = [], True
      else:
        run.append(phone)
    return found + self._run(run, first=not begun, last=True)

  def _run(self, run: list[str], *, first: bool, last: bool) -> list[str]:
    """Consonants in a row, and the vowels that are not written in it."""
    if first and last:  # A word without a vowel.
      rest = self._run(run[1:], first=False, last=True)
      return [*run[:1], self.inserted, *rest] if run else []
    if len(run) < 2 or (len(run) == 2 and self._together(run, first, last)):
      return run
    stay = 1 if first or (last and len(run) == 2) else 2
    rest = self._run(run[stay:], first=False, last=last)
    return [*run[:stay], self.inserted, *rest]

  @staticmethod
  def _together(run: Sequence[str], first: bool, last: bool) -> bool:
    before, after = run
    if first:
      return after in _SECOND and before not in _SONORANT
    return not last or (before in _BEFORE_LAST and after not in _SONORANT)


def is_vowel(phone: str) -> bool:
  return bool(phones_lib.features(phone)[0] == 1)


def _nasal(said: list[str]) -> list[str]:
  (vowel,), _ = phones_lib.segment(said[-1] + _NASAL)
  if vowel not in phones_lib.INVENTORY:
    return [*said, 'n']
  return [*said[:-1], vowel]


# What both took from Arabic, and what they share.
_LETTERS = {
  **{'ب': 'b', 'پ': 'p', 'ت': 't', 'ج': 'dʒ', 'چ': 'tʃ', 'د': 'd', 'ر': 'r'},
  **{'ز': 'z', 'ژ': 'ʒ', 'س': 's', 'ش': 'ʃ', 'ف': 'f', 'ک': 'k', 'ل': 'l'},
  **{'م': 'm', 'ن': 'n', 'خ': 'x', 'غ': 'ɣ'},
  **{'ث': 's', 'ص': 's', 'ذ': 'z', 'ض': 'z', 'ظ': 'z', 'ط': 't', 'ح': 'h'},
  **{'ع': '', 'ء': ''},
}

PASHTO = Sounds(
  consonants={
    **_LETTERS,
    **{'ټ': 'ʈ', 'ځ': 'dz', 'څ': 'ts', 'ډ': 'ɖ', 'ړ': 'ɽ', 'ږ': 'ʐ', 'ښ': 'ʂ'},
    **{'ق': 'q', 'ګ': 'ɡ', 'ڼ': 'ɳ', 'ه': 'h'},
  },
  vowels={
    **{'ا': ('ɑ',), 'آ': ('ɑ',), 'ې': ('e',), 'ي': ('i',), 'ۀ': ('ə',)},
    **{'ۍ': ('ə j',), 'ئ': ('ə j',), 'ے': ('a j', 'e')},
  },
  both={'و': ('w', 'o', 'u'), 'ی': ('j', 'i', 'e'), 'ؤ': ('w', 'o', 'u')},
  initial={
    **{'ا': ('a', 'ə'), 'ع': ('a', 'ə'), 'او': ('a w', 'u')},
    **{'ای': ('i', 'a j'), 'اې': ('e',), 'اي': ('i',)},
  },
  final={'ه': ('a', 'ə'), 'ی': ('a j',)},
  nasal='ں',
  inserted='a',
)

BALOCHI = Sounds(
  consonants={
    **_LETTERS,
    **{'ٹ': 'ʈ', 'ڈ': 'ɖ', 'ڑ': 'ɽ', 'گ': 'ɡ', 'ق': 'k', 'ہ': 'h', 'ھ': 'h'},
    'ئ': '',
  },
  vowels={
    **{'ا': ('aː',), 'آ': ('aː',), 'ۆ': ('oː',), 'ۏ': ('oː',), 'ێ': ('eː',)},
    **{'ے': ('eː',), 'ئے': ('eː',), 'ئو': ('a w',)},
    # Case endings, and the word for "and".
    **{'ءَ': ('a',), 'ءِ': ('i', 'eː'), 'ءُ': ('u', 'oː')},
  },
  both={'و': ('w', 'uː', 'oː'), 'ی': ('j', 'iː', 'eː'), 'ؤ': ('w', 'uː', 'oː')},
  initial={
    **{'ا': ('a', 'i'), 'ع': ('a', 'i'), 'او': ('uː', 'oː'), 'ای': ('iː',)},
    **{'اۆ': ('oː',), 'اۏ': ('oː',), 'اێ': ('eː',), 'اے': ('eː',)},
  },
  final={'ہ': ('a',)},
  nasal='ں',
  inserted='a',
)

# By the code of the language.
SOUNDS = {'ps': PASHTO, 'bal': BALOCHI}
