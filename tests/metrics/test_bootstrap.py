"""Bootstrap intervals against what is known of binomials and means."""

import numpy as np
import pytest

from recog_jax.metrics import bootstrap


def _accuracy(counts):
  return {'accuracy': counts[:, 1] / counts.sum(1)}


@pytest.mark.parametrize('level', [0.8, 0.95])
def test_accuracy_interval_is_the_normal_approximation(level):
  counts, p = np.array([800, 3200]), 0.8
  z = {0.8: 1.2816, 0.95: 1.95996}[level]
  (interval,) = bootstrap.of_counts(
    _accuracy, counts, seed=0, n=20000, level=level
  ).values()
  half = z * np.sqrt(p * (1 - p) / 4000)
  assert interval == pytest.approx((p - half, p + half), abs=0.03 * half)


def test_intervals_cover_the_truth_as_often_as_they_say():
  rng = np.random.default_rng(0)
  hits = rng.binomial(500, 0.7, size=300)
  covered = 0
  for seed, hit in enumerate(hits):
    counts = np.array([500 - hit, hit])
    (low, high) = bootstrap.of_counts(_accuracy, counts, seed=seed)['accuracy']
    covered += low <= 0.7 <= high
  assert 0.91 < covered / 300 < 0.98


def test_mean_interval_is_the_normal_approximation():
  values = np.random.default_rng(0).exponential(size=2000)
  low, high = bootstrap.of_mean('loss', values, seed=1, n=4000)['loss']
  half = 1.96 * values.std() / np.sqrt(2000)
  mean = values.mean()
  assert (low, high) == pytest.approx(
    (mean - half, mean + half), abs=0.1 * half
  )


def test_ratio_of_sums_resamples_whole_rows():
  # Twice as many errors as words in every row: the ratio cannot vary.
  words = np.random.default_rng(0).integers(1, 30, 200)
  rows = np.stack([2 * words, words], axis=1)
  got = bootstrap.of_rows(
    lambda sums: {'wer': sums[:, 0] / sums[:, 1]}, rows, seed=0
  )
  assert got['wer'] == pytest.approx((2.0, 2.0))


def test_the_seed_decides_and_memory_is_bounded(monkeypatch):
  values = np.random.default_rng(0).normal(size=300)
  first = bootstrap.of_mean('x', values, seed=5)
  assert first == bootstrap.of_mean('x', values, seed=5)
  assert first != bootstrap.of_mean('x', values, seed=6)
  monkeypatch.setattr(bootstrap, '_CHUNK', 7 * 300)
  pieces = bootstrap.of_mean('x', values, seed=5)
  assert pieces['x'] == pytest.approx(first['x'])


def test_no_errors_gives_width_zero_and_no_examples_an_error():
  counts = np.array([0, 40])
  got = bootstrap.of_counts(_accuracy, counts, seed=0)
  assert got == {'accuracy': (1.0, 1.0)}
  with pytest.raises(ValueError, match='no examples'):
    bootstrap.of_counts(_accuracy, np.array([0, 0]), seed=0)
  with pytest.raises(ValueError, match='no examples'):
    bootstrap.of_mean('x', np.zeros(0), seed=0)


def test_resampling_cases_equals_resampling_rows():
  rows = np.random.default_rng(0).normal(size=(80, 2))
  by_rows = bootstrap.of_rows(
    lambda sums: {'x': sums[:, 0] - sums[:, 1]}, rows, seed=4
  )
  by_cases = bootstrap.of_cases(
    lambda times: {'x': times @ rows[:, 0] - times @ rows[:, 1]}, 80, seed=4
  )
  assert by_cases['x'] == pytest.approx(by_rows['x'])
  with pytest.raises(ValueError, match='no examples'):
    bootstrap.of_cases(lambda times: {'x': times.sum(1)}, 0, seed=0)


def test_undefined_resamples_do_not_count():
  def statistic(times):
    return {
      'half': np.where(times[:, 0] > 0, 1.0, np.nan),
      'never': np.full(len(times), np.nan),
    }

  got = bootstrap.of_cases(statistic, 10, seed=0)
  assert got['half'] == (1, 1)
  assert np.isnan(got['never']).all()
