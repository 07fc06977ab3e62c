"""A symbol of the language in front of a text, and none in the text."""

import pickle

import pytest

from recog_jax.text.tokenizer import BLANK, make_tokenizer

KEYS = {
  'name': 'characters',
  'alphabet': ' ab',
  'language_tokens': ('ur', 'en'),
}


@pytest.mark.smoke
def test_symbols_stand_behind_those_of_the_text():
  made, plain = make_tokenizer(KEYS), make_tokenizer({**KEYS, **_NONE})
  assert made.tokens == (BLANK, ' ', 'a', 'b', '<|ur|>', '<|en|>')
  assert made.pieces == (BLANK, ' ', 'a', 'b', '', '')
  assert made.vocab_size == 6
  assert made.encode('ab') == plain.encode('ab') == [2, 3]
  assert made.prefix('en') == 5 and made.prefix('ur_pk') == 4
  # Wherever they come in what is recognised, they are no letters.
  assert made.decode([5, 2, 3, 0, 4, 2]) == 'aba'
  assert made.language([0, 2, 4, 5]) == 'ur' and made.language([2]) is None
  assert made.unknown('axb') == ['x']
  assert pickle.loads(pickle.dumps(made)) == made
  with pytest.raises(ValueError, match='not one of 6'):
    made.decode([6])


_NONE = {'language_tokens': False}


def test_the_order_of_languages_is_part_of_what_ids_mean():
  made = make_tokenizer(KEYS)
  other = make_tokenizer({**KEYS, 'language_tokens': ('en', 'ur')})
  plain = make_tokenizer({**KEYS, **_NONE})
  prints = {made.fingerprint(), other.fingerprint(), plain.fingerprint()}
  assert len(prints) == 3


def test_languages_may_be_those_of_the_letters():
  keys = {'name': 'characters', 'language': ('ur', 'pa-IN')}
  made = make_tokenizer({**keys, 'language_tokens': True})
  assert made.languages == ('ur', 'pa')


def test_phones_and_pieces_of_any_tokenizer_have_them():
  keys = {'name': 'phones', 'inventory': ['a', 'b'], 'language_tokens': ['sd']}
  made = make_tokenizer(keys)
  assert made.decode([made.prefix('sd'), *made.encode('b a')]) == 'b a'


@pytest.mark.parametrize(
  ('keys', 'told'),
  [
    ({'language_tokens': True}, 'name the languages'),
    ({'language_tokens': ('en', 'eng')}, 'comes twice'),
    (
      {'name': 'keywords', 'words': ('a',), 'alphabet': None},
      'keywords cannot have',
    ),
  ],
)
def test_what_makes_no_sense_is_told(keys, told):
  keys = {k: v for k, v in {**KEYS, **keys}.items() if v is not None}
  with pytest.raises(ValueError, match=told):
    make_tokenizer(keys)


def test_a_language_without_a_symbol_is_told():
  with pytest.raises(ValueError, match="language 'sd'.*ur, en"):
    make_tokenizer(KEYS).prefix('sd')
