"""Texts as phones by a lexicon, and back."""

import pickle

import pytest

from recog_jax.text import lexicon
from recog_jax.text.tokenizer import make_tokenizer

WORDS = 'گھر\tɡʰ ʌ r\nدو\td o\n# a comment\n\nدو\td oː\nto\td o\n'


def made(content=WORDS):
  return make_tokenizer(
    {'name': 'lexicon', 'model': ''}, model=content.encode()
  )


def test_words_become_phones_and_words_again():
  tokenizer = made()
  ids = tokenizer.encode('گھر دو گھر')
  phones = [tokenizer.tokens[i] for i in ids]
  assert ' '.join(phones) == 'ɡʰ ʌ r | d o | ɡʰ ʌ r'
  assert tokenizer.decode(ids) == 'گھر دو گھر'
  assert tokenizer.unknown('دو ہے') == ['ہے']
  assert tokenizer.encode('ہے') == []


def test_pronunciations_and_words_that_sound_alike():
  tokenizer = made()
  by_phone = {p: i for i, p in enumerate(tokenizer.tokens)}
  long = [by_phone['d'], by_phone['oː']]
  assert tokenizer.decode(long) == 'دو'
  assert tokenizer.decode(tokenizer.encode('to')) == 'دو'  # The first one.
  assert tokenizer.decode([*long, by_phone['|'], by_phone['s']]) == 'دو s'
  assert len(tokenizer.lexicon) == 4


def test_ids_mean_the_same_with_any_lexicon():
  one, other = made(), made('a\ta\n')
  assert one.tokens == other.tokens
  assert one.fingerprint() == other.fingerprint()
  assert pickle.loads(pickle.dumps(one)).encode('دو') == one.encode('دو')


@pytest.mark.parametrize(
  ('content', 'told'),
  [
    ('word', 'line 1 of the lexicon'),
    ('a\ta\ntwo words\ta', 'line 2 of the lexicon'),
    ('', 'no words'),
    ('a\tQ a', 'not in the inventory: Q'),
  ],
)
def test_bad_lexicons_are_told(content, told):
  with pytest.raises(ValueError, match=told):
    made(content)


def test_what_is_written_is_read():
  entries = [('a', ('a', 'b')), ('b', ('b',))]
  assert lexicon.parse(lexicon.write(entries)) == entries
  with pytest.raises(ValueError, match='UTF-8'):
    lexicon.parse(b'\xff\xfe')
