"""Tokenizers go from text to ids and back, and never give out the blank."""

import io
import pickle
import random
import sys

import pytest

from recog_jax.text import tokenizer
from recog_jax.text.sentencepiece_training import train_sentencepiece
from recog_jax.text.tokenizer import (
  BLANK,
  BLANK_ID,
  Characters,
  Phones,
  SentencePiece,
  make_tokenizer,
)

WORDS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven']
WORDS += ['eight', 'nine', 'hundred']


@pytest.fixture(scope='module')
def texts():
  rng = random.Random(0)
  return [' '.join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(200)]


@pytest.fixture(scope='module', params=['unigram', 'bpe'])
def pieces(request, texts, tmp_path_factory):
  pytest.importorskip('sentencepiece')
  path = tmp_path_factory.mktemp('model') / 'new' / f'{request.param}.model'
  trained = train_sentencepiece(texts, path, 30, request.param)
  read = make_tokenizer({'name': 'sentencepiece', 'model': str(path)})
  assert read == trained
  assert not list(path.parent.glob('*.new'))
  return read


def _everywhere(made, text):
  """What holds for every tokenizer and a text within its vocabulary."""
  ids = made.encode(text)
  assert BLANK_ID == 0 and made.tokens[0] == BLANK
  assert made.vocab_size == len(made.tokens)
  assert ids and all(type(i) is int and 0 < i < made.vocab_size for i in ids)
  assert made.decode(ids) == text
  assert made.decode([0, *ids, 0, 0]) == text
  assert made.decode([]) == '' and made.encode('') == []
  assert made.unknown(text) == []
  copy = pickle.loads(pickle.dumps(made))
  assert copy == made and hash(copy) == hash(made)
  assert copy.encode(text) == ids
  assert copy.fingerprint() == made.fingerprint()
  with pytest.raises(ValueError, match='not one of'):
    made.decode([made.vocab_size])
  with pytest.raises(ValueError, match='not one of'):
    made.decode([-1])


@pytest.mark.smoke
def test_characters_round_trip_with_the_alphabets_order():
  made = Characters("ab '")
  _everywhere(made, "a b'a")
  assert made.tokens == (BLANK, 'a', 'b', ' ', "'")
  assert made.encode("ba '") == [2, 1, 3, 4]


def test_characters_are_those_after_nfc():
  composed, apart = 'caf\u00e9', 'cafe\u0301'
  made = Characters('caf\u00e9')
  assert made == Characters('cafe\u0301')
  assert made.encode(apart) == made.encode(composed) == [1, 2, 3, 4]
  assert made.unknown(apart) == []
  # NFC takes this letter of Punjabi apart, into one that is listed too.
  made = Characters('ਸ\u0a36')
  assert made.tokens == (BLANK, 'ਸ', '\u0a3c')
  assert made.encode('\u0a36') == [1, 2]


@pytest.mark.parametrize('make', [Characters, Phones])
def test_unknown_units_are_listed_and_dropped_or_unk(make):
  space, units = ('', 'ab') if make is Characters else (' ', ['a', 'b'])
  dropped, kept = make(units), make(units, unknown='unk')
  text = space.join('axbyx')
  assert dropped.unknown(text) == kept.unknown(text) == ['x', 'y', 'x']
  assert dropped.encode(text) == [1, 2]
  assert kept.encode(text) == [2, 1, 3, 1, 1]
  assert kept.decode(kept.encode(text)) == space.join('a⁇b⁇⁇')
  assert dropped.fingerprint() != kept.fingerprint()
  _everywhere(kept, space.join('abba'))


def test_phones_take_a_list_or_a_known_inventory():
  _everywhere(Phones(['ah', 'b', 'ax-h']), 'b ah ax-h b')
  made = Phones('timit39')
  assert made.vocab_size == 40
  _everywhere(made, 'sil hh ah l ow sil')
  assert made.unknown('sil  ix\nh# l') == ['ix', 'h#']


def test_sentencepiece_round_trip(pieces, texts):
  for text in texts[:20]:
    _everywhere(pieces, text)
  assert pieces.vocab_size == 30
  assert pieces.encode(' one  two ') == pieces.encode('one two')
  assert len(pieces.encode(texts[0])) < len(texts[0])


