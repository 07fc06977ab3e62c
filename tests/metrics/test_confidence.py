"""What confidences are worth: areas, calibration, entropy, handing over."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from recog_jax.metrics import confidence


def honest(n=1500, seed=0):
  """Confidences that are right as often as they say."""
  rng = np.random.default_rng(seed)
  p = rng.uniform(0.05, 0.95, n)
  return p, rng.random(n) < p


def test_the_words_that_are_right():
  found = confidence.right_words(
    ['a b c', 'one', '', 'x y'], ['a x c d', '', 'noise', 'x y']
  )
  assert [row.tolist() for row in found] == [
    [True, False, True, False],
    [],
    [False],
    [True, True],
  ]


def test_numbers_are_those_of_scikit_learn():
  p, right = honest(300)
  found = confidence.summary(p, right)
  assert found['auroc'] == pytest.approx(roc_auc_score(right, p))
  prior = np.full(300, right.mean())
  nce = 1 - log_loss(right, p) / log_loss(right, prior)
  assert found['nce'] == pytest.approx(nce)
  low, high = found['auroc_ci95']
  assert low < found['auroc'] < high


def test_honest_confidences_are_calibrated_and_bold_ones_are_not():
  p, right = honest()
  bold = 1 / (1 + np.exp(-3 * confidence.log_odds(p)))
  good, bad = confidence.summary(p, right), confidence.summary(bold, right)
  assert good['ece'] < 0.05 < 0.1 < bad['ece']
  assert good['nce'] > 0.2 > bad['nce']
  assert good['auroc'] == pytest.approx(bad['auroc'])


def test_scaling_mends_bold_confidences():
  p, right = honest()
  bold = 3 * confidence.log_odds(p)[:, None]
  made = confidence.fit(bold, right)
  np.testing.assert_allclose(made.weights, [1 / 3], atol=0.05)
  np.testing.assert_allclose(made(bold), p, atol=0.05)
  again = confidence.of_json({'weights': made.weights, 'bias': made.bias})
  np.testing.assert_array_equal(again(bold), made(bold))


def test_where_all_are_right_nothing_is_learned_and_nothing_claimed():
  p = np.array([0.9, 0.8, 0.7])
  right = np.ones(3, bool)
  assert confidence.fit(p[:, None], right) is None
  found = confidence.summary(p, right)
  assert set(found) == {'ece', 'ece_ci95'}
  assert confidence.summary(p[:0], right[:0]) == {}


def test_words_of_an_utterance_are_drawn_together():
  p, right = honest(400)
  twice = np.repeat(p, 4), np.repeat(right, 4), np.repeat(np.arange(400), 4)
  wide = confidence.summary(*twice)['auroc_ci95']
  narrow = confidence.summary(*twice[:2])['auroc_ci95']
  assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_a_person_takes_the_least_sure():
  sure = np.array([0.9, 0.2, 0.8, 0.4])
  errors, units = np.array([0, 3, 0, 1]), np.array([4, 4, 4, 4])
  rows = confidence.hand_over(sure, errors, units, (0, 0.25, 0.5))
  assert [row['handed_over'] for row in rows] == [0, 0.25, 0.5]
  assert [row['threshold'] for row in rows] == [0.2, 0.4, 0.8]
  assert [row['error_rate'] for row in rows] == [0.25, 1 / 12, 0]
  assert [row['accuracy'] for row in rows] == [0.5, 2 / 3, 1]
