"""Calibration: errors by hand, and the temperature of made-up answers."""

import numpy as np
import pytest

from recog_jax.metrics import calibration as lib


def test_bins_by_hand():
  confidence = np.array([0.05, 0.05, 0.95, 0.95])
  right = np.array([False, False, True, False])
  bins = lib.in_bins(confidence, right, bins=10)
  np.testing.assert_array_equal(bins.count, [2, 2])
  np.testing.assert_allclose(bins.confidence, [0.05, 0.95])
  np.testing.assert_allclose(bins.right, [0, 0.5])
  # (2 * 0.05 + 2 * 0.45) / 4
  assert bins.error() == pytest.approx(0.25)
  assert lib.calibration_error(confidence, right) == pytest.approx(0.25)


def test_adaptive_bins_hold_as_many_each():
  confidence = np.linspace(0.9, 1, 31)
  bins = lib.in_bins(confidence, confidence > 0, bins=3, adaptive=True)
  assert sorted(bins.count) == [10, 10, 11]
  assert lib.in_bins(confidence, confidence > 0, bins=3).count.tolist() == [31]


def test_brier_of_classes_and_of_one_probability():
  p = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
  np.testing.assert_allclose(
    lib.brier(p, np.array([0, 1])),
    [0.3**2 + 0.2**2 + 0.1**2, 0.1**2 + 0.9**2 + 0.8**2],
  )
  two = np.array([[0.25, 0.75]])
  assert lib.brier(two, np.array([1])) == pytest.approx([0.0625])
  assert lib.brier(np.array([0.75]), np.array([1])) == pytest.approx([0.0625])


def _answers(n, scale, seed=0):
  """Logits whose softmax, divided by scale, is what the targets follow."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(n, 3)) * 2
  p = lib.probabilities(logits)
  target = (p.cumsum(1) < rng.random((n, 1))).sum(1)
  return scale * logits, target


@pytest.mark.parametrize('scale', [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(scale):
  logits, target = _answers(4000, scale)
  found = lib.fit_temperature(logits, target)
  assert found == pytest.approx(scale, rel=0.08)
  assert not lib.at_bound(found)
  for other in (0.9 * found, 1.1 * found):
    assert lib.log_loss(logits, target, found) < lib.log_loss(
      logits, target, other
    )


def test_labels_that_are_not_known_do_not_count():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(3000, 2)) * 2
  target = rng.random((3000, 2)) < lib.probabilities(logits, sigmoid=True)
  target = target.astype(float)
  some = target.copy()
  some[::2, 1] = np.nan
  found = lib.fit_temperature(3 * logits, some, sigmoid=True)
  assert found == pytest.approx(3, rel=0.1)
  whole = lib.log_loss(logits, target, sigmoid=True)
  p = lib.probabilities(logits, sigmoid=True)
  by_hand = -np.where(target > 0.5, np.log(p), np.log(1 - p)).mean()
  assert whole == pytest.approx(by_hand)


def test_what_cannot_be_fitted_is_told():
  with pytest.raises(ValueError, match='no example'):
    lib.fit_temperature(np.zeros((0, 2)), np.zeros(0, int))
  with pytest.raises(ValueError, match='NaN'):
    lib.fit_temperature(np.full((3, 2), np.nan), np.zeros(3, int))
  easy = 9.0 * np.eye(3)[[0, 1, 2]]
  assert lib.at_bound(lib.fit_temperature(easy, np.array([0, 1, 2])))
  assert lib.at_bound(lib.fit_temperature(easy, np.array([1, 2, 0])))


def test_intervals_hold_the_value_and_widen_by_patient():
  rng = np.random.default_rng(1)
  patient = np.repeat(np.arange(40), 10)
  p = np.repeat(rng.uniform(0.5, 1, 40), 10)
  right = np.repeat(rng.random(40) < 0.75, 10)
  found = lib.Calibration(p, right, lib.brier(p, right))
  alone, whole = found.intervals(), found.intervals(patient)
  low, high = whole['brier']
  assert low < found.compute()['brier'] < high
  assert high - low > 2 * np.diff(alone['brier'])[0]