def test_sentencepiece_unknown_characters(pieces):
  text = 'one twüo Я'
  assert pieces.unknown(text) == ['ü', 'Я']
  assert pieces.encode('one tw\u00fco') == pieces.encode('one two')
  assert pieces.decode(pieces.encode(text)) == 'one two'
  kept = SentencePiece(pieces.model, unknown='unk')
  assert kept.tokens[1] == '<unk>' and kept.encode(text).count(1) == 2
  assert '⁇' in kept.decode(kept.encode(text))
  assert kept.fingerprint() != pieces.fingerprint()
  assert pickle.loads(pickle.dumps(kept)) == kept != pieces


def test_sentencepiece_training_errors_are_told(texts, tmp_path):
  pytest.importorskip('sentencepiece')
  path = tmp_path / 'a.model'
  for size, message in ((5, 'too few'), (5000, 'lower vocab_size')):
    with pytest.raises(ValueError, match=message):
      train_sentencepiece(texts, path, size)
  with pytest.raises(ValueError, match='no text'):
    train_sentencepiece(['', ' '], path, 30)
  with pytest.raises(ValueError, match="not 'word'"):
    train_sentencepiece(texts, path, 30, 'word')
  assert not list(tmp_path.iterdir())
  for content in (b'', b'text'):
    path.write_bytes(content)
    with pytest.raises(ValueError, match='not a SentencePiece model'):
      make_tokenizer({'name': 'sentencepiece', 'model': 'a.model'}, tmp_path)


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_sentencepiece_learns_of_lines_of_any_length(
  texts, tmp_path, kind, capfd
):
  pytest.importorskip('sentencepiece')
  # It would leave out lines above 4,192 bytes, and those with its own sign.
  long = [' '.join(['ایک', 'جملہ'] * 300), 'fuzzy ▅ zebra']
  assert len(long[0].encode()) > 4192 > len(long[0])
  made = train_sentencepiece([*texts, *long], tmp_path / 'a.model', 40, kind)
  for text in ('ایک جملہ', 'fuzzy zebra'):
    assert made.unknown(text) == [] and made.decode(made.encode(text)) == text
  assert made.unknown('▅') == ['▅']
  assert capfd.readouterr().err == ''


def test_sentencepiece_of_usual_lines_is_as_it_always_was(texts, tmp_path):
  pytest.importorskip('sentencepiece')
  import sentencepiece

  other = io.BytesIO()
  made = train_sentencepiece(texts, tmp_path / 'a.model', 30)
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(texts),
    model_writer=other,
    vocab_size=29,
    model_type='unigram',
    character_coverage=1.0,
    normalization_rule_name='identity',
    unk_id=0,
    bos_id=-1,
    eos_id=-1,
    pad_id=-1,
    unk_surface='⁇',
    minloglevel=2,
  )
  assert other.getvalue() == made.model


def test_without_sentencepiece_the_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sentencepiece', None)
  with pytest.raises(ValueError, match='pip install sentencepiece'):
    SentencePiece(b'model')


def test_configs_name_a_tokenizer():
  made = make_tokenizer({'name': 'characters', 'alphabet': 'ab'})
  assert made == Characters('ab')
  keys = {'name': 'phones', 'inventory': 'timit48', 'unknown': 'unk'}
  assert make_tokenizer(keys).vocab_size == 50


@pytest.mark.parametrize(
  ('keys', 'message'),
  [
    (
      {'name': 'words'},
      "'words': known: aggregate, characters, keywords, lexicon",
    ),
    ({}, "tokenizer 'None'"),
    ({'name': 'characters'}, "lacks the key 'alphabet'"),
    ({'name': 'characters', 'alphabet': ''}, 'empty'),
    ({'name': 'characters', 'alphabet': 'a', 'size': 3}, "no key 'size'"),
    ({'name': 'characters', 'alphabet': 'a', 'unknown': 'x'}, "not 'x'"),
    ({'name': 'phones', 'inventory': 'timit40'}, 'timit61, timit48'),
    ({'name': 'characters', 'alphabet': ['a']}, 'one text'),
    ({'name': 'phones', 'inventory': ['a b']}, "not 'a b'"),
    ({'name': 'phones', 'inventory': ['<unk>', 'a']}, 'are added'),
    ({'name': 'sentencepiece', 'model': 'no.model'}, 'cannot read'),
  ],
)
def test_wrong_configs_are_told_in_a_sentence(keys, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    make_tokenizer(keys, tmp_path)


def test_fingerprints_tell_vocabularies_apart():
  made = [
    Characters('ab'),
    Characters('ba'),
    Phones(['a', 'b']),
    Phones(['ab']),
  ]
  assert len({m.fingerprint() for m in made}) == len(made)
  assert len(tokenizer.INVENTORIES) == 3
