"""Verification against scikit-learn, direct counts, and hand-worked cases."""

import itertools

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn import metrics as sk
from sklearn.model_selection import KFold

from recog_jax.metrics.verification import (
  Pairs,
  all_pairs,
  folded_accuracy,
  person_folds,
  tar_name,
)


def _embeddings(people=12, each=5, dim=8, seed=0):
  rng = np.random.default_rng(seed)
  person = np.repeat(np.arange(people), each)
  found = rng.normal(size=(people, dim))[person] + rng.normal(
    size=(people * each, dim)
  )
  return found / np.linalg.norm(found, axis=1, keepdims=True), person


def _pairs(seed=0, ties=True, **size):
  pairs, rows = all_pairs(*_embeddings(seed=seed, **size))
  score = np.round(pairs.score, 1) if ties else pairs.score
  return Pairs(score, pairs.people), rows


@pytest.mark.parametrize('ties', [True, False])
@pytest.mark.parametrize('seed', range(3))
def test_equal_to_scikit_learn(ties, seed):
  pairs, _ = _pairs(seed, ties)
  got = pairs.compute()
  fpr, tpr, _ = sk.roc_curve(pairs.same, pairs.score, drop_intermediate=False)
  assert got['auc'] == pytest.approx(sk.roc_auc_score(pairs.same, pairs.score))
  eer = brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1, xtol=1e-14)
  assert got['eer'] == pytest.approx(eer, abs=1e-10)
  thresholds, far, tar = pairs.roc()
  want = sk.roc_curve(pairs.same, pairs.score, drop_intermediate=False)
  for ours, theirs in zip((far, tar, thresholds), want, strict=True):
    np.testing.assert_allclose(ours, theirs)
  thresholds, far, missed = pairs.det()
  theirs = sk.det_curve(pairs.same, pairs.score)
  finite = np.isfinite(theirs[2])
  for point in zip(*(x[finite] for x in theirs), strict=True):
    near = np.abs(thresholds - point[2]).argmin()
    assert (far[near], missed[near]) == pytest.approx(point[:2])


@pytest.mark.parametrize('ties', [True, False])
def test_equal_to_a_direct_count(ties):
  pairs, rows = _pairs(3, ties, people=6, each=4)
  embedding, person = _embeddings(people=6, each=4, seed=3)
  genuine, impostor = [], []
  for (i, j), (row, score) in zip(
    itertools.combinations(range(24), 2),
    zip(rows, pairs.score, strict=True),
    strict=True,
  ):
    assert (i, j) == tuple(row)
    cosine = float(np.dot(embedding[i], embedding[j]))
    assert score == pytest.approx(round(cosine, 1) if ties else cosine)
    (genuine if person[i] == person[j] else impostor).append(score)
  won = sum((g > i) + (g == i) / 2 for g in genuine for i in impostor)
  got = pairs.compute()
  assert got['auc'] == pytest.approx(won / len(genuine) / len(impostor))
  for far in (0.1, 0.01, 0.001):
    best = max(
      sum(g >= t for g in genuine)
      for t in [*pairs.score, np.inf]
      if sum(i >= t for i in impostor) <= far * len(impostor) + 1e-9
    )
    assert got[tar_name(far)] == pytest.approx(best / len(genuine))


def test_far_of_whole_pairs():
  # Of 1,000 impostors exactly one may pass: 1 - 0.001 is not exact in floats.
  for far in (0.1, 0.01, 0.001):
    score = np.r_[np.arange(1000), np.arange(1000) + 0.5] / 1000
    people = np.r_[np.tile([[0, 1]], (1000, 1)), np.tile([[0, 0]], (1000, 1))]
    pairs = Pairs(score, people)
    passed = (score[:1000] >= pairs.threshold_at(far)).sum()
    assert passed == 1000 * far


def test_one_kind_of_pairs_defines_nothing():
  pairs = Pairs(np.array([0.1, 0.2]), np.array([[0, 1], [0, 2]]))
  assert all(np.isnan(v) for v in pairs.compute().values())
  assert all(np.isnan(v).all() for v in pairs.intervals(n=20).values())
  with pytest.raises(ValueError, match='no pairs'):
    Pairs(np.zeros(0), np.zeros((0, 2), int)).compute()
  with pytest.raises(ValueError, match='each one'):
    Pairs(np.zeros(2), np.zeros((1, 2), int))


