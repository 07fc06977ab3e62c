"""Letters of a file that lies beside weights."""

import json
import pickle

import pytest

from recog_jax.text.tokenizer import make_tokenizer

LETTERS = ['<pad>', '<s>', '</s>', '<unk>', '|', 'E', 'T', "'"]
NUMBERS = {symbol: i for i, symbol in enumerate(LETTERS)}


def made(content, **keys):
  keys = {'name': 'wav2vec2', 'model': 'x', **keys}
  return make_tokenizer(keys, model=json.dumps(content).encode())


def test_numbers_are_those_of_the_file(tmp_path):
  tokenizer = made(NUMBERS)
  assert tokenizer.vocab_size == 8 and tokenizer.tokens[0] == '<blank>'
  assert tokenizer.encode("TE ET'") == [6, 5, 4, 5, 6, 7]
  assert tokenizer.decode([1, 6, 0, 5, 4, 2, 5, 4]) == 'TE E'
  assert tokenizer.unknown('TxE') == ['x'] and tokenizer.encode('x') == []
  again = pickle.loads(pickle.dumps(tokenizer))
  assert again.fingerprint() == tokenizer.fingerprint()
  (tmp_path / 'vocab.json').write_text(json.dumps(NUMBERS))
  keys = {'name': 'wav2vec2', 'model': tmp_path.name}
  found = make_tokenizer(keys, data_dir=tmp_path.parent)
  assert found.fingerprint() == tokenizer.fingerprint()


def test_a_language_of_many():
  both = {'eng': NUMBERS, 'urd': {'<pad>': 0, 'ب': 1, '|': 2}}
  assert made(both, language='urd').encode('ب ب') == [1, 2, 1]
  with pytest.raises(ValueError, match="none for language='None'.*eng, urd"):
    made(both)


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ([1], 'not a vocab.json'),
    ({}, 'not a vocab.json'),
    ({'|': 0, '<pad>': 1}, 'another order'),
    ({'<pad>': 0, 'a': 2}, 'without gaps'),
  ],
)
def test_other_files_are_told(content, said):
  with pytest.raises(ValueError, match=said):
    made(content)


def test_a_language_stands_for_no_file():
  with pytest.raises(ValueError, match="wav2vec2 lacks the key 'model'"):
    make_tokenizer({'name': 'wav2vec2', 'language': 'urd'})
