"""Spellings of each language: pairs that are one, pairs that are two."""

import collections
import unicodedata
from pathlib import Path

import pytest

from recog_jax.text.languages import LANGUAGES, find
from recog_jax.text.normalize import normalize
from recog_jax.text.tokenizer import Characters

PAIRS = Path(__file__).parent / 'pairs'
ARABIC = [c for c, x in LANGUAGES.items() if x.script == 'Arab']


def pairs(name):
  """Rows of a file: (variant, canonical); of `apart` (language, text, text)."""
  lines = (PAIRS / f'{name}.tsv').read_text(encoding='utf-8').splitlines()
  return [tuple(line.split('\t')) for line in lines if line[:1] != '#']


def points(text):
  return ' '.join(f'{ord(c):04X}' for c in text)


@pytest.mark.parametrize('code', LANGUAGES)
def test_variants_become_canonical_and_stay(code):
  found = pairs(code)
  assert len({variant for variant, _ in found}) >= 200
  wrong = []
  for variant, canonical in found:
    got = normalize(variant, code)
    again = normalize(canonical, code)
    if got != canonical or again != canonical:
      wrong.append(f'{variant} ({points(variant)}) -> {got} ({points(got)})')
  assert not wrong, '\n'.join(wrong)


@pytest.mark.smoke
def test_what_differs_stays_apart():
  rows = pairs('apart')
  wrong = [r for r in rows if normalize(r[1], r[0]) == normalize(r[2], r[0])]
  assert not wrong
  for code in LANGUAGES:
    assert sum(row[0] == code for row in rows) >= 40, code


_POSITIONS = ('<isolated>', '<initial>', '<medial>', '<final>')


def presentation_forms():
  """Letter -> its presentation forms, from Unicode's own table."""
  forms = {}
  for point in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFF00)):
    kind, *letters = unicodedata.decomposition(chr(point)).split() or ['']
    if kind in _POSITIONS and len(letters) == 1:
      forms.setdefault(chr(int(letters[0], 16)), []).append(chr(point))
  return forms


FORMS = presentation_forms()


@pytest.mark.parametrize('code', ARABIC)
def test_presentation_forms_are_the_letters_that_they_show(code):
  letters = LANGUAGES[code].letters
  here = [c for c in letters if c in FORMS]
  assert len(here) > 25
  for letter in here:
    for form in FORMS[letter]:
      # Behind a consonant that takes any letter.
      assert normalize(f'ب{form}', code) == normalize(f'ب{letter}', code)


@pytest.mark.parametrize('code', LANGUAGES)
def test_other_normal_forms_and_directions_are_the_same_text(code):
  for _, canonical in pairs(code):
    for form in ('NFC', 'NFD', 'NFKC', 'NFKD'):
      other = unicodedata.normalize(form, canonical)
      assert normalize(other, code) == canonical
    marked = '\u202b' + '\u2069'.join(canonical) + '\u202c\u061c'
    assert normalize(marked, code) == canonical


@pytest.mark.parametrize('code', LANGUAGES)
def test_digits_of_three_scripts_are_one(code):
  sets = ('0123456789', '٠١٢٣٤٥٦٧٨٩', '۰۱۲۳۴۵۶۷۸۹', '०१२३४५६७८९', '੦੧੨੩੪੫੬੭੮੯')
  assert LANGUAGES[code].digits in sets
  for digits in sets:
    assert normalize(digits, code) == sets[0]
  mixed = ''.join(sets[i % 5][i] for i in range(10))
  assert normalize(mixed, code) == sets[0]


@pytest.mark.parametrize('code', LANGUAGES)
def test_the_alphabet_is_made_of_normal_letters(code):
  language = LANGUAGES[code]
  assert len(set(language.letters)) == len(language.letters)
  tokens = Characters(language=code).tokens
  assert tokens[1:] == (' ', *language.letters, *'0123456789')
  for letter in language.letters:
    name = unicodedata.name(letter)
    if unicodedata.category(letter)[0] == 'L' and letter != 'ھ':
      assert normalize(f'{letter}', code) == letter, name


def test_codes_scripts_and_regions_find_their_language():
  wanted = {
    'ur_pk': 'ur', 'ur-PK': 'ur', 'urd': 'ur', 'pa_in': 'pa', 'pa-Guru': 'pa',
    'pa-Arab': 'pnb', 'pa_pk': 'pnb', 'pan': 'pa', 'sd_in': 'sd', 'ps_af': 'ps',
    'pbu': 'ps', 'bgp': 'bal', 'prs': 'fa', 'en-US': 'en', 'skr': 'skr',
    'arb': 'ar', 'hi_in': 'hi',
  }  # fmt: skip
  assert {code: find(code).code for code in wanted} == wanted
  with pytest.raises(ValueError, match=r"'urr': did you mean ur.*known: ar, b"):
    find('urr')
  with pytest.raises(ValueError, match='did you mean ps'):
    find('pashtu')


@pytest.mark.parametrize(
  ('code', 'count'), [('ur', 1087), ('sd', 1342), ('ps', 155)]
)
def test_sentences_of_the_treebanks_come_back(files_dir, code, count):
  file = files_dir / 'text' / f'{code}.txt'
  tokenizer = Characters(language=code)
  sentences = file.read_text(encoding='utf-8').splitlines()
  assert len(sentences) == count
  unknown = collections.Counter()
  for sentence in sentences:
    text = normalize(sentence, code)
    assert normalize(text, code) == text
    missing = tokenizer.unknown(text)
    unknown.update(missing)
    known = ''.join(c for c in text if c not in missing)
    assert tokenizer.decode(tokenizer.encode(text)) == known
  print(f'outside the alphabet of {code}: {dict(unknown)}')
  # Latin letters and signs inside of numbers; no letter of the language.
  assert not [c for c in unknown if not c.isascii()]
