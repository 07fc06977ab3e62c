"""Gaps between groups: against loops, peers, and sets with a known gap."""

import collections
import itertools

import numpy as np
import pytest

from recog_jax.metrics import fairness
from recog_jax.metrics.fairness import Scores


def accuracy(right, **more):
  right = np.asarray(right, np.float64)
  return Scores('accuracy', True, right, np.ones(len(right)), **more)


@pytest.mark.smoke
def test_values_gap_ratio_and_worst():
  right = [1] * 9 + [0] + [1] * 6 + [0] * 4
  sex = ['f'] * 10 + ['m'] * 10
  found = fairness.by_group(accuracy(right), {'sex': sex})['sex']
  assert {k: v['value'] for k, v in found['groups'].items()} == {
    'f': 0.9, 'm': 0.6,
  }  # fmt: skip
  assert found['gap'] == pytest.approx(0.3)
  assert found['ratio'] == pytest.approx(2 / 3)
  assert found['worst'] == 'm'
  f, m = found['groups'].values()
  assert f['difference'] == pytest.approx(0.3) == -m['difference']
  # One comparison, which stands twice and is not corrected.
  assert f['p'] == m['p'] == f['p_holm']
  low, high = f['ci95']
  assert low < 0.9 <= high <= 1


def test_small_groups_are_shown_and_not_compared():
  sex = ['f'] * 20 + ['m'] * 20 + ['x'] * 3
  found = fairness.by_group(accuracy([1, 0] * 20 + [0] * 3), {'sex': sex})[
    'sex'
  ]
  x = found['groups']['x']
  assert x['value'] == 0 and not x['compared'] and 'p' not in x
  assert found['gap'] == 0 and found['groups']['f']['compared']
  alone = fairness.by_group(accuracy([1] * 20), {'sex': ['f'] * 20})['sex']
  assert 'gap' not in alone and not alone['groups']['f']['compared']


def test_intersections_stand_beside_their_fields():
  fields = {'sex': ['f', 'm', 'f'], 'age': ['20', '20', '30'], 'id': 'abc'}
  assert fairness.crossed(fields, ['sex']) == {'sex': ['f', 'm', 'f']}
  assert fairness.crossed(fields, ['sex', 'age'])['sex x age'] == [
    'f x 20', 'm x 20', 'f x 30',
  ]  # fmt: skip


def test_holm_is_the_step_down_procedure():
  p = [0.01, 0.04, 0.03, 0.2]
  np.testing.assert_allclose(fairness.holm(p), [0.04, 0.09, 0.09, 0.2])
  rng = np.random.default_rng(0)
  for _ in range(20):
    p = rng.random(6) ** 2
    corrected = np.array(fairness.holm(p.tolist()))
    for level in (0.05, 0.2):
      rejected = np.zeros(6, bool)
      for rank, i in enumerate(np.argsort(p)):
        if p[i] > level / (6 - rank):
          break
        rejected[i] = True
      np.testing.assert_array_equal(corrected <= level, rejected)


def test_the_permutation_of_few_clusters_is_near_the_exact_one():
  """3 of 8 clusters: all 56 choices, each as likely."""
  rng = np.random.default_rng(1)
  num, den = rng.integers(0, 9, 8).astype(float), rng.integers(9, 20, 8) * 1.0
  inside = np.arange(8) < 3

  def t(chosen):
    sides = []
    for side in (chosen, ~chosen):
      rate = num[side].sum() / den[side].sum()
      off = num[side] - rate * den[side]
      n = side.sum()
      sides.append((rate, (off**2).sum() / den[side].sum() ** 2 * n / (n - 1)))
    return (sides[0][0] - sides[1][0]) / np.sqrt(sides[0][1] + sides[1][1])

  every = []
  for chosen in itertools.combinations(range(8), 3):
    mask = np.zeros(8, bool)
    mask[list(chosen)] = True
    every.append(abs(t(mask)))
  exact = np.mean(np.array(every) >= abs(t(inside)) - 1e-9)
  found = fairness.permutation_p(num, den, inside, np.arange(8), shuffles=20000)
  assert abs(found - exact) < 0.015


def test_clusters_make_a_gap_less_certain():
  """Two speakers a side, one of them bad: that is no proof."""
  right = [1] * 100 + [0] * 50 + [1] * 50
  sex = ['f'] * 100 + ['m'] * 100
  speakers = ['a'] * 50 + ['b'] * 50 + ['c'] * 50 + ['d'] * 50
  alone = fairness.by_group(accuracy(right), {'sex': sex})['sex']
  whole = fairness.by_group(accuracy(right), {'sex': sex}, speakers)['sex']
  assert alone['groups']['m']['p'] < 0.001
  assert whole['groups']['m']['p'] > 0.3
  assert whole['groups']['m']['clusters'] == 2
  widths = [np.ptp(t['groups']['m']['ci95']) for t in (alone, whole)]
  assert widths[1] > 3 * widths[0]


def test_clusters_on_both_sides_are_compared_with_themselves():
  """Speakers differ much; each is a little worse in noise, which is found."""
  rng = np.random.default_rng(0)
  base = np.repeat(np.linspace(0.3, 0.8, 20), 20)
  noisy = np.tile([False, True], 200)
  right = rng.random(400) < base + np.where(noisy, -0.1, 0.1)
  clusters = np.repeat(np.arange(20), 20)
  args = right.astype(float), np.ones(400), noisy
  p = fairness.permutation_p(*args, clusters, shuffles=400)
  assert p < 0.01


