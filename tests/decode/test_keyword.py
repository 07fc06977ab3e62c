"""Alarms while one speaks."""

import numpy as np
import pytest

from recog_jax.decode.keyword import Alarms
from recog_jax.metrics.detection import peaks


def frames_of(scores, threshold=0.5, refractory=3, size=1):
  alarms = Alarms(1, threshold, refractory)
  rows = np.asarray(scores, float)[:, None]
  parts = [rows[i : i + size] for i in range(0, len(rows), size)]
  return [alarm.frame for part in parts for alarm in alarms.hear(part)]


@pytest.mark.smoke
def test_an_alarm_is_early_and_alone():
  rising = [0, 0.5, 0.6, 0.7, 0.8, 0.7, 0.6, 0.5, 0]
  # The time since the highest score counts, not since the alarm.
  assert frames_of(rising) == [1]
  assert frames_of([0, 0.9, 0, 0, 0, 0.5, 0.9]) == [1, 5]
  assert frames_of([0, 0.9, 0, 0, 0.9]) == [1]
  assert frames_of([0.4, 0.49]) == []


def test_pieces_change_nothing_and_keywords_are_apart():
  scores = np.random.default_rng(0).uniform(size=200)
  whole = frames_of(scores, 0.8, 5, 200)
  assert whole == frames_of(scores, 0.8, 5, 7) != []
  assert (np.diff(whole) > 5).all()
  alarms = Alarms(2, 0.5, 3).hear([[0.6, 0.0], [0.0, 0.7], [0.9, 0.9]])
  assert [(a.frame, a.keyword) for a in alarms] == [(0, 0), (1, 1)]


def test_there_are_no_more_of_them_than_peaks():
  draw = np.random.default_rng(1)
  for _ in range(50):
    scores = np.convolve(draw.normal(size=300), np.ones(8) / 8, 'same')
    _, found = peaks(scores, 10)
    assert len(frames_of(scores, 0.4, 10)) <= (found >= 0.4).sum()
