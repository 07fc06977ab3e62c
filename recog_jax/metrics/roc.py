"""What a score is worth at every threshold: ROC curves of one or many classes.

The area under the curve (AUC) is the share of pairs of a positive and a
negative case in which the positive has the higher score, pairs of equal scores
counting half (Hanley and McNeil, "The meaning and use of the area under a
receiver operating characteristic (ROC) curve", Radiology 1982). That is the
trapezoidal area of scikit-learn's `roc_auc_score`.

A case is called positive where score >= threshold. The sensitivity at 90 %
specificity is that at the smallest score of the split, taken as the threshold,
with which at least 90 % of the split's negatives are called negative. If that
holds of no score, the threshold is infinite and nothing is called positive. The
threshold is chosen on the very split that it is reported for, so this describes
the curve and is no estimate for a threshold that was fixed before. Bootstrap
intervals choose it anew in each resample.

A metric that is not defined, because a class is absent, is NaN.
"""

import dataclasses
import functools
from typing import ClassVar

import numpy as np

from recog_jax.metrics import bootstrap

SPECIFICITY = 0.9
# Names of metrics that hold the percentage.
AT_SPECIFICITY = f'sensitivity_at_{SPECIFICITY * 100:.0f}_specificity'
THRESHOLD = f'threshold_at_{SPECIFICITY * 100:.0f}_specificity'