def test_a_field_that_names_the_clusters_has_examples_as_units():
  right = [1] * 30 + [0] * 30
  who = ['a'] * 30 + ['b'] * 30
  found = fairness.by_group(accuracy(right), {'speaker': who}, who)['speaker']
  assert found['groups']['a']['clusters'] == 30
  assert found['groups']['a']['p'] < 0.001


def test_equalised_odds_by_hand():
  target = np.array([1, 1, 0, 0, 1, 1, 0, 0])
  predicted = np.array([1, 1, 0, 0, 1, 0, 1, 1])
  codes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
  # True positives 1 and 0.5; false ones 0 and 1.
  assert fairness.equalised_odds_difference(target, predicted, codes) == 1
  predicted[6:] = 0
  assert fairness.equalised_odds_difference(target, predicted, codes) == 0.5


def test_equalised_odds_are_fairlearns():
  metrics = pytest.importorskip('fairlearn.metrics', reason='no fairlearn here')
  rng = np.random.default_rng(0)
  target, predicted = rng.integers(0, 2, (2, 300))
  codes = rng.integers(0, 3, 300)
  np.testing.assert_allclose(
    fairness.equalised_odds_difference(target, predicted, codes),
    metrics.equalized_odds_difference(
      target, predicted, sensitive_features=codes
    ),
  )


def test_calibration_by_hand():
  confidence = np.array([0.95, 0.95, 0.55, 0.55])
  right = np.array([True, True, True, False])
  found = fairness.calibration_error(confidence, right)
  assert found == pytest.approx((2 * 0.05 + 2 * 0.05) / 4)
  both = accuracy(
    right, target=np.ones(4, int), predicted=right.astype(int),
    confidence=confidence,
  )  # fmt: skip
  groups = fairness.by_group(both, {'g': list('aabb')})['g']['groups']
  assert groups['a']['calibration_error'] == pytest.approx(0.05)


def test_a_group_without_an_error_is_no_proof():
  """Its interval and what could have been found are those of its size."""
  right = [1] * 40 + [1] * 380 + [0] * 20
  found = fairness.by_group(accuracy(right), {'g': ['a'] * 40 + ['b'] * 400})
  a = found['g']['groups']['a']
  np.testing.assert_allclose(a['ci95'], [0.025 ** (1 / 40), 1])
  rate = 20 / 440
  wanted = 2.8016 * np.sqrt(rate * (1 - rate) * (1 / 40 + 1 / 400))
  assert a['detectable'] == pytest.approx(wanted, rel=0.02)
  assert a['detectable'] > 0.09


# -- sets with a known gap -----------------------------------------------------


def drawn(rng, gap, *, speakers=60, each=10):
  """Error rates of speakers around 20 % of words, of one sex more by `gap`."""
  sex = np.arange(speakers) % 2
  rate = np.clip(rng.normal(0.2 + gap * sex, 0.05), 0, 1)
  who = np.repeat(np.arange(speakers), each)
  words = rng.integers(3, 9, len(who))
  errors = rng.binomial(words, rate[who])
  scores = Scores('wer', False, errors.astype(float), words.astype(float))
  fields = {
    'sex': ['mf'[s] for s in sex[who]],
    'age': [f'{20 + 10 * (w % 3)}' for w in who],
  }
  return scores, fields, who.astype(str)


def found_in(rng, gap):
  scores, fields, who = drawn(rng, gap)
  return fairness.by_group(scores, fields, who, shuffles=200)


class _NoIntervals(collections.defaultdict):
  def __init__(self, *_, **options):
    super().__init__(lambda: (0.0, 0.0))


def test_a_planted_gap_is_found_and_none_made_up(monkeypatch):
  """Ten points of 60 speakers: power 0.9, and false alarms of all at 5 %."""
  # Intervals take most of the time, and are not asked for here.
  monkeypatch.setattr(fairness.bootstrap, 'of_rows', _NoIntervals)
  rng = np.random.default_rng(0)
  hits = [
    found_in(rng, 0.1)['sex']['groups']['f']['p_holm'] <= 0.05
    for _ in range(40)
  ]
  assert np.mean(hits) >= 0.9
  alarms = []
  for _ in range(200):
    tables = found_in(rng, 0.0).values()
    rows = [row for table in tables for row in table['groups'].values()]
    alarms.append(min(row['p_holm'] for row in rows) <= 0.05)
  assert np.mean(alarms) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.slow
def test_the_detectable_gap_is_found_in_eight_of_ten_sets():
  rng = np.random.default_rng(3)
  scores, fields, who = drawn(rng, 0.0)
  table = fairness.by_group(scores, {'sex': fields['sex']}, who)['sex']
  gap = table['groups']['f']['detectable']
  assert 0.01 < gap < 0.08
  hits = []
  for _ in range(60):
    scores, fields, who = drawn(rng, gap)
    inside = np.array(fields['sex']) == 'f'
    hits.append(
      fairness.permutation_p(
        scores.numerator, scores.denominator, inside,
        np.unique(who, return_inverse=True)[1], shuffles=400,
      ) <= 0.05
    )  # fmt: skip
  assert 0.62 < np.mean(hits) < 0.95
