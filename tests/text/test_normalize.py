"""Spellings of one utterance become one; what is read aloud stays."""

import unicodedata

import pytest

from recog_jax.text.languages import LANGUAGES
from recog_jax.text.normalize import normalize

ENGLISH = [
  ('“Don’t stop!” he said — now…', "don't stop he said now"),
  ('Twenty-one,two', 'twenty one two'),
  ('  a\tb\n c ', 'a b c'),
  ("'Tis the dogs' bone '", "'tis the dogs' bone"),
  ('can`t won´t ‘quoted’', "can't won't quoted'"),
  ('3.5% of $10,000 at 10:30.', '3.5% of $10,000 at 10:30'),
  (
    'ﬁne ＡＢＣ soft\u00adhyphen zero\u200bwidth',
    'fine abc softhyphen zerowidth',
  ),
  ('cafe\u0301', 'caf\u00e9'),
  ('[noise] _x_ (y)', 'noise x y'),
  ('', ''),
  ('…', ''),
]


@pytest.mark.smoke
@pytest.mark.parametrize(('text', 'expected'), ENGLISH)
def test_english(text, expected):
  assert normalize(text, 'en') == normalize(text, 'en-US') == expected
  assert normalize(text, 'en', case='upper') == expected.upper()


@pytest.mark.parametrize(
  ('lang', 'text', 'expected'),
  [
    # Arabic yeh, kaf, heh; short vowels; tatweel; a non-joiner; punctuation.
    ('ur_pk', 'كيا، رَحْم مـحمد یہ\u200cاں ه۔', 'کیا رحم محمد یہاں ہ'),
    ('ur', 'ﻛﯿﺎ', 'کیا'),  # presentation forms
    ('ur', 'آ \u0627\u0653', 'آ آ'),
    ('ur', 'ئ \u064a\u0654', 'ئ ئ'),
    ('sd', 'ڪتاب، ک ه ھ ي؟', 'ڪتاب ک ه ھ ي'),
    ('pa', 'ਸ਼ਬਦ।  ਪੰਜਾਬੀ', 'ਸ\u0a3cਬਦ ਪੰਜਾਬੀ'),
  ],
)
def test_languages_of_pakistan_and_india(lang, text, expected):
  assert normalize(text, lang) == expected


@pytest.mark.parametrize('lang', sorted(LANGUAGES))
def test_it_is_nfc_and_doing_it_twice_changes_nothing(lang):
  samples = [text for text, _ in ENGLISH] + ['İstanbul', "a''b", 'جزي\u0654']
  for text in samples:
    once = normalize(text, lang)
    assert normalize(once, lang) == once
    assert unicodedata.is_normalized('NFC', once)


def test_none_leaves_text_alone():
  assert normalize(' H#  Ix \n', 'none') == ' H#  Ix \n'


def test_the_case_may_be_kept():
  assert normalize('Mr. X', 'en', case='keep') == 'Mr X'


def test_what_is_unknown_is_told_with_what_is_known():
  with pytest.raises(ValueError, match="'tlh'.*known: ar, bal, en"):
    normalize('a', 'tlh')
  with pytest.raises(ValueError, match="keep, lower, upper, not 'title'"):
    normalize('a', 'en', case='title')
