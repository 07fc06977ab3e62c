"""Whisper's tokenizer from its file, and English as it is read aloud."""

import json
import pickle

import pytest

from recog_jax.data.speech import reader
from recog_jax.text.english import cardinal, ordinal, read_aloud
from recog_jax.text.tokenizer import make_tokenizer

SPECIAL = ('<|endoftext|>', '<|startoftranscript|>', '<|en|>')
SPECIAL += ('<|notimestamps|>',)
TEXT = ' hello world! don\'t stop the café " now now now'


@pytest.fixture(scope='module')
def file(tmp_path_factory):
  """A `tokenizer.json` of the same form, trained on a line."""
  pytest.importorskip('tokenizers')
  from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

  made = Tokenizer(models.BPE())
  made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=290,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  made.train_from_iterator([TEXT] * 3, trainer)
  made.add_special_tokens(list(SPECIAL))
  path = tmp_path_factory.mktemp('whisper') / 'tokenizer.json'
  made.save(str(path))
  return path


def make(path):
  return make_tokenizer({'name': 'whisper', 'model': str(path)})


def test_text_comes_back(file):
  made = make(file)
  for text in ('hello world!', "don't stop", 'the café', '! ! !', 'ہے 丸'):
    ids = made.encode(text)
    assert made.decode(ids) == text
    assert 0 not in ids
    assert max(ids) < made.vocab_size
  assert made.encode('  ') == []
  assert made.decode([]) == ''
  assert made.unknown('ہے') == []


def test_the_end_has_number_0_and_changes_places(file):
  made = make(file)
  plain = json.loads(file.read_text())
  ids = {t['content']: t['id'] for t in plain['added_tokens']}
  end = ids['<|endoftext|>']
  first = next(k for k, v in plain['model']['vocab'].items() if v == 0)
  assert made.tokens[0] == '<blank>'
  assert made.tokens[end] == first
  assert made.decode([end]) == first
  # Time stamps follow, whether the file has them or not.
  assert made.vocab_size == ids['<|notimestamps|>'] + 1 + 1501
  assert made.tokens[-1] == '<|30.00|>'
  assert len(made.tokens) == made.vocab_size
  assert '\u2581hello' in made.tokens


def test_special_symbols_are_no_text(file):
  made = make(file)
  ids = [made.tokens.index(name) for name in SPECIAL[1:]]
  assert made.decode([*ids, *made.encode('now'), made.vocab_size - 1]) == 'now'
  assert made.decode(made.encode('<|en|>')) != '<|en|>'


def test_it_travels(file):
  made = make(file)
  again = pickle.loads(pickle.dumps(made))
  assert again.encode(TEXT) == made.encode(TEXT)
  assert again.fingerprint() == made.fingerprint()
  folder = make(file.parent)
  assert folder.fingerprint() == made.fingerprint()
  # A workdir keeps the file, and needs no other.
  kept = make_tokenizer({'name': 'whisper', 'model': 'gone'}, model=made.model)
  assert isinstance(made, reader.OF_FILES)
  assert kept.encode(TEXT) == made.encode(TEXT)


def test_other_files_are_told(file, tmp_path):
  with pytest.raises(ValueError, match='others come with their weights'):
    make(tmp_path / 'none.json')
  path = tmp_path / 'tokenizer.json'
  path.write_text('{"version": 3}')
  with pytest.raises(ValueError, match='beside the weights of Whisper'):
    make(path)
  other = json.loads(file.read_text())
  other['added_tokens'] = other['added_tokens'][:1]
  path.write_text(json.dumps(other))
  with pytest.raises(ValueError, match='lacks .*startoftranscript'):
    make(path)
  with pytest.raises(ValueError, match='it takes model'):
    make_tokenizer({'name': 'whisper', 'model': 'x', 'unknown': 'unk'})


ALOUD = [
  ('Mr. Smith & Mrs. Jones', 'mister smith and missus jones'),
  ('in 1847, on the 21st', 'in eighteen forty seven on the twenty first'),
  ('in 1805 and 1900', 'in eighteen o five and nineteen hundred'),
  ('$1,200 or 20%', 'one thousand two hundred dollars or twenty percent'),
  ('at 10:30, 3.5 miles', 'at ten thirty three point five miles'),
  ('the 20s; 007', 'the twenties zero zero seven'),
  ("1805's end; don't", "eighteen o five's end don't"),
  ('2nd-rate A1 B12C', 'second rate a1 b12c'),
  ('', ''),
]


@pytest.mark.parametrize(('text', 'expected'), ALOUD)
def test_numbers_and_titles_are_read_aloud(text, expected):
  assert read_aloud(text) == expected
  assert read_aloud(expected) == expected


def test_numbers_in_words():
  assert cardinal(0) == 'zero'
  assert cardinal(1_000_019) == 'one million nineteen'
  assert cardinal(90_342) == 'ninety thousand three hundred forty two'
  assert [ordinal(n) for n in (1, 12, 20, 33, 100)] == [
    'first',
    'twelfth',
    'twentieth',
    'thirty third',
    'one hundredth',
  ]
