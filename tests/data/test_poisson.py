"""The private plan: each unit by a draw of its own, pure in (seed, step)."""

import numpy as np
import pytest

from recog_jax.data.poisson import PoissonSample, units_of
from recog_jax.errors import UserError


def sample(members=None, count=1000, rate=0.05, capacity=100, seed=3):
  return PoissonSample(members, count, rate, capacity, seed)


def test_each_unit_is_drawn_with_the_rate_and_by_itself():
  found = np.zeros((400, 1000), bool)
  for step in range(400):
    found[step, sample().examples(step)] = True
  assert abs(found.mean() - 0.05) < 5 * np.sqrt(0.05 * 0.95 / found.size)
  # The variance of a binomial number: draws do not depend on each other.
  sizes = found.sum(1)
  assert 0.8 < sizes.var() / (1000 * 0.05 * 0.95) < 1.25
  assert 0.8 < found.sum(0).var() / (400 * 0.05 * 0.95) < 1.25
  # Whether a unit is drawn does not depend on how many others there are.
  fewer = sample(count=500).examples(7)
  np.testing.assert_array_equal(fewer, np.flatnonzero(found[7, :500]))


def test_rows_are_parts_of_one_padded_batch():
  plan = sample()
  index, valid = plan.rows(11, np.arange(100))
  assert valid.sum() == len(plan.examples(11))
  assert not index[~valid].any()
  for part in np.array_split(np.arange(100), 4):
    again = plan.rows(11, part)
    np.testing.assert_array_equal(again[0], index[part])
    np.testing.assert_array_equal(again[1], valid[part])


def test_units_above_the_capacity_are_left_out_at_random():
  whole = sample(rate=0.9)
  cut = sample(rate=0.9, capacity=40)
  found = np.zeros(1000)
  for step in range(200):
    few = cut.examples(step)
    assert len(few) == 40
    found[few] += 1
  assert len(whole.examples(0)) == 100  # Of 900.
  assert found[:500].sum() / found.sum() == pytest.approx(0.5, abs=0.03)


def test_a_unit_with_many_examples_shows_one_of_them():
  members = units_of('speaker', {'speaker': list('aabbbcaaaa')})
  assert [m.tolist() for m in members] == [[0, 1, 6, 7, 8, 9], [2, 3, 4], [5]]
  plan = sample(members, count=3, rate=0.5, capacity=3)
  seen = set()
  for step in range(100):
    found = plan.examples(step)
    owners = [next(i for i, m in enumerate(members) if x in m) for x in found]
    assert len(set(owners)) == len(owners)
    seen |= {*found.tolist()}
  assert seen == set(range(10))


@pytest.mark.parametrize(
  ('unit', 'told'),
  [('sex', 'config.privacy.unit'), ('site', 'has one value')],
)
def test_bad_units_are_told(unit, told):
  with pytest.raises(UserError, match=told):
    units_of(unit, {'speaker': ['a', 'b'], 'site': ['x', 'x']})
