"""Counter-based draws: by record, not by place in a batch."""

import numpy as np
import pytest

from recog_jax.data.draws import Draws


def _draws(records, epoch=0, seed=0):
  records = np.asarray(records)
  return Draws(seed, np.full(len(records), epoch), records)


@pytest.mark.smoke
def test_a_record_draws_the_same_wherever_it_stands():
  whole = _draws(range(100)).uniform('crop', (2,))
  some = _draws([7, 93, 7]).uniform('crop', (2,))
  np.testing.assert_array_equal(some, whole[[7, 93, 7]])


def test_seed_epoch_record_and_name_all_matter():
  base = _draws(range(1000)).uniform('a')
  for other in (
    _draws(range(1000), epoch=1).uniform('a'),
    _draws(range(1000), seed=1).uniform('a'),
    _draws(range(1, 1001)).uniform('a'),
    _draws(range(1000)).uniform('b'),
  ):
    assert abs(np.corrcoef(base, other)[0, 1]) < 0.12
    assert (base != other).mean() > 0.99


def test_uniform_is_uniform_in_its_bounds():
  draws = _draws(range(20_000)).uniform('u', low=-1.0, high=3.0)
  assert draws.dtype == np.float32
  assert draws.min() >= -1.0
  assert draws.max() < 3.0
  counts, _ = np.histogram(draws, bins=20, range=(-1, 3))
  chi2 = ((counts - 1000) ** 2 / 1000).sum()
  assert chi2 < 43.8  # 99.9 % of 19 degrees of freedom


def test_integers_reach_both_ends_evenly():
  draws = _draws(range(30_000)).integers('i', 3, (2,))
  counts = np.bincount(draws.ravel(), minlength=3)
  assert len(counts) == 3
  assert abs(counts - 20_000).max() < 600


def test_normal_has_unit_moments():
  draws = _draws(range(20_000)).normal('n', (2,))
  assert np.isfinite(draws).all()
  assert abs(draws.mean()) < 0.02
  assert abs(draws.std() - 1) < 0.02
