"""The long recording that a recogniser is measured on."""

import numpy as np
import soundfile

from experiments import long_audio


def made(tmp_path):
  rng = np.random.default_rng(0)
  waves = [
    (0.2 * rng.standard_normal(n)).astype(np.float32) for n in (8000, 12000)
  ]
  found = long_audio.Utterances(waves, ['a b', 'c'], 8000)
  path = tmp_path / 'long.wav'
  return found, path, long_audio.write_recording(found, 0.5, path)


def test_utterances_lie_where_it_says(tmp_path):
  found, path, places = made(tmp_path)
  audio, rate = soundfile.read(path)
  assert rate == 8000 and len(audio) >= 30 * rate
  assert [p.number for p in places[:3]] == [0, 1, 0]
  for place in places:
    begin = round(place.begin * rate)
    part = audio[begin : round(place.end * rate)]
    assert np.abs(part - found.waves[place.number]).max() < 2e-3
    assert np.abs(audio[begin - 2000 : begin]).max() < 2e-3


def test_words_are_given_to_their_places(tmp_path):
  _, _, places = made(tmp_path)
  first, second = places[:2]
  words = [
    {'word': 'a', 'begin': first.begin - 0.05, 'end': first.begin + 0.2},
    {'word': 'b', 'begin': first.end - 0.1, 'end': first.end + 0.2},
    {'word': 'c', 'begin': second.begin + 0.1, 'end': second.end},
  ]
  assert long_audio.share_inside(words, places) == 2 / 3
  assert long_audio.share_inside([], places) is None


def test_the_table():
  row = {'minutes': 10.0, 'utterances': 9, 'parts': 9, 'wer': 0.01}
  row |= {'words_within_100_ms': 1.0, 'peak_mb': 500, 'real_time_factor': 0.01}
  text = long_audio.table(0.02, [row])
  assert 'alone: WER 2.00%' in text and '10 minutes: 9 utterances' in text
  assert '100.00% of the words' in text
  text = long_audio.table(0.02, [row | {'words_within_100_ms': None}])
  assert 'WER 1.00%, peak 500 MB' in text


def test_texts_are_folded_before_words_are_counted():
  pair = (['MR SMITH'], ['mr smith'])
  assert long_audio.rate_of(*pair) == 1.0
  assert long_audio.rate_of(*pair, str.lower) == 0.0
