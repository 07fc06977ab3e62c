"""Generated recordings: seeded, different, and possible to learn."""

import pickle

import numpy as np
import pytest

from recog_jax.data.sources.fake_speech import fake_speech
from recog_jax.errors import UserError

WORDS = ('zero', 'one', 'all', 'آٹھ')


def make(**changes):
  options = {
    'sizes': {'train': 60, 'test': 20},
    'sample_rate': 8000,
    'words': WORDS,
    'seed': 1,
  }
  return fake_speech(**{**options, **changes})


def take_all(records):
  return records.take(np.arange(len(records)))


def test_the_index_says_what_the_audio_is():
  source = make()
  assert source.info.sample_rate == 8000
  assert source.sizes() == {'train': 60, 'test': 20}
  records = source.records('train')
  utterances = records.utterances
  assert len(records) == len(utterances) == 60
  audio = take_all(records)
  assert utterances.num_samples.dtype == np.int64
  assert [len(a) for a in audio] == utterances.num_samples.tolist()
  assert all(a.dtype == np.float32 and np.abs(a).max() <= 1 for a in audio)
  assert set(' '.join(utterances.text).split()) == set(WORDS)
  assert {len(t.split()) for t in utterances.text} == {1, 2, 3}
  assert len(set(utterances.fields['id'])) == 60
  assert len(set(utterances.fields['speaker'])) == 4
  assert set(utterances.fields['gender']) == {'f', 'm'}
  # One speaker has one gender.
  pairs = set(
    zip(utterances.fields['speaker'], utterances.fields['gender'], strict=True)
  )
  assert len(pairs) == 4
  assert len(set(utterances.num_samples.tolist())) > 20


@pytest.mark.smoke
def test_the_same_seed_gives_the_same_audio_in_any_order():
  records = make().records('train')
  audio = take_all(records)
  copy = pickle.loads(pickle.dumps(records))
  for i, a in zip((7, 3), copy.take(np.array([7, 3])), strict=True):
    np.testing.assert_array_equal(a, audio[i])
  assert len(pickle.dumps(records)) < 20_000
  other = make(seed=2)
  assert other.fingerprint() != make().fingerprint() == make().fingerprint()
  assert other.records('train').utterances.text != records.utterances.text
  test = make().records('test')
  assert test.utterances.text != records.utterances.text[:20]


def test_every_character_has_a_frequency_of_its_own():
  records = make(words=('abcdefghijklmnopqrstuvwxyz',)).records('train')
  heard = {}
  for text, audio in zip(
    records.utterances.text, take_all(records), strict=True
  ):
    pieces = audio.reshape(len(text) + 2, -1)[1:-1]
    for character, piece in zip(text, pieces, strict=True):
      power = np.abs(np.fft.rfft(piece, 8000))
      heard.setdefault(character, []).append(int(power.argmax()))
      if character == ' ':
        assert np.abs(piece).max() < 0.12
  del heard[' ']
  assert len(heard) == 26
  spans = sorted((min(f), max(f)) for f in heard.values())
  for (_, below), (above, _) in zip(spans, spans[1:], strict=False):
    assert below < above
  assert spans[0][0] > 250 and spans[-1][1] < 3500


def test_options_that_make_no_sense_are_refused():
  with pytest.raises(UserError, match='at least 1'):
    make(sizes={'train': 0})
  with pytest.raises(UserError, match='none of them empty'):
    make(words=['one', ''])
  with pytest.raises(UserError, match='at least 4000 Hz'):
    make(sample_rate=8)
  with pytest.raises(UserError, match='test, train'):
    make().records('val')
