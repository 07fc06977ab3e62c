"""What a model is worth to each group of people, and which gaps are no chance.

A metric is a ratio of sums over examples: right answers to examples, errors to
reference words. Examples of one speaker or patient, a cluster, are alike:
intervals draw clusters, and tests move them as a whole (Liu and Peng, 2020).
"""

import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recog_jax.metrics import bootstrap
from recog_jax.metrics.calibration import calibration_error

# Of a group that is compared with others at least.
SMALLEST = 10
# Shuffles of a test.
_SHUFFLES = 2000
_LEVEL, _POWER = 0.05, 0.8
# Numbers held at a time.
_CHUNK = 1 << 22


@dataclasses.dataclass(frozen=True)
class Scores:
  """What a task knows of each example.

  Attributes:
    name: of the metric.
    higher_is_better: of it.
    numerator: float `n`, such as errors.
    denominator: float `n`, such as reference words.
    target: int `n`, of a classification; None of others.
    predicted: int `n`.
    confidence: float `n` in 0..1, of the prediction.
  """

  name: str
  higher_is_better: bool
  numerator: np.ndarray
  denominator: np.ndarray
  target: np.ndarray | None = None
  predicted: np.ndarray | None = None
  confidence: np.ndarray | None = None


class _How(NamedTuple):
  """See `by_group`."""

  smallest: int
  shuffles: int
  seed: int


def crossed(
  fields: Mapping[str, Sequence[str]], names: Sequence[str]
) -> dict[str, list[str]]:
  """The fields, and the intersection of all of them where there are several.

  Args:
    fields: n values of each name.
    names: of fields.

  Returns:
    {'gender': ..., 'age': ..., 'gender x age': ...}, n values each.
  """
  found = {name: [str(v) for v in fields[name]] for name in names}
  if len(names) > 1:
    rows = zip(*(found[name] for name in names), strict=True)
    found[' x '.join(names)] = [' x '.join(row) for row in rows]
  return found


def by_group(
  scores: Scores,
  fields: Mapping[str, Sequence[str]],
  clusters: Sequence[str] | None = None,
  *,
  smallest: int = SMALLEST,
  shuffles: int = _SHUFFLES,
  seed: int = 0,
) -> dict[str, dict[str, Any]]:
  """The metric of each group of each field, gaps, and tests of them.

  A group is compared with all others of its field together that are large
  enough, by a permutation of the studentised difference. Where each cluster is
  in one group, whole clusters are exchanged; where clusters are in several,
  their examples among themselves. All p values of a call are corrected together
  (Holm, 1979).

  Args:
    scores: of n examples.
    fields: n values of each name.
    clusters: the cluster of each example; None: each is its own.
    smallest: examples that a group needs to be compared; and it needs two
      clusters.
    shuffles: of a test, see `permutation_p`.
    seed: of intervals and tests.

  Returns:
    By field `groups`, by value `examples`, `clusters`, `value`, `ci95`,
    `compared`, and of those compared `difference` from the others, `p`,
    `p_holm` and `detectable`: the difference that would have been found in 80
    of 100 such sets, at a level of 5 %, without correction. Of a classification
    `calibration_error` too. Beside it `gap` of the highest and the lowest
    value, `gap_ci95`, `ratio` of the lowest to the highest, `worst`, and of a
    classification `equalised_odds_difference`.
  """
  own = np.arange(len(scores.numerator))
  unit = own if clusters is None else _codes(clusters)[1]
  found, tests = {}, []
  for name, values in fields.items():
    labels, codes = _codes(values)
    # A field that names the clusters has one in each group.
    drawn = unit if _varied(codes, unit) else own
    how = _How(smallest, shuffles, seed)
    table, p = _field(scores, labels, codes, drawn, how)
    found[name] = table
    tests += [(table['groups'][label], value) for label, value in p.items()]
  # The one comparison of two groups is one test, though it stands twice.
  distinct = {id(value): value[0] for _, value in tests}
  corrected = dict(zip(distinct, holm(list(distinct.values())), strict=True))
  for row, value in tests:
    row['p'], row['p_holm'] = value[0], corrected[id(value)]
  return found


