"""Percentile bootstrap intervals (Efron, "Bootstrap methods", 1979).

Examples are drawn with replacement, as many as there are, and the statistic is
computed again; the interval holds the middle of what comes out. It is a
statement on which examples were in the test set, not on the training's seed.
A set without a single error gives an interval of width zero. Resamples of which
a statistic is not defined (NaN) do not count for it; where it is defined of
none, the interval is NaN.
"""

from collections.abc import Callable, Sequence

import numpy as np

# Maps sums or counts of m resamples, `m k`, to values `m` by name.
Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]

Intervals = dict[str, tuple[float, float]]

# Numbers held at a time, so that many classes or rows need no more memory.
_CHUNK = 1 << 22


def of_counts(
  statistic: Statistic,
  counts: np.ndarray,
  *,
  seed: int,
  n: int = 1000,
  level: float = 0.95,
) -> Intervals:
  """Intervals for a function of how many examples are of which kind.

  Args:
    statistic: maps int `m k` to values `m` by name.
    counts: int `k`, for example the cells of a confusion matrix.
    seed: the same seed and counts give the same intervals.
    n: number of resamples.
    level: share of the resamples that the interval holds.

  Raises:
    ValueError: no examples.
  """
  counts = np.asarray(counts)
  total = _some(int(counts.sum()))
  generator = np.random.default_rng(seed)
  return _percentiles(
    (
      statistic(generator.multinomial(total, counts / total, size=size))
      for size in _sizes(n, len(counts))
    ),
    level,
  )


def of_rows(
  statistic: Statistic,
  rows: np.ndarray,
  *,
  seed: int,
  n: int = 1000,
  level: float = 0.95,
) -> Intervals:
  """Intervals for a function of sums over the examples.

  Word error rate is one: errors and reference words are the two columns, and
  their ratio is the statistic.

  Args:
    statistic: maps float64 `m k` (column sums) to values `m` by name.
    rows: `n k`, one row an example.
    seed: the same seed and rows give the same intervals.
    n: number of resamples.
    level: share of the resamples that the interval holds.

  Raises:
    ValueError: no examples.
  """
  rows = np.asarray(rows, np.float64)
  total = _some(len(rows))
  generator = np.random.default_rng(seed)

  def sums(size):
    drawn = generator.integers(0, total, (size, total))
    if rows.shape[1] == 1:
      return rows[:, 0][drawn].sum(1, keepdims=True)
    return _times(drawn).astype(np.float64) @ rows

  return _percentiles(
    (statistic(sums(size)) for size in _sizes(n, total)), level
  )


def of_cases(
  statistic: Statistic,
  total: int,
  *,
  seed: int,
  n: int = 1000,
  level: float = 0.95,
  clusters: np.ndarray | None = None,
) -> Intervals:
  """Intervals for what is neither counts nor sums: of a ranking, for example.

  Args:
    statistic: maps int64 `m total`, how often each example was drawn, to values
      `m` by name.
    total: number of examples.
    seed: the same seed gives the same resamples.
    n: number of resamples.
    level: share of the resamples that the interval holds.
    clusters: int `total`, of 0..c-1; the examples of one (a patient) are drawn
      together. None: each alone.

  Raises:
    ValueError: no examples.
  """
  generator = np.random.default_rng(seed)
  units = _some(total) if clusters is None else int(clusters.max()) + 1

  def drawn(size: int) -> np.ndarray:
    times = _times(generator.integers(0, units, (size, units)))
    return times if clusters is None else times[:, clusters]

  return _percentiles(
    (statistic(drawn(size)) for size in _sizes(n, total)), level
  )


def codes(values: Sequence[str] | np.ndarray) -> np.ndarray:
  """int64 `n`, a number of 0..c-1 for each of n names, or of n numbers."""
  return np.unique(np.asarray(values), return_inverse=True)[1].ravel()


def by_cluster(rows: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
  """Rows `n k` summed over the members of each cluster, `c k`, for `of_rows`.

  Args:
    rows: one an example.
    clusters: int `n`, of 0..c-1; None leaves them as they are.
  """
  if clusters is None:
    return rows
  sums = np.zeros((int(clusters.max()) + 1, rows.shape[1]))
  np.add.at(sums, clusters, rows)
  return sums


def of_cells(
  statistic: Statistic,
  cell: np.ndarray,
  clusters: np.ndarray | None,
  *,
  seed: int,
) -> Intervals:
  """As `of_counts`, of examples whose kinds are numbered; whole clusters drawn.

  Args:
    statistic: see `of_counts`.
    cell: int `n`, the kind of each example, 0..k-1.
    clusters: see `of_cases`.
    seed: see `of_counts`.
  """
  if clusters is None:
    return of_counts(statistic, np.bincount(cell), seed=seed)
  sums = np.zeros((int(clusters.max()) + 1, int(cell.max()) + 1))
  np.add.at(sums, (clusters, cell), 1)
  return of_rows(statistic, sums, seed=seed)


def share(values: np.ndarray, seed: int = 0) -> tuple[float, list[float]]:
  """The mean of bool `n`, and its 95 % interval [low, high]."""
  values = np.asarray(values, np.float64)
  interval = of_mean('share', values, seed=seed)['share']
  return float(values.mean()), list(interval)


def of_mean(
  name: str,
  values: np.ndarray,
  clusters: np.ndarray | None = None,
  **options,
) -> Intervals:
  """The interval of a mean over the examples; options as in `of_rows`."""
  values = np.asarray(values)
  if clusters is None:
    return of_rows(
      lambda sums: {name: sums[:, 0] / len(values)}, values[:, None], **options
    )
  rows = np.stack([values, np.ones(len(values))], 1)
  return of_rows(
    lambda sums: {name: sums[:, 0] / sums[:, 1]},
    by_cluster(rows, clusters),
    **options,
  )


def _some(total: int) -> int:
  if not total:
    raise ValueError('no examples: there is nothing to draw from')
  return total


def _times(drawn: np.ndarray) -> np.ndarray:
  """int64 `m n`: how often each of n examples is in int `m n` draws."""
  return np.stack([np.bincount(row, minlength=len(row)) for row in drawn])


def _sizes(n: int, width: int) -> list[int]:
  """Cuts n resamples of `width` numbers each into pieces of bounded size."""
  size = max(1, _CHUNK // max(width, 1))
  return [min(size, n - start) for start in range(0, n, size)]


def _percentiles(pieces, level: float) -> Intervals:
  pieces = list(pieces)
  tail = 50 * (1 - level)
  result = {}
  for name in pieces[0]:
    values = np.concatenate([piece[name] for piece in pieces])
    values = values[~np.isnan(values)]
    low = high = np.nan
    if len(values):
      low, high = np.percentile(values, [tail, 100 - tail])
    result[name] = (float(low), float(high))
  return result


def interval_of_mean(
  shares: list[float], count: int, seed: int = 0
) -> tuple[float, float]:
  """95 % interval of the mean accuracy of some runs on one test set.

  Two sources vary it: which images were drawn, and the seed of a run. Both are
  drawn anew: the seeds with replacement, and for each the number of its right
  answers.

  Args:
    shares: accuracy of each run.
    count: test images.
    seed: of the resampling.
  """
  rng = np.random.default_rng(seed)
  drawn = rng.choice(shares, (2000, len(shares)))
  right = rng.binomial(count, drawn) / count
  low, high = np.percentile(right.mean(1), [2.5, 97.5])
  return float(low), float(high)
