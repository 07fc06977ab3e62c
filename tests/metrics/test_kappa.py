"""Quadratic weighted kappa against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from recog_jax.metrics.kappa import Grades, quadratic_kappa


def _grades(n=300, v=5, seed=0):
  rng = np.random.default_rng(seed)
  target = rng.choice(v, n, p=np.arange(v, 0, -1) / (v * (v + 1) / 2))
  guess = np.clip(target + rng.integers(-2, 3, n), 0, v - 1)
  return target.astype(np.int32), guess.astype(np.int32)


@pytest.mark.parametrize('seed', range(5))
def test_it_equals_scikit_learn(seed):
  target, guess = _grades(seed=seed)
  got = Grades(target, guess).compute()['quadratic_kappa']
  want = sk.cohen_kappa_score(target, guess, weights='quadratic')
  assert got == pytest.approx(want, rel=1e-12)


def test_grades_that_do_not_occur_change_nothing():
  target, guess = np.array([0, 0, 4, 4, 2]), np.array([0, 4, 4, 2, 2])
  got = Grades(target, guess).compute()['quadratic_kappa']
  want = sk.cohen_kappa_score(
    target, guess, weights='quadratic', labels=range(9)
  )
  assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.smoke
def test_by_hand():
  def kappa(target, guess):
    return Grades(np.array(target), np.array(guess)).compute()[
      'quadratic_kappa'
    ]

  assert kappa([0, 1, 2], [0, 1, 2]) == 1
  assert kappa([0, 1, 2], [2, 1, 0]) == -1
  assert kappa([0, 1, 2, 3], [1, 1, 1, 1]) == 0  # One grade: chance.
  # Half of them are wrong by one, as half of independent ones would be.
  assert kappa([0, 1, 0, 1], [0, 1, 1, 0]) == 0
  assert np.isnan(kappa([3, 3], [3, 3]))


def test_no_examples_is_an_error():
  with pytest.raises(ValueError, match='no examples'):
    Grades(np.zeros(0, int), np.zeros(0, int)).compute()


def test_many_tables_at_once():
  cells = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
  counts = np.random.default_rng(0).integers(0, 30, (7, 4))
  got = quadratic_kappa(*cells, counts)
  for row, value in zip(counts, got, strict=True):
    target, guess = np.repeat(cells, row, axis=1)
    want = sk.cohen_kappa_score(target, guess, weights='quadratic')
    assert value == pytest.approx(want, rel=1e-12)


def test_the_interval_equals_resampling_with_scikit_learn():
  target, guess = _grades()
  interval = Grades(target, guess).intervals(seed=2)['quadratic_kappa']
  rng = np.random.default_rng(0)
  values = []
  for _ in range(600):
    row = rng.integers(0, 300, 300)
    values.append(
      sk.cohen_kappa_score(target[row], guess[row], weights='quadratic')
    )
  low, high = np.percentile(values, [2.5, 97.5])
  assert interval == pytest.approx((low, high), abs=0.2 * (high - low))


def test_an_undefined_kappa_has_an_undefined_interval():
  same = np.full(9, 2)
  assert np.isnan(Grades(same, same).intervals()['quadratic_kappa']).all()
