"""Synthetic speech, where eSpeak NG is installed; its words everywhere."""

import importlib.util
import pickle
import sys
import unicodedata

import numpy as np
import pytest

from recog_jax.data.sources.synth import synth
from recog_jax.data.sources.synth_words import WORDS, alphabet
from recog_jax.errors import UserError

needs_espeak = pytest.mark.skipif(
  importlib.util.find_spec('espeakng_loader') is None,
  reason='espeakng-loader is not installed (the extra `synth`)',
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def make(**changes):
  options = {
    'language': 'en',
    'sizes': {'train': 40, 'test': 20},
    'num_words': (1, 3),
    'sample_rate': 8000,
    'seed': 1,
  }
  return synth(**{**options, **changes})


def take_all(records):
  return records.take(np.arange(len(records)))


def test_words_are_distinct_and_normalised():
  scripts = {'en': 'LATIN', 'ur': 'ARABIC', 'pa': 'GURMUKHI', 'sd': 'ARABIC'}
  scripts |= {'hi': 'DEVANAGARI', 'fa': 'ARABIC'}
  assert set(WORDS) == set(scripts)
  for language, words in WORDS.items():
    assert len(set(words)) == len(words) == len(WORDS['en'])
    for word in words:
      assert unicodedata.normalize('NFC', word) == word
      assert all(scripts[language] in unicodedata.name(c) for c in word)


def test_alphabet_has_every_character_once():
  assert alphabet('en')[:3] == ' ab'
  both = alphabet('ur', 'sd')
  assert len(set(both)) == len(both)
  assert set(both) == set(' ' + ''.join(WORDS['ur'] + WORDS['sd']))


@needs_espeak
def test_all_languages_are_spoken_and_silence_is_cut():
  source = make(language=list(WORDS), sizes={'train': 80}, sample_rate=16000)
  assert source.info.sample_rate == 16000
  records = source.records('train')
  utterances = records.utterances
  audio = take_all(records)
  assert [len(a) for a in audio] == utterances.num_samples.tolist()
  assert set(utterances.fields['lang']) == set(WORDS)
  for text, lang, wave in zip(
    utterances.text, utterances.fields['lang'], audio, strict=True
  ):
    assert set(text.split()) <= set(WORDS[lang])
    assert wave.dtype == np.float32
    assert 0.2 < np.abs(wave).max() <= 1
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    assert loud[0] < 1600 and len(wave) - loud[-1] < 1600
  words = np.array([len(t.split()) for t in utterances.text])
  assert set(words) == {1, 2, 3}
  # The longer the text, the longer the sound.
  seconds = utterances.num_samples / 16000
  means = [seconds[words == k].mean() for k in (1, 2, 3)]
  assert means[0] < means[1] < means[2]
  assert seconds.min() > 0.2 and seconds.max() < 4


@needs_espeak
def test_no_voice_of_test_is_heard_in_training():
  source = make(sizes={'train': 60, 'val': 30, 'test': 30})
  heard = {
    split: set(source.records(split).utterances.fields['speaker'])
    for split in source.sizes()
  }
  assert len(heard['train']) > 5
  assert heard['test'] == {'f4', 'm3', 'm7'}
  assert not heard['test'] & (heard['train'] | heard['val'])
  fields = source.records('test').utterances.fields
  for speaker, gender in zip(fields['speaker'], fields['gender'], strict=True):
    assert speaker[0] == gender
  with pytest.raises(UserError, match='share none: f1'):
    make(test_voices=['f1', 'f9'])


@needs_espeak
def test_the_same_seed_gives_the_same_bytes_however_made(tmp_path, monkeypatch):
  # f5 is breathy: eSpeak seeds its noise by the clock.
  options = {'language': ['en', 'pa'], 'voices': ['f5', 'm1']}
  records = make(**options).records('train')
  audio = take_all(records)
  mapped = make(**options).records('train')
  copy = pickle.loads(pickle.dumps(mapped))
  np.testing.assert_array_equal(copy.take(np.array([5]))[0], audio[5])
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'other'))
  more = make(**options, sizes={'train': 50}).records('train')
  for a, b in zip(audio, more.take(np.arange(40)), strict=True):
    np.testing.assert_array_equal(a, b)
  # No cache: the same from memory.
  (tmp_path / 'file').touch()
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'file' / 'below'))
  kept = make(**options).records('train')
  for a, b in zip(audio, take_all(kept), strict=True):
    np.testing.assert_array_equal(a, b)
  assert make(seed=2).fingerprint() != make().fingerprint()
  assert (
    make(seed=2).records('test').utterances.text
    != make().records('test').utterances.text
  )


@needs_espeak
def test_speed_and_pitch_are_heard():
  options = {'num_words': (3, 3), 'voices': ['m1'], 'sizes': {'train': 20}}
  slow = make(**options, speeds=(100, 100)).records('train').utterances
  fast = make(**options, speeds=(200, 200)).records('train').utterances
  assert slow.text == fast.text
  assert (slow.num_samples > 1.3 * fast.num_samples).all()

  def period(pitch: int) -> float:
    """Median samples between a voice's pulses, by the autocorrelation."""
    records = make(**options, pitches=(pitch, pitch)).records('train')
    wave = np.concatenate(take_all(records))
    frames = wave[: len(wave) // 400 * 400].reshape(-1, 400)
    power = np.abs(np.fft.rfft(frames, 1024)) ** 2
    # Lags of 50 to 400 Hz.
    lags = np.fft.irfft(power)[:, 20:160].argmax(-1) + 20
    loud = frames.std(-1) > np.median(frames.std(-1))
    return float(np.median(lags[loud]))

  assert period(90) < 0.8 * period(10)


@needs_espeak
def test_keys_that_make_no_sense_are_refused():
  with pytest.raises(UserError, match='did you mean'):
    make(language='enn')
  with pytest.raises(UserError, match='at least 1'):
    make(sizes={})
  with pytest.raises(UserError, match='two numbers from 80 to 450'):
    make(speeds=(200, 100))
  with pytest.raises(UserError, match='num_words'):
    make(num_words=(0, 3))
  with pytest.raises(UserError, match="voice of eSpeak 'f99'.* f1"):
    make(voices=['f99'])
  with pytest.raises(UserError, match='test, train'):
    make().records('val')


def test_without_espeak_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'espeakng_loader', None)
  with pytest.raises(UserError, match=r"pip install 'recog_jax\[synth\]'"):
    make()


@needs_espeak
def test_sentences_have_their_fields():
  sentences = (
    {'text': 'turn on the light', 'action': 'on'},
    {'text': 'turn off the light', 'action': 'off'},
  )
  sizes = {'train': 12, 'test': 4}
  source = make(sentences=sentences, sizes=sizes)
  index = source.records('train').utterances
  wanted = {s['text']: s['action'] for s in sentences}
  assert {*index.text} == {*wanted}
  assert index.fields['action'] == [wanted[text] for text in index.text]
  assert index.num_samples.min() > 4000
  other = make(sizes=sizes)
  assert source.fingerprint() != other.fingerprint()


@needs_espeak
@pytest.mark.parametrize(
  'sentences', [({'action': 'on'},), ({'text': 'a'}, {'text': 'a'})]
)
def test_sentences_without_text_and_doubled_ones_are_told(sentences):
  with pytest.raises(UserError, match=r'source\.sentences'):
    make(sentences=sentences)
