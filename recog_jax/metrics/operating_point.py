"""What a test does at a threshold that was fixed before it is measured.

A case is called positive where its score >= threshold. The threshold is chosen
by a rule on one split, and what it is worth is measured on another: an
operating point of a split's own ROC curve promises too much.

Rules, as texts:

  sensitivity 0.9  the highest threshold that finds 90 % of the positive cases
  specificity 0.9  the lowest one that leaves 90 % of the negative ones alone
  youden           the highest sum of both (Youden, "Index for rating diagnostic
                   tests", 1950)
  cost 5           the lowest cost, where a positive case that is missed costs
                   as much as five false alarms

What a positive answer means depends on how many of those tested are ill, which
is seldom as in the split: predictive values are given for any prevalence, by
Bayes' rule. Whether a test is worth having at all is asked by its net benefit
(Vickers and Elkin, "Decision curve analysis", 2006).
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence

import numpy as np

from recog_jax.metrics import bootstrap
from recog_jax.metrics.roc import Ranking

_NUMBERED = {
  'sensitivity': (0, 1),
  'specificity': (0, 1),
  'cost': (0, math.inf),
}
_LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Rule:
  """How a threshold is chosen; see the module.

  Attributes:
    kind: 'sensitivity', 'specificity', 'youden' or 'cost'.
    value: its number; 0 of 'youden'.
  """

  kind: str
  value: float = 0.0

  def __str__(self) -> str:
    return f'{self.kind} {self.value:g}' if self.kind in _NUMBERED else 'youden'


def rule(text: str) -> Rule:
  """Reads a rule.

  Raises:
    ValueError: it is none, in one sentence.
  """
  kind, _, number = str(text).strip().partition(' ')
  if kind == 'youden' and not number:
    return Rule(kind)
  try:
    value = float(number)
  except ValueError:
    value = math.nan
  low, high = _NUMBERED.get(kind, (1, 0))
  if not (low < value <= high and math.isfinite(value)):
    raise ValueError(
      f"'{text}' is no operating point: take 'sensitivity 0.9', 'specificity "
      "0.9' (above 0, at most 1), 'youden' or 'cost 5' (above 0)"
    )
  return Rule(kind, value)


def choose(rule: Rule, score: np.ndarray, positive: np.ndarray) -> float:
  """The threshold of a rule; a score of the split, or infinity.

  Args:
    rule: see the module.
    score: float `n`, higher where the class is more likely.
    positive: bool `n`, the class is there.

  Raises:
    ValueError: only one of both kinds of cases is there, or a score is NaN.
  """
  positive = np.asarray(positive, bool)
  if positive.all() or not positive.any():
    raise ValueError(
      'a threshold needs positive and negative cases, and these are all '
      + ('positive' if len(positive) and positive.all() else 'negative')
    )
  if np.isnan(score).any():
    raise ValueError('a threshold cannot be chosen: the model gives NaN')
  # From infinity downwards, so that the first of equals is the highest.
  thresholds, false_alarms, found = Ranking(score, positive).curve()
  share = positive.mean()
  if rule.kind == 'sensitivity':
    at = int((found >= rule.value * (1 - 1e-12)).argmax())
  elif rule.kind == 'specificity':
    fits = 1 - false_alarms >= rule.value * (1 - 1e-12)
    at = int(np.flatnonzero(fits)[-1])
  elif rule.kind == 'youden':
    at = int(np.round(found - false_alarms, 12).argmax())
  else:
    costs = rule.value * share * (1 - found) + (1 - share) * false_alarms
    at = int(np.round(costs, 12).argmin())
  return float(thresholds[at])


@dataclasses.dataclass(frozen=True)
class Point:
  """A test at one threshold, on cases that did not choose it.

  Attributes:
    positive: bool `n`.
    called: bool `n`, the score reaches the threshold.
    clusters: int `n`, of 0..c-1, the patients; None: each case is one.
  """

  positive: np.ndarray
  called: np.ndarray
  clusters: np.ndarray | None = None

  def _counts(self) -> np.ndarray:
    """True positives, false negatives, false positives, true negatives."""
    right = np.where(self.called, 0, 1)
    cell = np.where(self.positive, right, right + 2)
    return np.eye(4)[cell]

  def compute(self) -> dict[str, float]:
    """`sensitivity`, `specificity`, `ppv`, `npv`, `called` (shares).

    The predictive values are those of the split's own share of positives; one
    over 0 is NaN.
    """
    values = _rates(self._counts().sum(0, keepdims=True))
    return {name: float(value[0]) for name, value in values.items()}

  def intervals(self, *, seed: int = 0) -> bootstrap.Intervals:
    """95 % intervals of `compute`, by name.

    Of single cases Wilson's, which is right where no error was made, too
    (Wilson, "Probable inference, the law of succession, and statistical
    inference", 1927); of patients with several cases a bootstrap over patients.
    """
    counts = self._counts()
    if self.clusters is not None:
      rows = bootstrap.by_cluster(counts, self.clusters)
      return bootstrap.of_rows(_rates, rows, seed=seed)
    tp, fn, fp, tn = counts.sum(0)
    return {
      'sensitivity': wilson(tp, tp + fn),
      'specificity': wilson(tn, tn + fp),
      'ppv': wilson(tp, tp + fp),
      'npv': wilson(tn, tn + fn),
      'called': wilson(tp + fp, len(counts)),
    }

  def at_prevalence(
    self, prevalences: Sequence[float], *, seed: int = 0
  ) -> dict[str, list]:
    """Predictive values where other shares of those tested are ill.

    Args:
      prevalences: k shares in 0..1.
      seed: of the resampling.

    Returns:
      `prevalence`, `ppv` and `npv`, k floats each, and `ppv_ci95`, `npv_ci95`,
      k pairs: positives and negatives are drawn anew, by patient.
    """
    counts = self._counts()
    p = np.asarray(prevalences, np.float64)

    def statistic(sums: np.ndarray) -> dict[str, np.ndarray]:
      values = _rates(sums)
      ppv, npv = predictive_values(
        values['sensitivity'][:, None], values['specificity'][:, None], p
      )
      names = range(len(p))
      return {f'ppv{i}': ppv[:, i] for i in names} | {
        f'npv{i}': npv[:, i] for i in names
      }

    own = statistic(counts.sum(0, keepdims=True))
    rows = bootstrap.by_cluster(counts, self.clusters)
    drawn = bootstrap.of_rows(statistic, rows, seed=seed)
    found: dict[str, list] = {'prevalence': p.tolist()}
    for name in ('ppv', 'npv'):
      keys = [f'{name}{i}' for i in range(len(p))]
      found[name] = [float(own[key][0]) for key in keys]
      found[f'{name}_ci95'] = [list(drawn[key]) for key in keys]
    return found


def predictive_values(
  sensitivity: np.ndarray, specificity: np.ndarray, prevalence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Positive and negative predictive value by Bayes' rule; 0 / 0 is NaN."""
  hits = sensitivity * prevalence
  alarms = (1 - specificity) * (1 - prevalence)
  misses = (1 - sensitivity) * prevalence
  clear = specificity * (1 - prevalence)
  return _ratio(hits, hits + alarms), _ratio(clear, clear + misses)


def wilson(part: float, whole: float) -> tuple[float, float]:
  """Wilson's 95 % interval of a share; NaN of none."""
  if not whole:
    return math.nan, math.nan
  z = statistics.NormalDist().inv_cdf((1 + _LEVEL) / 2)
  p, n = part / whole, whole
  middle = p + z * z / (2 * n)
  width = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  scale = 1 + z * z / n
  return (
    float(max(0.0, (middle - width) / scale)),
    float(min(1.0, (middle + width) / scale)),
  )


def net_benefit(
  score: np.ndarray, positive: np.ndarray, thresholds: np.ndarray
) -> dict[str, np.ndarray]:
  """The decision curve: true positives less what false alarms cost.

  At threshold t, from which on somebody wants to be treated, a false alarm
  costs t / (1 - t) of what a true positive is worth.

  Args:
    score: float `n`, a calibrated probability in 0..1.
    positive: bool `n`.
    thresholds: float `k` in 0..1, below 1.

  Returns:
    float64 `k` each, in true positives a case: `model`, and `all`, where
    everybody is treated; where nobody is it is 0.
  """
  positive = np.asarray(positive, bool)
  t = np.asarray(thresholds, np.float64)
  called = np.asarray(score)[:, None] >= t
  odds = t / (1 - t)
  true = (called & positive[:, None]).mean(0)
  false = (called & ~positive[:, None]).mean(0)
  share = positive.mean()
  return {
    'model': true - false * odds,
    'all': share - (1 - share) * odds,
  }


def abstention(
  confidence: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
  """How right the answers are if the least sure ones are not given.

  El-Yaniv and Wiener, "On the foundations of noise-free selective
  classification", 2010. Answers of one confidence are kept or left together.

  Args:
    confidence: float `n`.
    right: bool `n`.

  Returns:
    The shares that are answered, ascending, and the share of these that is
    right, float64 `k` each; and the mean error over all shares answered (the
    area under the risk-coverage curve), 0 at best.
  """
  order = np.argsort(-np.asarray(confidence), kind='stable')
  ordered = np.asarray(confidence)[order]
  n = len(order)
  kept = np.arange(1, n + 1)
  good = np.cumsum(np.asarray(right, np.float64)[order])
  last = np.r_[ordered[1:] != ordered[:-1], True] if n else np.zeros(0, bool)
  coverage, accuracy = kept[last] / n, (good / kept)[last]
  steps = np.diff(coverage, prepend=0)
  return coverage, accuracy, float(((1 - accuracy) * steps).sum())


def _rates(sums: np.ndarray) -> dict[str, np.ndarray]:
  """Rates of counts `m 4`, see `Point`."""
  tp, fn, fp, tn = np.asarray(sums, np.float64).T
  return {
    'sensitivity': _ratio(tp, tp + fn),
    'specificity': _ratio(tn, tn + fp),
    'ppv': _ratio(tp, tp + fp),
    'npv': _ratio(tn, tn + fn),
    'called': _ratio(tp + fp, tp + fn + fp + tn),
  }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  whole = np.asarray(whole, np.float64)
  return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