def _codes(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
  names, codes = np.unique(np.asarray(values, object), return_inverse=True)
  return [str(name) for name in names], codes


def _varied(codes: np.ndarray, unit: np.ndarray) -> bool:
  """Whether some group has two clusters."""
  pairs = np.unique(np.stack([codes, unit]), axis=1)
  return bool((np.bincount(pairs[0]) > 1).any())


def _field(
  scores: Scores,
  labels: Sequence[str],
  codes: np.ndarray,
  unit: np.ndarray,
  how: _How,
) -> tuple[dict[str, Any], dict[str, list[float]]]:
  num, den = scores.numerator, scores.denominator
  k, (_, unit) = len(labels), np.unique(unit, return_inverse=True)
  sizes = np.bincount(codes, minlength=k)
  units = [len(np.unique(unit[codes == g])) for g in range(k)]
  fits = np.array(
    [n >= how.smallest and u > 1 for n, u in zip(sizes, units, strict=True)]
  )
  sums = np.zeros((unit.max() + 1, 2, k))
  np.add.at(sums, (unit, 0, codes), num)
  np.add.at(sums, (unit, 1, codes), den)
  whole = sums.sum(0)

  def statistic(drawn):
    drawn = drawn.reshape(len(drawn), 2, k)
    with np.errstate(invalid='ignore', divide='ignore'):
      rates = drawn[:, 0] / drawn[:, 1]
    values = {label: rates[:, g] for g, label in enumerate(labels)}
    if fits.sum() > 1:
      values[_GAP] = np.ptp(rates[:, fits], axis=1)
    return values

  values = {name: float(v[0]) for name, v in statistic(whole[None]).items()}
  intervals = bootstrap.of_rows(
    statistic, sums.reshape(len(sums), -1), seed=how.seed
  )
  table: dict[str, Any] = {'groups': {}}
  for g, label in enumerate(labels):
    row = {
      'examples': int(sizes[g]),
      'clusters': int(units[g]),
      'value': values[label],
      'ci95': _interval(values[label], intervals[label], units[g]),
      'compared': bool(fits[g] and fits.sum() > 1),
    }
    if scores.confidence is not None:
      here = codes == g
      right = scores.predicted[here] == scores.target[here]
      row['calibration_error'] = calibration_error(
        scores.confidence[here], right
      )
    table['groups'][label] = row
  p: dict[str, list[float]] = {}
  if fits.sum() > 1:
    table |= _gaps(scores, labels, codes, fits, values, intervals)
    p = _tests(scores, labels, codes, unit, fits, table['groups'], how)
  return table, p


def _interval(
  value: float, drawn: tuple[float, float], clusters: int
) -> list[float]:
  """The bootstrap's, but where it has no width: all of a group right, or wrong.

  There it is that of as many independent draws (Clopper and Pearson, 1934).
  """
  if drawn[0] != drawn[1] or value not in (0.0, 1.0):
    return list(drawn)
  far = (_LEVEL / 2) ** (1 / clusters)
  return [far, 1.0] if value else [0.0, 1 - far]


_GAP = ('gap',)  # No label of a group, which are texts.


def _gaps(scores, labels, codes, fits, values, intervals) -> dict[str, Any]:
  compared = {labels[g]: values[labels[g]] for g in np.flatnonzero(fits)}
  low, high = min(compared.values()), max(compared.values())
  choose = min if scores.higher_is_better else max
  found = {
    'gap': values[_GAP],
    'gap_ci95': list(intervals[_GAP]),
    'ratio': low / high if high else float('nan'),
    'worst': choose(compared, key=compared.__getitem__),
  }
  if scores.target is not None and scores.predicted is not None:
    among = fits[codes]
    found['equalised_odds_difference'] = equalised_odds_difference(
      scores.target[among], scores.predicted[among], codes[among]
    )
  return found


def _tests(
  scores, labels, codes, unit, fits, rows, how: _How
) -> dict[str, list[float]]:
  """A list of one p value of each group; two groups share theirs."""
  among = fits[codes]
  num, den = scores.numerator[among], scores.denominator[among]
  codes, unit = codes[among], unit[among]
  groups = np.flatnonzero(fits)
  found: dict[str, list[float]] = {}
  for g in groups:
    inside = codes == g
    rest = num[~inside].sum() / max(den[~inside].sum(), 1e-12)
    row = rows[labels[g]]
    row['difference'] = row['value'] - rest
    row['detectable'] = detectable(num, den, inside, unit)
    if len(groups) == 2 and found:
      found[labels[g]] = next(iter(found.values()))
    else:
      options = {'shuffles': how.shuffles, 'seed': how.seed + int(g)}
      p = permutation_p(num, den, inside, unit, **options)
      found[labels[g]] = [p]
  return found


def detectable(
  numerator: np.ndarray,
  denominator: np.ndarray,
  inside: np.ndarray,
  clusters: np.ndarray,
) -> float:
  """The difference that a test of 5 % would find in 80 of 100 such sets.

  Clusters vary as much on either side as all of them do around one rate: a
  small group without an error has not shown that it varies less.

  Args:
    numerator: float `n`.
    denominator: float `n`.
    inside: bool `n`, the examples of the group.
    clusters: int `n`.
  """
  rate = numerator.sum() / max(denominator.sum(), 1e-12)
  _, unit = np.unique(clusters, return_inverse=True)
  off = np.bincount(unit, numerator - rate * denominator)
  size = np.bincount(unit, denominator)
  spread = (off**2).sum() / max((size**2).sum(), 1e-12)
  variance = 0.0
  for side in (inside, ~inside):
    own = np.bincount(unit[side], denominator[side])
    count = len(np.unique(unit[side]))
    share = (own**2).sum() / max(own.sum(), 1e-12) ** 2
    variance += spread * share * count / max(count - 1, 1)
  normal = statistics.NormalDist()
  errors = normal.inv_cdf(1 - _LEVEL / 2) + normal.inv_cdf(_POWER)
  return float(errors * np.sqrt(variance))


def permutation_p(
  numerator: np.ndarray,
  denominator: np.ndarray,
  inside: np.ndarray,
  clusters: np.ndarray,
  *,
  shuffles: int = _SHUFFLES,
  seed: int = 0,
) -> float:
  """How often chance makes a group differ as much from the others.

  Two-sided, of the difference over its standard error, which holds its level
  where one side varies more (Chung and Romano, 2013, arXiv:1304.5939).

  Args:
    numerator: float `n`.
    denominator: float `n`.
    inside: bool `n`, the examples of the group.
    clusters: int `n`.
    shuffles: how often groups are dealt out anew.
    seed: of that.

  Returns:
    In 1 / (shuffles + 1) ... 1.
  """
  generator = np.random.default_rng(seed)
  pairs = np.unique(np.stack([clusters, inside]), axis=1)
  nested = len(pairs[0]) == len(np.unique(pairs[0]))
  _, unit = np.unique(clusters, return_inverse=True)
  if nested:
    columns = np.stack(
      [np.bincount(unit, numerator), np.bincount(unit, denominator)]
    )
    label = np.zeros(len(columns[0]), bool)
    label[unit[inside]] = True
    own = _studentised(_products(columns), label[None])[0]
    others = np.concatenate(
      [
        _studentised(_products(columns), drawn)
        for drawn in _dealt(label, shuffles, generator)
      ]
    )
  else:
    order = np.argsort(unit, kind='stable')
    num, den, unit = numerator[order], denominator[order], unit[order]
    label = inside[order]
    own = _of_parts(num, den, unit, label)
    others = np.array(
      [
        _of_parts(num, den, unit, label[np.lexsort((draw, unit))])
        for draw in (generator.random(len(unit)) for _ in range(shuffles))
      ]
    )
  higher = (np.abs(others) >= abs(own) - 1e-9).sum()
  return float((1 + higher) / (1 + shuffles))


def _dealt(
  label: np.ndarray, shuffles: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
  """bool `m c`, the labels of c clusters in other orders, m at a time."""
  size = max(1, _CHUNK // len(label))
  for start in range(0, shuffles, size):
    count = min(size, shuffles - start)
    yield generator.permuted(np.tile(label, (count, 1)), axis=1)


def _products(columns: np.ndarray) -> np.ndarray:
  """`c 6`: n, d, n n, n d, d d and 1 of each cluster."""
  n, d = columns
  return np.stack([n, d, n * n, n * d, d * d, np.ones_like(n)], 1)


def _studentised(products: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """`m`: the difference of two ratios over its standard error."""
  inside = labels.astype(np.float64) @ products
  outside = products.sum(0) - inside
  (a, va), (b, vb) = map(_ratio, (inside, outside))
  return _over(a - b, va + vb)


def _ratio(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """A ratio `m` of sums `m 6`, and its variance by linearisation."""
  n, d, nn, nd, dd, count = sums.T
  d = np.maximum(d, 1e-12)
  rate = n / d
  off = nn - 2 * rate * nd + rate**2 * dd
  return rate, np.maximum(off, 0) / d**2 * count / np.maximum(count - 1, 1)


def _of_parts(num, den, unit, inside) -> float:
  """As `_studentised`, of clusters that are on both sides."""
  total = unit.max() + 1
  sides, rates = [], []
  for side in (inside, ~inside):
    d = max(den[side].sum(), 1e-12)
    rates.append(num[side].sum() / d)
    off = num[side] - rates[-1] * den[side]
    sides.append(np.bincount(unit[side], off, total) / d)
  variance = ((sides[0] - sides[1]) ** 2).sum()
  return float(_over(np.array(rates[0] - rates[1]), np.array(variance)))


def _over(difference: np.ndarray, variance: np.ndarray) -> np.ndarray:
  # A spread of 0 makes a difference certain, and no difference nothing.
  return difference / np.sqrt(np.maximum(variance, 1e-24))


def holm(p: Sequence[float]) -> list[float]:
  """p values of m tests, each as large as if it were the only one (Holm, 1979).

  Below a level stay the same ones that his step-down procedure rejects.
  """
  order = np.argsort(p, kind='stable')
  found, highest = [0.0] * len(p), 0.0
  for rank, i in enumerate(order):
    highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
    found[i] = float(highest)
  return found


def equalised_odds_difference(
  target: np.ndarray, predicted: np.ndarray, codes: np.ndarray
) -> float:
  """How far error rates of groups lie apart (Hardt et al., 2016).

  The largest difference between two groups of the rate of true, or of false,
  positives; of more than two classes the largest of each against the rest. A
  rate that a group has no examples for does not count; 0 where none has.

  Args:
    target: int `n`.
    predicted: int `n`.
    codes: int `n`, the groups.
  """
  classes = np.unique(target)
  if len(classes) == 2:
    classes = classes[1:]
  worst = 0.0
  for c, of_class in itertools.product(classes, (True, False)):
    rates = []
    for g in np.unique(codes):
      among = (codes == g) & ((target == c) == of_class)
      if among.any():
        rates.append(float((predicted[among] == c).mean()))
    if len(rates) > 1:
      worst = max(worst, max(rates) - min(rates))
  return worst
