"""Cutting long recordings where nobody speaks."""

import numpy as np
import pytest

from recog_jax.data.speech import pauses
from recog_jax.data.speech.pauses import Cutting

RATE = 8000


def tone(seconds, level=0.3, seed=0):
  """What stands for speech: a voice's harmonics, louder and softer."""
  t = np.arange(round(seconds * RATE)) / RATE
  wave = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 9))
  return (level * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)) * wave / 3).astype(
    np.float32
  )


def noise(seconds, level, seed=0):
  rng = np.random.default_rng(seed)
  return (level * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


def recording(parts, floor):
  """Speech and silence in turns, with noise over all; where speech is."""
  waves, places, at = [], [], 0.0
  for seconds, speaks in parts:
    waves.append(tone(seconds) if speaks else np.zeros(round(seconds * RATE)))
    if speaks:
      places.append((at, at + seconds))
    at += seconds
  wave = np.concatenate(waves).astype(np.float32)
  return wave + noise(at, floor)[: len(wave)], places


def cut(wave, block_s=3.0, **keys):
  size = round(block_s * RATE)
  blocks = (wave[i : i + size] for i in range(0, len(wave), size))
  return list(pauses.cut(blocks, Cutting(RATE, **keys)))


PARTS = [(0.7, False)]
for _seconds in (2.0, 1.1, 3.0, 0.6, 4.0, 2.2, 1.5, 2.5) * 3:
  PARTS += [(_seconds, True), (0.8, False)]


@pytest.mark.parametrize('floor', [0.0, 1e-4, 1e-3, 5e-3, 0.02])
def test_each_part_between_pauses_is_a_piece(floor):
  wave, places = recording(PARTS, floor)
  found = cut(wave, longest_s=10.0)
  assert len(found) == len(places)
  for (piece, span), (begin, end) in zip(found, places, strict=True):
    assert span.begin <= begin <= span.begin + 0.4
    assert end <= span.end <= end + 0.4
    start = round(span.begin * RATE)
    assert np.array_equal(piece, wave[start : start + len(piece)])


def test_the_blocks_do_not_matter():
  wave, _ = recording(PARTS, 1e-3)
  spans = [
    [span for _, span in cut(wave, block_s=s, longest_s=10.0)]
    for s in (0.1, 3.0, 1000.0)
  ]
  # Half a minute of context decides on the threshold; blocks end elsewhere.
  for other in spans[1:]:
    np.testing.assert_allclose(other, spans[0], atol=0.1)


def test_no_sample_of_speech_is_lost_or_doubled():
  """Without pauses: windows that overlap as they say, then a quiet place."""
  wave = tone(100.0) + noise(100.0, 1e-3)
  found = cut(wave, longest_s=6.0, overlap_s=1.0, most_windows=4)
  at, runs, windows = 0.0, 0, 0
  for piece, span in found:
    assert len(piece) <= 6.0 * RATE
    assert span.begin + span.lead == pytest.approx(at, abs=0.1)
    assert (span.lead > 0) == (windows > 0)
    at = span.end
    windows = windows + 1 if span.tail else 0
    runs += not span.tail
    assert windows < 4
  assert at == pytest.approx(100.0, abs=0.5) and runs > 3


def test_a_short_pause_divides_what_is_too_long():
  parts = [(4.0, True), (0.3, False), (4.0, True)]
  wave, _ = recording(parts, 1e-4)
  (_, first), (_, second) = cut(wave, longest_s=6.0, pause_s=0.6)
  assert 4.0 < first.end < 4.3 and second.begin == first.end
  assert not first.tail and not second.lead


def test_silence_is_nothing():
  assert cut(np.zeros(60 * RATE, np.float32), longest_s=5.0) == []
  assert cut(np.zeros(0, np.float32)) == []
  # A microphone's offset is silence, too.
  assert cut(np.full(60 * RATE, 0.1, np.float32), longest_s=5.0) == []


def test_a_word_after_an_hour_of_silence_is_found():
  def blocks():
    for _ in range(360):
      yield noise(10.0, 1e-4)
    yield np.concatenate([tone(1.0), noise(3.0, 1e-4)])

  (_, span), *others = [
    found
    for found in pauses.cut(blocks(), Cutting(RATE))
    if found[1].end > 3600
  ]
  assert not others and span.begin <= 3600.0 and 3601.0 <= span.end < 3601.5


def test_levels_and_decisions():
  wave = np.concatenate([noise(1.0, 1e-3), tone(1.0), noise(1.0, 1e-3)])
  db = pauses.levels(wave, 160)
  assert len(db) == 150 and -63 < db[:40].mean() < -57
  speech = pauses.is_speech(db)
  assert not speech[:40].any() and speech[50:100].all()
  assert not speech[110:].any()
  assert pauses.silences(speech) == [(0, 46), (104, 150)]
  assert len(pauses.is_speech(np.zeros(0))) == 0


def test_one_sound_is_speech_unless_it_was_the_noise():
  still = pauses.levels(noise(5.0, 0.05), 160)
  assert pauses.is_speech(still).all()
  assert not pauses.is_speech(still, -26.0).any()
  assert not pauses.is_speech(still - 40).any()
  assert pauses.floor_of(still) is None


def test_habits_of_training():
  def utterance(edge, pause, seconds=1.0):
    parts = [(edge, False), (seconds, True), (pause, False)]
    return recording([*parts, (seconds, True), (edge, False)], 1e-4)[0]

  # Pauses are what is left where speech is widened by 0.08 s.
  pause, margin = pauses.habits([utterance(0.3, 0.6)] * 5, RATE)
  assert pause == pytest.approx(0.44, abs=0.05)
  assert margin == pytest.approx(0.3, abs=0.05)
  pause, margin = pauses.habits([tone(1.0)] * 5, RATE)
  assert pause == 0.12 and margin == 0.0
  assert pauses.habits([], RATE) == (Cutting.pause_s, Cutting.margin_s)
