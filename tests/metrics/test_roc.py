"""ROC metrics against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from recog_jax.metrics.roc import (
  AT_SPECIFICITY,
  THRESHOLD,
  OneVersusRest,
  Ranking,
  TwoClasses,
)


def _cases(n=500, ties=True, seed=0, share=0.3):
  """Scores that say something of the class; with many ties, or with none."""
  rng = np.random.default_rng(seed)
  positive = rng.random(n) < share
  score = rng.normal(size=n) + 1.2 * positive
  return (np.round(score, 1) if ties else score), positive


def _two(score, positive):
  return TwoClasses(score, positive, score > 0.5)


def _at_specificity(positive, score):
  """The best sensitivity among scikit-learn's points of enough specificity."""
  fpr, tpr, thresholds = sk.roc_curve(positive, score, drop_intermediate=False)
  negatives = (~positive).sum()
  false_positives = np.rint(fpr * negatives).astype(int)
  allowed = 10 * (negatives - false_positives) >= 9 * negatives
  return tpr[allowed].max(), thresholds[allowed].min()


@pytest.mark.parametrize('ties', [True, False])
@pytest.mark.parametrize('seed', range(5))
def test_two_classes_equal_scikit_learn(ties, seed):
  score, positive = _cases(300 + seed, ties, seed)
  got = _two(score, positive).compute()
  said = score > 0.5
  sensitivity, threshold = _at_specificity(positive, score)
  want = {
    'auc': sk.roc_auc_score(positive, score),
    'sensitivity': sk.recall_score(positive, said),
    'specificity': sk.recall_score(~positive, ~said),
    AT_SPECIFICITY: sensitivity,
    THRESHOLD: threshold,
  }
  assert got == pytest.approx(want, rel=1e-12)
  above = score >= got[THRESHOLD]
  assert sk.recall_score(~positive, ~above) >= 0.9
  assert sk.recall_score(positive, above) == got[AT_SPECIFICITY]


def test_the_names_say_what_is_meant():
  assert AT_SPECIFICITY == 'sensitivity_at_90_specificity'
  assert THRESHOLD == 'threshold_at_90_specificity'


def test_sensitivity_at_a_specificity_by_hand():
  # Ten negatives: exactly one of them may be called positive.
  negative = np.arange(10) / 10
  score = np.r_[negative, 0.85, 0.8, 0.95, 0.1]
  positive = np.r_[np.zeros(10, bool), np.ones(4, bool)]
  got = _two(score, positive).compute()
  assert got[THRESHOLD] == 0.85  # 0.8 is the score of a negative, too.
  assert got[AT_SPECIFICITY] == 0.5


def test_where_no_score_reaches_it_the_threshold_is_infinite():
  score = np.full(8, 0.5)
  positive = np.arange(8) < 4
  got = _two(score, positive).compute()
  assert (got[AT_SPECIFICITY], got[THRESHOLD]) == (0, np.inf)
  assert got['auc'] == 0.5


@pytest.mark.parametrize('everything', [True, False])
def test_an_absent_class_gives_nan_and_no_error(everything):
  score, _ = _cases(40)
  measure = _two(score, np.full(40, everything))
  got = measure.compute()
  undefined = {'auc', AT_SPECIFICITY, THRESHOLD}
  undefined.add('specificity' if everything else 'sensitivity')
  assert {name for name, value in got.items() if np.isnan(value)} == undefined
  intervals = measure.intervals()
  assert np.isnan(intervals['auc']).all()
  assert not np.isnan(
    intervals['sensitivity' if everything else 'specificity']
  ).any()


def test_scores_that_are_nan_give_nan():
  score, positive = _cases(40)
  score[3] = np.nan
  got = _two(score, positive).compute()
  assert np.isnan(got['auc']) and np.isnan(got[AT_SPECIFICITY])


def test_no_examples_is_an_error():
  none = np.zeros(0)
  with pytest.raises(ValueError, match='no examples'):
    _two(none, none.astype(bool)).compute()
  with pytest.raises(ValueError, match='no examples'):
    OneVersusRest(none[:, None], none[:, None] > 0).compute()


