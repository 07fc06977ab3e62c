"""False rejects at false alarms an hour."""

import numpy as np
import pytest

from recog_jax.metrics import detection


def test_an_alarm_is_followed_by_none_for_a_while():
  scores = np.zeros(100)
  scores[[10, 12, 40, 41, 90]] = 0.9, 0.8, 0.5, 0.7, 0.3
  frames, found = detection.peaks(scores, 5)
  assert frames[:3].tolist() == [10, 41, 90]
  assert found[:3].tolist() == [0.9, 0.7, 0.3]
  assert (
    np.abs(np.subtract.outer(frames, frames) + 99 * np.eye(len(frames))).min()
    > 5
  )


def trials():
  return detection.Trials(
    best=np.array([0.9, 0.8, 0.4, 0.2]),
    alarms=[np.array([0.5, 0.3]), np.array([0.85]), np.array([])],
    hours=np.array([1.0, 0.5, 0.5]),
  )


def test_misses_at_false_alarms_an_hour():
  found = trials()
  assert found.negative_hours == 2
  assert found.frr(0) == 0.75  # Above 0.85 there is one of four.
  assert found.frr(0.5) == 0.5  # One alarm in two hours is allowed.
  assert found.frr(1.0) == 0.25
  assert found.frr(100) == 0
  threshold, missed, false = found.curve()
  assert threshold[0] == np.inf and missed[0] == 1 and false[0] == 0
  assert (np.diff(missed) <= 0).all() and (np.diff(false) >= 0).all()


def test_a_rate_that_the_negatives_are_too_short_for_is_not_told():
  found = trials().summary((0.1, 0.5))
  assert 'frr_at_0.1' not in found
  assert found['frr_at_0.5'] == 0.5 and found['frr_at_0'] == 0.75
  low, high = found['frr_at_0_ci95']
  assert 0 <= low <= 0.75 <= high <= 1


def test_without_a_keyword_nothing_is_claimed():
  found = detection.Trials(np.zeros(0), [np.array([0.4])], np.array([2.0]))
  assert np.isnan(found.frr(1))
  assert not any(name.startswith('frr') for name in found.summary())


def test_with_equal_scores_a_threshold_takes_all_of_them():
  found = detection.Trials(
    np.array([0.5, 0.5]), [np.array([0.5, 0.5])], np.array([1.0])
  )
  assert found.frr(1) == 1 and found.frr(2) == 0
  assert found.threshold(2) == pytest.approx(0.5)