class Ranking:
  """Cases in the order of their scores; each may count several times."""

  def __init__(self, score: np.ndarray, positive: np.ndarray):
    """Sorts once, so that resamples need not.

    Args:
      score: float `n`, higher for cases that are more likely positive.
      positive: bool `n`.
    """
    score = np.asarray(score, np.float64)
    self._order = np.argsort(score, kind='stable')
    ordered = score[self._order]
    self._positive = np.asarray(positive, bool)[self._order]
    self._defined = not np.isnan(score).any()
    new = np.r_[True, ordered[1:] != ordered[:-1]] if len(score) else []
    self._starts = np.flatnonzero(new)
    self.scores = ordered[self._starts]  # float64 `g`, ascending, each once.

  def _cumulated(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives below each score, and of all: int64 `m g+1`."""
    times = times[:, self._order]

    def below(counted: np.ndarray) -> np.ndarray:
      of_score = np.add.reduceat(times * counted, self._starts, axis=1)
      sums = np.zeros((len(times), len(self._starts) + 1), np.int64)
      np.cumsum(of_score, axis=1, out=sums[:, 1:])
      return sums

    return below(self._positive), below(~self._positive)

  def auc(self, times: np.ndarray) -> np.ndarray:
    """Area under the ROC curve.

    Args:
      times: int `m n`, how often each case counts in each of m resamples.

    Returns:
      float64 `m`, NaN without a positive or without a negative.
    """
    positives, negatives = self._cumulated(times)
    # Half of the negatives of the same score, hence the mean of two sums.
    halves = negatives[:, 1:] + negatives[:, :-1]
    # In float64: the number of pairs may be more than an int64 multiplies.
    pairs = (np.diff(positives) * halves.astype(np.float64)).sum(1) / 2
    return self._share(
      pairs, positives[:, -1].astype(np.float64) * negatives[:, -1]
    )

  def sensitivity_at(
    self, times: np.ndarray, specificity: float = SPECIFICITY
  ) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity at a specificity, and the threshold; see the module.

    Args:
      times: int `m n`, as for `auc`.
      specificity: that must be reached, in 0..1.

    Returns:
      Both float64 `m`, NaN where one of the classes is absent.
    """
    positives, negatives = self._cumulated(times)
    # 1 - 0.1 is not 0.9 in floats, and a share of whole cases may be meant.
    wanted = specificity * negatives[:, -1:] * (1 - 1e-12)
    reached = negatives >= wanted
    first = reached.argmax(1)  # At infinity, the last place, it always is.
    found = positives[:, -1] - positives[np.arange(len(times)), first]
    sensitivity = self._share(found, positives[:, -1])
    threshold = np.append(self.scores, np.inf)[first]
    undefined = np.isnan(sensitivity) | (negatives[:, -1] == 0)
    return (
      np.where(undefined, np.nan, sensitivity),
      np.where(undefined, np.nan, threshold),
    )

  def equal_error_rate(self, times: np.ndarray) -> np.ndarray:
    """The rate at which positives are missed as often as negatives pass.

    Between two thresholds both rates are taken to change linearly, as along the
    ROC curve that `auc` is the area under.

    Args:
      times: int `m n`, as for `auc`.

    Returns:
      float64 `m`, NaN where one of the classes is absent.
    """
    positives, negatives = self._cumulated(times)
    missed = self._share(positives, positives[:, -1:])
    passed = 1 - self._share(negatives, negatives[:, -1:])
    apart = missed - passed  # Rises from -1 to 1.
    place = np.maximum((apart >= 0).argmax(1), 1)[:, None]
    before, after = (
      np.take_along_axis(apart, place - k, 1)[:, 0] for k in (1, 0)
    )
    low, high = (np.take_along_axis(missed, place - k, 1)[:, 0] for k in (1, 0))
    return low - before / (after - before) * (high - low)

  def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Operating points of every case once, from the strictest on.

    Returns:
      Thresholds, descending from infinity; the shares of negatives and of
      positives that have at least that score, both ascending from 0 to 1; all
      float64 `g + 1`.
    """
    positives, negatives = self._cumulated(_once(len(self._order)))
    rates = (
      1 - self._share(below, below[:, -1:])[0, ::-1]
      for below in (negatives, positives)
    )
    return np.append(self.scores, np.inf)[::-1], *rates

  def _share(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    found = _ratio(part, whole)
    return found if self._defined else np.full_like(found, np.nan)


@dataclasses.dataclass(frozen=True)
class TwoClasses:
  """AUC, and sensitivity and specificity, of a test for one class.

  Attributes:
    score: float `n`, higher where the class is more likely.
    positive: bool `n`, the class is there.
    prediction: bool `n`, it was said to be there.
    clusters: int `n`, of 0..c-1, the patients, whose cases intervals draw
      together; None: each case alone.
  """

  score: np.ndarray
  positive: np.ndarray
  prediction: np.ndarray
  clusters: np.ndarray | None = None

  # What `compute` gives, but for the threshold, of which more is not better.
  NAMES: ClassVar = ('auc', 'sensitivity', 'specificity', AT_SPECIFICITY)

  @functools.cached_property
  def _ranking(self) -> Ranking:
    return Ranking(self.score, self.positive)

  def _statistic(self, times: np.ndarray) -> dict[str, np.ndarray]:
    positive, said = self.positive, self.prediction
    return {
      'auc': self._ranking.auc(times),
      'sensitivity': _ratio(times @ (positive & said), times @ positive),
      'specificity': _ratio(times @ ~(positive | said), times @ ~positive),
      AT_SPECIFICITY: self._ranking.sensitivity_at(times)[0],
    }

  def compute(self) -> dict[str, float]:
    """`auc`; `sensitivity` and `specificity` of the predictions; and both the
    sensitivity at 90 % specificity and its threshold.

    Raises:
      ValueError: no examples.
    """
    once = _once(len(self.score))
    values = self._statistic(once)
    values[THRESHOLD] = self._ranking.sensitivity_at(once)[1]
    return {name: float(value[0]) for name, value in values.items()}

  def intervals(self, *, seed: int = 0) -> bootstrap.Intervals:
    """95 % bootstrap intervals of all but the threshold, by name."""
    return bootstrap.of_cases(
      self._statistic, len(self.score), seed=seed, clusters=self.clusters
    )


@dataclasses.dataclass(frozen=True)
class OneVersusRest:
  """AUC of each class against all others, and their unweighted mean.

  Only classes that have positives and negatives count in the mean. With labels
  that are all there this is scikit-learn's `roc_auc_score(average='macro',
  multi_class='ovr')`.

  Attributes:
    scores: float `n v`.
    positive: bool `n v`, one label or several in a row.
    known: bool `n v`, False where nobody looked for the label, so that it does
      not count; None: all are known.
    clusters: see `TwoClasses`.
  """

  scores: np.ndarray
  positive: np.ndarray
  known: np.ndarray | None = None
  clusters: np.ndarray | None = None

  NAMES: ClassVar = ('auc',)  # What `compute` gives.

  @functools.cached_property
  def _rankings(self) -> list[Ranking]:
    columns = zip(self.scores.T, self.positive.T, strict=True)
    return [Ranking(*column) for column in columns]

  def _per_class(self, times: np.ndarray) -> np.ndarray:
    """float64 `v m`."""
    known = self.known
    return np.stack(
      [
        ranking.auc(times if known is None else times * known[:, k])
        for k, ranking in enumerate(self._rankings)
      ]
    )

  def _statistic(self, times: np.ndarray) -> dict[str, np.ndarray]:
    values = self._per_class(times)
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0).sum(0)
    return {'auc': _ratio(total, defined.sum(0))}

  def per_class(self) -> np.ndarray:
    """AUC of each class, float64 `v`."""
    return self._per_class(_once(len(self.scores)))[:, 0]

  def compute(self) -> dict[str, float]:
    """`auc`, the mean over the classes.

    Raises:
      ValueError: no examples.
    """
    values = self._statistic(_once(len(self.scores)))
    return {'auc': float(values['auc'][0])}

  def intervals(self, *, seed: int = 0) -> bootstrap.Intervals:
    """95 % bootstrap interval of the mean, by its name."""
    return bootstrap.of_cases(
      self._statistic, len(self.scores), seed=seed, clusters=self.clusters
    )


def _once(total: int) -> np.ndarray:
  """One resample: every case as it is."""
  if not total:
    raise ValueError('no examples: there is nothing to compute metrics of')
  return np.ones((1, total), np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """Quotient in float64; over 0 it is NaN."""
  return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