def _several(n=400, v=5, seed=0):
  """Probabilities, and labels of which the last never occurs."""
  rng = np.random.default_rng(seed)
  target = rng.integers(0, v - 1, n)
  scores = rng.normal(size=(n, v))
  scores[np.arange(n), target] += 1
  scores = np.exp(scores)
  return scores / scores.sum(1, keepdims=True), target


def test_one_versus_rest_equals_scikit_learn():
  scores, target = _several()
  present = scores[:, :4] / scores[:, :4].sum(1, keepdims=True)
  got = OneVersusRest(present, target[:, None] == range(4))
  want = sk.roc_auc_score(target, present, multi_class='ovr')
  assert got.compute()['auc'] == pytest.approx(want, rel=1e-12)

  # With a class that never occurs, which scikit-learn refuses.
  got = OneVersusRest(scores, target[:, None] == range(5))
  each = [sk.roc_auc_score(target == c, scores[:, c]) for c in range(4)]
  assert got.per_class() == pytest.approx([*each, np.nan], nan_ok=True)
  assert got.compute()['auc'] == pytest.approx(np.mean(each), rel=1e-12)


def test_several_labels_are_ranked_each_for_itself():
  rng = np.random.default_rng(0)
  has = rng.random((200, 6)) < 0.4
  scores = rng.normal(size=(200, 6)) + has
  want = sk.roc_auc_score(has, scores, average='macro')
  got = OneVersusRest(scores, has).compute()['auc']
  assert got == pytest.approx(want, rel=1e-12)


def test_a_single_class_leaves_no_auc():
  scores, _ = _several(20, 3)
  measure = OneVersusRest(scores, np.tile([True, False, False], (20, 1)))
  assert np.isnan(measure.compute()['auc'])
  assert np.isnan(measure.intervals()['auc']).all()


@pytest.mark.parametrize('ties', [True, False])
def test_counting_a_case_twice_is_having_it_twice(ties):
  score, positive = _cases(150, ties)
  rng = np.random.default_rng(1)
  drawn = rng.integers(0, 150, (6, 150))
  times = np.stack([np.bincount(row, minlength=150) for row in drawn])
  ranking = Ranking(score, positive)
  aucs, (sensitivities, _) = ranking.auc(times), ranking.sensitivity_at(times)
  for row, auc, sensitivity in zip(drawn, aucs, sensitivities, strict=True):
    assert auc == pytest.approx(
      sk.roc_auc_score(positive[row], score[row]), rel=1e-12
    )
    want, _ = _at_specificity(positive[row], score[row])
    assert sensitivity == pytest.approx(want, rel=1e-12)


@pytest.mark.slow
def test_intervals_equal_resampling_with_scikit_learn():
  score, positive = _cases(300)
  measure = _two(score, positive)
  intervals = measure.intervals(seed=3)
  rng = np.random.default_rng(0)
  draws = [rng.integers(0, 300, 300) for _ in range(600)]
  references = {
    'auc': lambda p, s: sk.roc_auc_score(p, s),
    'sensitivity': lambda p, s: sk.recall_score(p, s > 0.5),
    'specificity': lambda p, s: sk.recall_score(~p, s <= 0.5),
    AT_SPECIFICITY: lambda p, s: _at_specificity(p, s)[0],
  }
  assert intervals.keys() == references.keys()
  for name, reference in references.items():
    values = [reference(positive[row], score[row]) for row in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    assert intervals[name] == pytest.approx((low, high), abs=0.2 * (high - low))
    assert intervals[name][0] < measure.compute()[name] < intervals[name][1]
  assert measure.intervals(seed=3) == intervals


def test_the_auc_interval_is_that_of_hanley_and_mcneil():
  # Their standard error (1982, equation 1) is of scores like these.
  score, positive = _cases(2000, ties=False, share=0.5)
  low, high = _two(score, positive).intervals()['auc']
  auc = sk.roc_auc_score(positive, score)
  p, n = positive.sum(), (~positive).sum()
  q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
  spread = (p - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)
  error = np.sqrt((auc * (1 - auc) + spread) / (p * n))
  assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
