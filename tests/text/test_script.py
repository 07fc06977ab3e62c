"""Scripts of letters and words; what is counted where scripts are mixed."""

import unicodedata

import pytest

from recog_jax.text.script import (
  by_script,
  fidelity,
  mixed_units,
  script_name,
  script_of,
  scripts,
  word_tags,
)


@pytest.mark.parametrize(
  ('letters', 'script', 'word'),
  [
    ('اپےۂڄښݙۏ', 'Arab', 'ARABIC'),
    ('ਅੱੳ', 'Guru', 'GURMUKHI'),
    ('हिं', 'Deva', 'DEVANAGARI'),
    ('aéZß', 'Latn', 'LATIN'),
    ('жЯ', 'Cyrl', 'CYRILLIC'),
    ('漢', 'Hani', 'CJK'),
    ('กา', 'Thai', 'THAI'),
  ],
)
def test_scripts_are_those_of_unicodes_names(letters, script, word):
  for letter in letters:
    assert script_of(letter) == script
    assert unicodedata.name(letter).startswith(word)


def test_digits_signs_and_shared_marks_are_of_no_script():
  for c in '0٣۴। ،.%\u064e\u200c':
    assert script_of(c) == ''
  assert scripts('یہ a 12، ہے') == {'Arab': 4, 'Latn': 1}
  assert script_name('Guru') == 'Gurmukhi'


def test_fidelity_is_a_share_of_letters():
  assert fidelity('یہ office ہے', 'Arab') == (4, 10)
  assert fidelity('12 %', 'Arab') == (0, 0)


def test_words_are_in_the_language_of_their_script():
  languages = by_script([('ur', 'Arab'), ('en', 'Latn'), ('en', 'Latn')])
  assert languages == {'Arab': 'ur', 'Latn': 'en'}
  text = 'وہ office گیا 12 मैं'
  assert word_tags(text, languages) == ['ur', 'en', 'ur', '', 'Deva']
  # Two languages in one script cannot be told apart by it.
  assert by_script([('ur', 'Arab'), ('sd', 'Arab')]) == {}


@pytest.mark.parametrize(
  ('text', 'units'),
  [
    ('وہ office گیا', 'وہ office گیا'),
    ('我去 office 了', '我 去 office 了'),
    ('去office了', '去 office 了'),
    ('ก้า', 'ก้ า'),
    ('', ''),
  ],
)
def test_characters_count_where_no_spaces_are_written(text, units):
  assert mixed_units(text) == units