def test_resamples_are_of_people():
  """A drawn set of people, written out: copies of a person are strangers."""
  pairs, rows = _pairs(1, people=5, each=3)
  draws = [0, 0, 0, 2, 4]
  times = np.bincount(draws, minlength=5)
  score = {tuple(r): s for r, s in zip(rows.tolist(), pairs.score, strict=True)}
  scores, same = [], []
  for a, b in itertools.combinations(range(5), 2):
    for i in range(3 * draws[a], 3 * draws[a] + 3):
      for j in range(3 * draws[b], 3 * draws[b] + 3):
        if draws[a] != draws[b]:
          scores.append(score[min(i, j), max(i, j)])
          same.append(False)
  for who in draws:
    for i, j in itertools.combinations(range(3 * who, 3 * who + 3), 2):
      scores.append(score[i, j])
      same.append(True)
  first, second = pairs.people.T
  weight = times[first] * np.where(pairs.same, 1, times[second])
  got = pairs._statistic(weight[None])
  assert got['auc'][0] == pytest.approx(sk.roc_auc_score(same, scores))
  want = Pairs(
    np.array(scores), np.array([[0, 0] if s else [0, 1] for s in same])
  ).compute()
  assert {k: v[0] for k, v in got.items()} == pytest.approx(want)


def test_intervals_by_people_are_wider_than_by_pairs():
  pairs, _ = _pairs(5, ties=False, people=10, each=6)
  value = pairs.compute()
  by_people = pairs.intervals(n=300)
  for name, (low, high) in by_people.items():
    assert low <= value[name] <= high, name
  alone = Pairs(  # As if each pair were of its own people.
    pairs.score,
    np.stack(
      [
        2 * np.arange(len(pairs.score)),
        2 * np.arange(len(pairs.score)) + ~pairs.same,
      ],
      1,
    ),
  ).intervals(n=300)
  assert np.ptp(by_people['auc']) > 1.5 * np.ptp(alone['auc'])
  assert pairs.intervals(n=50) == pairs.intervals(n=50)


def test_folds_equal_a_published_evaluation():
  """What insightface's `calculate_roc` computes, written as it is there."""
  rng = np.random.default_rng(0)
  first, second = rng.normal(size=(2, 600, 16))
  same = np.tile(np.arange(60) < 30, 10)
  second[same] += 0.9 * first[same]
  first, second = (
    x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second)
  )
  distance = np.sum(np.square(first - second), 1)
  thresholds = np.arange(0, 4, 0.01)
  accuracy = np.zeros(10)
  folds = np.zeros(600, int)
  for k, (train, test) in enumerate(KFold(10).split(np.arange(600))):
    folds[test] = k
    counted = [
      np.mean((distance[train] < t) == same[train]) for t in thresholds
    ]
    best = thresholds[np.argmax(counted)]
    accuracy[k] = np.mean((distance[test] < best) == same[test])
  # The lowest of equals there is the highest here.
  got = folded_accuracy(distance, ~same, folds, thresholds=thresholds)
  np.testing.assert_allclose(got.accuracy, accuracy, atol=1e-12)
  assert got.mean == pytest.approx(accuracy.mean(), abs=1e-12)
  error = np.std(accuracy, ddof=1) / np.sqrt(10)
  assert got.standard_error == pytest.approx(error)
  exact = folded_accuracy(1 - distance / 2, same, folds)
  assert exact.mean == pytest.approx(accuracy.mean(), abs=0.02)


def test_folds_by_hand():
  # Fold 0's threshold comes from fold 1 alone, and the other way round.
  score = np.array([0.9, 0.4, 0.8, 0.1, 0.7, 0.6, 0.5, 0.2])
  same = np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
  fold = np.array([0, 0, 0, 0, 1, 1, 1, 1])
  got = folded_accuracy(score, same, fold)
  # Fold 1 is parted by 0.6, under which fold 0 has 0.4 and 0.8 wrong. Fold 0:
  # 0.4 and 0.9 have three right each; from 0.4 on, 0.5 passes too.
  assert got.threshold.tolist() == [0.6, 0.4]
  assert got.accuracy.tolist() == [0.5, 0.75]
  assert got.mean == 0.625
  one = folded_accuracy(score[:4], same[:4], np.array([0, 1, 0, 1]))
  assert one.accuracy.shape == (2,)


def test_folds_of_disjoint_people():
  pairs, _ = _pairs(2, ties=False)
  folds = person_folds(np.arange(12), 4)
  assert np.bincount(folds).tolist() == [3] * 4
  inside = folds[pairs.people[:, 0]] == folds[pairs.people[:, 1]]
  fold = folds[pairs.people[:, 0]][inside]
  got = folded_accuracy(
    pairs.score[inside], pairs.same[inside], fold, people=pairs.people[inside]
  )
  assert len(got.accuracy) == 4
  # People of each fold do meet those of another: then nothing is left.
  with pytest.raises(ValueError, match='no pair to choose'):
    folded_accuracy(
      np.arange(4.0),
      np.array([1, 0, 1, 0], bool),
      np.array([0, 0, 1, 1]),
      people=np.array([[0, 0], [0, 1], [1, 1], [1, 0]]),
    )
  with pytest.raises(ValueError, match='2 people'):
    person_folds(np.array([3, 3, 5]), 3)
