"""Thresholds of one split, rates of another, decision and abstention curves."""

import numpy as np
import pytest
from sklearn import metrics as sk

from recog_jax.metrics import delong
from recog_jax.metrics import operating_point as lib

SCORE = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
ILL = np.array([0, 0, 1, 0, 1, 0, 1, 1], bool)


@pytest.mark.parametrize(
  ('text', 'threshold'),
  [
    ('sensitivity 0.5', 0.7),
    ('sensitivity 0.75', 0.5),
    ('sensitivity 1', 0.3),
    ('specificity 0.5', 0.3),
    ('specificity 0.75', 0.5),
    ('specificity 1', 0.7),
    # At 0.3, 0.5 and 0.7 the sum of both is 1.5: the highest is taken.
    ('youden', 0.7),
    # 2 x misses + false alarms: 2 at 0.3, 3 at 0.5, 4 at 0.7.
    ('cost 2', 0.3),
    ('cost 0.1', 0.7),
  ],
)
def test_thresholds_by_hand(text, threshold):
  rule = lib.rule(text)
  assert str(rule) == text
  assert lib.choose(rule, SCORE, ILL) == threshold


def test_ties_are_called_together():
  score = np.array([0.5, 0.5, 0.5, 0.9])
  ill = np.array([True, False, True, True])
  assert lib.choose(lib.rule('sensitivity 0.9'), score, ill) == 0.5
  assert lib.choose(lib.rule('specificity 0.9'), score, ill) == 0.9


@pytest.mark.parametrize(
  'text', ['sens 0.9', 'sensitivity', 'sensitivity 1.2', 'cost 0', 'youden 1']
)
def test_other_rules_are_refused(text):
  with pytest.raises(ValueError, match='is no operating point'):
    lib.rule(text)


def test_a_split_of_one_kind_chooses_nothing():
  for ill in (np.ones(8, bool), np.zeros(8, bool)):
    with pytest.raises(ValueError, match='are all'):
      lib.choose(lib.rule('youden'), SCORE, ill)


def test_rates_and_their_intervals():
  ill = np.array([1] * 10 + [0] * 20, bool)
  called = np.array([1] * 9 + [0] + [1] * 4 + [0] * 16, bool)
  point = lib.Point(ill, called)
  found = point.compute()
  assert found == pytest.approx(
    {
      'sensitivity': 0.9,
      'specificity': 0.8,
      'ppv': 9 / 13,
      'npv': 16 / 17,
      'called': 13 / 30,
    }
  )
  low, high = point.intervals()['sensitivity']
  # Wilson's interval of 9 of 10.
  assert (low, high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
  assert lib.wilson(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)
  assert np.isnan(lib.Point(ill[10:], called[10:]).compute()['sensitivity'])


def test_patients_are_drawn_whole():
  rng = np.random.default_rng(0)
  patient = np.repeat(np.arange(30), 8)
  ill = np.repeat(np.arange(30) % 2 == 0, 8)
  called = np.repeat(rng.random(30) < 0.5, 8)
  alone = lib.Point(ill, called).intervals()['sensitivity']
  whole = lib.Point(ill, called, patient).intervals()['sensitivity']
  assert np.diff(whole)[0] > 1.8 * np.diff(alone)[0]


def test_predictive_values_follow_bayes():
  ill = np.array([1] * 10 + [0] * 20, bool)
  called = np.array([1] * 9 + [0] + [1] * 4 + [0] * 16, bool)
  point = lib.Point(ill, called)
  found = point.at_prevalence([1 / 3, 0.01])
  assert found['ppv'][0] == pytest.approx(9 / 13)
  assert found['npv'][0] == pytest.approx(16 / 17)
  by_hand = 0.9 * 0.01 / (0.9 * 0.01 + 0.2 * 0.99)
  assert found['ppv'][1] == pytest.approx(by_hand)
  low, high = found['ppv_ci95'][1]
  assert low < by_hand < high


def test_net_benefit_by_hand():
  found = lib.net_benefit(SCORE, ILL, np.array([0.5, 0.2]))
  # At 0.5: three found, one false alarm, at odds 1; of eight.
  assert found['model'][0] == pytest.approx((3 - 1) / 8)
  # At 0.2: all four, three false alarms at odds 1 / 4.
  assert found['model'][1] == pytest.approx((4 - 3 / 4) / 8)
  assert found['all'] == pytest.approx([0, 0.5 - 0.5 / 4])


def test_abstention_keeps_ties_together():
  coverage, accuracy, area = lib.abstention(
    np.array([0.9, 0.6, 0.6, 0.5]), np.array([True, True, False, False])
  )
  np.testing.assert_allclose(coverage, [0.25, 0.75, 1])
  np.testing.assert_allclose(accuracy, [1, 2 / 3, 0.5])
  assert area == pytest.approx(0 + 0.5 / 3 + 0.25 * 0.5)


def test_delong_against_the_direct_sums():
  rng = np.random.default_rng(3)
  ill = np.r_[np.ones(30, bool), np.zeros(50, bool)]
  first = np.round(rng.normal(size=80) + ill, 1)  # With ties.
  second = np.round(rng.normal(size=80) + 0.4 * ill, 1)
  found = delong.compare(first, second, ill)
  for k, score in enumerate((first, second)):
    assert found.auc[k] == pytest.approx(sk.roc_auc_score(ill, score))

  def parts(score):
    x, y = score[ill][:, None], score[~ill][None]
    psi = (x > y) + 0.5 * (x == y)
    return psi.mean(1), psi.mean(0)

  (a1, b1), (a2, b2) = parts(first), parts(second)
  variance = np.var(a1 - a2, ddof=1) / 30 + np.var(b1 - b2, ddof=1) / 50
  z = found.difference / np.sqrt(variance)
  assert np.diff(found.interval)[0] == pytest.approx(
    2 * 1.959964 * np.sqrt(variance), rel=1e-6
  )
  assert 0 < found.p < 1
  assert (found.p < 0.05) == (abs(z) > 1.96)
  assert delong.compare(first, first, ill).p == 1
  with pytest.raises(ValueError, match='two positive'):
    delong.compare(first[:31], second[:31], ill[:31])
