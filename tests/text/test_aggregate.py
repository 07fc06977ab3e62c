"""A tokenizer for each language: ranges of ids, and texts of several."""

import pickle

import pytest

from recog_jax.text.aggregate import Aggregate, encoders
from recog_jax.text.ids import BLANK
from recog_jax.text.sentencepiece_training import train_sentencepiece
from recog_jax.text.tokenizer import OF_FILES, make_tokenizer

LETTERS = {'name': 'characters', 'alphabet': ' abc'}
OTHERS = {'name': 'characters', 'alphabet': ' bcd', 'unknown': 'unk'}
KEYS = {
  'name': 'aggregate',
  'languages': ('en', 'ur_pk'),
  'parts': (LETTERS, OTHERS),
}


def test_each_language_has_its_own_ids():
  made = make_tokenizer(KEYS)
  assert made.pieces == (BLANK, *' abc', '<unk>', *' bcd')
  assert made.tokens == (BLANK, *' abc', '<unk>', 'ur: ', 'ur:b', 'ur:c', 'd')
  assert made.vocab_size == 10
  assert made.of_language('en').encode('b cd') == [3, 1, 4]
  assert made.of_language('ur').encode('b cd') == [7, 6, 8, 9]
  assert made.of_language('ur-PK').encode('a') == [5]
  assert made.of_language('en').unknown('ad') == ['d']
  assert made.decode([3, 1, 0, 7, 8, 6, 9, 2]) == 'b bc da'
  with pytest.raises(ValueError, match='id 10 is not one of 10 tokens'):
    made.decode([10])
  # Without a language: that of which least is unknown, the first of equals.
  assert made.encode('ab') == [2, 3] and made.encode('bd') == [7, 9]
  assert made.encode('bc') == [3, 4] and made.unknown('dx') == ['x']


def test_names_are_those_of_one_language_that_comes_first():
  plain = make_tokenizer(LETTERS)
  made = make_tokenizer(KEYS)
  assert made.tokens[: plain.vocab_size] == plain.tokens
  swapped = {**KEYS, 'languages': ('ur', 'en')}
  assert make_tokenizer(swapped).fingerprint() != made.fingerprint()
  assert make_tokenizer(KEYS) == made == pickle.loads(pickle.dumps(made))


def test_texts_are_encoded_by_their_language():
  made = make_tokenizer(KEYS)
  each = encoders(made, {'lang': ['ur', 'en', 'ur']}, 3)
  assert [one.encode('b') for one in each] == [[7], [3], [7]]
  assert (
    encoders(make_tokenizer(LETTERS), {}, 2) == [make_tokenizer(LETTERS)] * 2
  )
  with pytest.raises(ValueError, match='from the field `lang`'):
    encoders(made, {}, 1)
  with pytest.raises(ValueError, match="for the language 'sd'.*has en, ur"):
    encoders(made, {'lang': ['sd']}, 1)


@pytest.fixture(scope='module')
def pieces(tmp_path_factory):
  pytest.importorskip('sentencepiece')
  folder = tmp_path_factory.mktemp('pieces')
  texts = ['one two three', 'two three one', 'three one two'] * 4
  train_sentencepiece(texts, folder / 'en.model', 12)
  train_sentencepiece([t[::-1] for t in texts], folder / 'ur.model', 13)
  parts = [
    {'name': 'sentencepiece', 'model': f'{c}.model'} for c in ('en', 'ur')
  ]
  return {**KEYS, 'parts': parts}, folder


def test_pieces_of_several_languages_are_words_of_one_text(pieces):
  keys, folder = pieces
  made = make_tokenizer(keys, folder)
  assert made.vocab_size == 12 + 13 - 1
  ids = [
    *made.of_language('en').encode('one two'),
    *made.of_language('ur').encode('owt eno'),
    *made.of_language('en').encode('three'),
  ]
  assert made.decode(ids) == 'one two owt eno three'
  # What a workdir keeps of it, where the files are gone.
  assert isinstance(made, OF_FILES)
  assert make_tokenizer(keys, 'gone', made.model) == made
  mixed = make_tokenizer({**keys, 'parts': (LETTERS, keys['parts'][1])}, folder)
  text = [*mixed.of_language('en').encode('ab'), *mixed.encode('owt eno')]
  assert mixed.decode(text) == 'ab owt eno'
  again = {**keys, 'parts': (LETTERS, keys['parts'][1])}
  assert make_tokenizer(again, model=mixed.model) == mixed


@pytest.mark.parametrize(
  ('keys', 'sentence'),
  [
    ({'languages': ('en',)}, 'one of `parts` for each of `languages`'),
    ({'languages': 'en', 'parts': (LETTERS,) * 2}, 'for each of `languages`'),
    ({'parts': ()}, 'one of `parts` for each'),
    ({'languages': ('ur', 'ur_pk')}, 'a language comes twice: ur, ur'),
    ({'parts': (LETTERS, {'name': 'phones'})}, "sentencepiece, not 'phones'"),
    ({'parts': (LETTERS, {'name': 'characters'})}, "lacks the key 'alphabet'"),
    ({'languages': None}, "lacks the key 'languages'"),
  ],
)
def test_what_is_no_aggregate_is_told(keys, sentence):
  with pytest.raises(ValueError, match=sentence):
    make_tokenizer({**KEYS, **keys})
  assert isinstance(make_tokenizer(KEYS), Aggregate)
