"""Identification against direct counts."""

import numpy as np
import pytest

from recog_jax.metrics.identification import (
  Search,
  best_of_person,
  leave_one_out,
  summary,
)


def _scores(people=6, each=3, seed=0, ties=False):
  rng = np.random.default_rng(seed)
  person = np.repeat(np.arange(people), each)
  found = rng.normal(size=(people, 4))[person]
  found = found + 0.9 * rng.normal(size=found.shape)
  found /= np.linalg.norm(found, axis=1, keepdims=True)
  score = found @ found.T
  return (np.round(score, 1) if ties else score), person


@pytest.mark.parametrize('ties', [True, False])
@pytest.mark.parametrize('seed', range(3))
def test_leave_one_out_equals_a_direct_count(ties, seed):
  score, person = _scores(seed=seed, ties=ties)
  search, strangers = leave_one_out(score, person)
  ranks, best_other, first, own = [], [], [], []
  for i in range(len(person)):
    best = {}
    for j in range(len(person)):
      if i != j:
        best[person[j]] = max(best.get(person[j], -9), score[i, j])
    mine = best[person[i]]
    ranks.append(sum(value >= mine for value in best.values()))
    best_other.append(max(v for k, v in best.items() if k != person[i]))
    first.append(ranks[-1] == 1)
    own.append(mine)
  assert search.rank().tolist() == ranks
  np.testing.assert_allclose(strangers, best_other)
  cmc = [np.mean(np.array(ranks) <= k) for k in range(1, 7)]
  np.testing.assert_allclose(search.cmc(), cmc)
  for far in (0.0, 0.1, 0.5):
    rates = [
      np.mean([f and o >= t for f, o in zip(first, own, strict=True)])
      for t in [*np.ravel(score), np.inf]
      if np.mean(np.array(best_other) >= t) <= far
    ]
    assert search.dir_at_far(strangers, far)[0] == pytest.approx(max(rates))
  found = summary(search, strangers)
  assert found['rank1'] == cmc[0]
  assert found['rank5'] == cmc[4]
  assert set(found) == {
    'rank1',
    'rank5',
    'dir_at_far_0.1',
    'dir_at_far_0.01',
  }


def test_a_person_with_one_picture_has_no_mate():
  score, person = _scores()
  person = np.append(person[:-1], 99)
  search, strangers = leave_one_out(score, person)
  assert not search.mated[-1] and search.mated[:-1].all()
  assert search.rank()[-1] == 0
  assert np.isfinite(strangers).all()


def test_strangers_and_empty_sets():
  score = np.array([[0.9, 0.1], [0.2, 0.3]])
  people = np.array([4, 7])
  search = Search(score, people, np.array([4, 5]))
  assert search.mated.tolist() == [True, False]
  assert search.cmc().tolist() == [1, 1]
  rate, threshold = search.dir_at_far(np.array([0.5]), 0.0)
  assert (rate, threshold) == (1, 0.9)
  assert np.isnan(search.dir_at_far(np.zeros(0), 0.1)).all()
  alone = Search(score, people, np.array([1, 2]))
  assert np.isnan(alone.dir_at_far(np.array([0.5]), 0.1)).all()
  with pytest.raises(ValueError, match='no probe'):
    alone.cmc()


def test_a_tie_with_another_person_is_no_success():
  search = Search(np.array([[0.5, 0.5]]), np.array([0, 1]), np.array([0]))
  assert search.rank().tolist() == [2]


def test_the_best_template_of_a_person_counts():
  score = np.array([[0.1, np.nan, 0.7, 0.4]])
  found, people = best_of_person(score, np.array([3, 2, 3, 2]))
  assert people.tolist() == [2, 3]
  assert found.tolist() == [[0.4, 0.7]]
