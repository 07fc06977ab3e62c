"""Whether probabilities are what they say: calibration, and its repair.

A model is calibrated if of the answers that it gives with probability p a share
p is right. The error is measured with bins of one width (ECE) and of one size
(adaptive ECE, Nguyen and O'Connor, "Posterior calibration and exploratory
analysis for natural language processing models", 2015), and without any by the
Brier score, which also falls with better discrimination. All three are of the
examples at hand: of few, both bin errors are above 0 by chance alone.

One number repairs most of it: all logits are divided by a temperature that
minimises the negative log-likelihood of a split that was not trained on (Guo et
al., "On calibration of modern neural networks", 2017). No decision of one class
changes by it.
"""

import dataclasses

import numpy as np

from recog_jax.metrics import bootstrap

BINS = 15
# Temperatures that are tried, and those between which a fit has found one.
# Beyond, the loss hardly changes.
LOWEST, HIGHEST = 0.02, 50.0
_FOUND = (0.2, 20.0)


@dataclasses.dataclass(frozen=True)
class Bins:
  """Examples by their confidence.

  Attributes:
    count: int64 `k`, examples of each bin; none is empty.
    confidence: float64 `k`, its mean in the bin.
    right: float64 `k`, the share that is right.
  """

  count: np.ndarray
  confidence: np.ndarray
  right: np.ndarray

  def error(self) -> float:
    """The mean distance of both, by examples."""
    gap = np.abs(self.confidence - self.right)
    return float((self.count * gap).sum() / max(self.count.sum(), 1))


def in_bins(
  confidence: np.ndarray,
  right: np.ndarray,
  *,
  bins: int = BINS,
  adaptive: bool = False,
) -> Bins:
  """The reliability diagram's points.

  Args:
    confidence: float `n` in 0..1.
    right: bool `n`, or of one class: whether it is there.
    bins: how many at most.
    adaptive: bins of as many examples each, in place of one width.
  """
  confidence = np.asarray(confidence, np.float64)
  right = np.asarray(right, np.float64)
  if adaptive:
    order = np.argsort(confidence, kind='stable')
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order)) * bins // max(len(order), 1)
  else:
    number = np.clip((confidence * bins).astype(int), 0, bins - 1)
  count = np.bincount(number, minlength=bins)
  full = count > 0

  def mean(values: np.ndarray) -> np.ndarray:
    return np.bincount(number, values, bins)[full] / count[full]

  return Bins(count[full], mean(confidence), mean(right))


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
  """Expected calibration error (Guo et al., 2017), 15 bins of one width.

  Of few examples it is above 0 by chance alone.

  Args:
    confidence: `n` in 0..1.
    right: bool `n`.
  """
  return in_bins(confidence, right).error()


def gaps(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
  """float64 `n k`: confidence less right, each in the column of its bin.

  The sum of the absolute sums of the columns, over the examples, is the
  expected calibration error: so resamples need no bins of their own.
  """
  confidence = np.asarray(confidence, np.float64)
  number = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
  found = np.zeros((len(number), BINS))
  found[np.arange(len(number)), number] = confidence - right
  return found


def brier(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
  """The squared error of each example's probabilities, float64 `n`.

  Brier, "Verification of forecasts expressed in terms of probability", 1950:
  the sum over the classes. Of two classes, and of labels, it is that of the one
  probability, which is half of that sum.

  Args:
    probabilities: float `n v`, or `n` of one class or label.
    target: int `n`, the class; or 0 and 1 `n` where there is one probability.
  """
  p = np.asarray(probabilities, np.float64)
  if p.ndim == 1:
    return (p - target) ** 2
  if p.shape[1] == 2:
    return (p[:, 1] - target) ** 2
  return ((p - np.eye(p.shape[1])[target]) ** 2).sum(1)


def probabilities(
  logits: np.ndarray, temperature: float = 1.0, *, sigmoid: bool = False
) -> np.ndarray:
  """Probabilities float64 `n v`; in float32 those near 1 would be one number.

  Args:
    logits: float `n v`.
    temperature: that they are divided by, above 0.
    sigmoid: of labels, each for itself; else a softmax over classes.
  """
  scaled = np.asarray(logits, np.float64) / temperature
  if sigmoid:
    return np.exp(-np.logaddexp(0, -scaled))
  exp = np.exp(scaled - scaled.max(1, keepdims=True))
  return exp / exp.sum(1, keepdims=True)


def log_loss(
  logits: np.ndarray,
  target: np.ndarray,
  temperature: float = 1.0,
  *,
  sigmoid: bool = False,
) -> float:
  """Mean negative log-likelihood in nats.

  Args:
    logits: float `n v`.
    target: int `n`, the class; of labels float `n v`, 0 and 1, and NaN where it
      is not known, which does not count.
    temperature: that logits are divided by.
    sigmoid: see `probabilities`.
  """
  scaled = np.asarray(logits, np.float64) / temperature
  target = np.asarray(target)
  if sigmoid:
    if target.ndim == 1:
      target = np.eye(scaled.shape[1])[target]
    losses = np.logaddexp(0, np.where(target > 0.5, -scaled, scaled))
    return float(losses[~np.isnan(target)].mean())
  top = scaled.max(1, keepdims=True)
  whole = top[:, 0] + np.log(np.exp(scaled - top).sum(1))
  return float((whole - scaled[np.arange(len(target)), target]).mean())


def fit_temperature(
  logits: np.ndarray, target: np.ndarray, *, sigmoid: bool = False
) -> float:
  """The temperature of the lowest `log_loss`, within LOWEST..HIGHEST.

  The loss is convex in 1 / T, so there is one minimum. Where each example is
  right the lowest temperature is the best one, and where answers are worse than
  chance the highest: nothing was learned from such a split, see `at_bound`.

  Args:
    logits: float `n v` of a split that was not trained on.
    target: see `log_loss`.
    sigmoid: see `probabilities`.

  Raises:
    ValueError: no example, or a logit that is no number.
  """
  logits = np.asarray(logits, np.float64)
  if not len(logits):
    raise ValueError('there is no example to fit a temperature on')
  if not np.isfinite(logits).all():
    raise ValueError('a temperature cannot be fitted: the model gives NaN')
  # Metrics of every task import this module, and few fit a temperature.
  from scipy import optimize

  found = optimize.minimize_scalar(
    lambda t: log_loss(logits, target, float(np.exp(t)), sigmoid=sigmoid),
    bounds=(np.log(LOWEST), np.log(HIGHEST)),
    method='bounded',
    options={'xatol': 1e-6},
  )
  return float(np.exp(found.x))


def at_bound(temperature: float) -> bool:
  """Whether the fit ran towards an end of what is tried, and found nothing."""
  return not _FOUND[0] < temperature < _FOUND[1]


@dataclasses.dataclass(frozen=True)
class Calibration:
  """The errors of some answers.

  Attributes:
    confidence: float `n`, the probability of what was answered.
    right: bool `n`.
    squares: float `n`, see `brier`.
  """

  confidence: np.ndarray
  right: np.ndarray
  squares: np.ndarray

  def compute(self) -> dict[str, float]:
    """`ece`, `adaptive_ece` and `brier`."""
    adaptive = in_bins(self.confidence, self.right, adaptive=True)
    return {
      'ece': calibration_error(self.confidence, self.right),
      'adaptive_ece': adaptive.error(),
      'brier': float(self.squares.mean()),
    }

  def intervals(
    self, clusters: np.ndarray | None = None, *, seed: int = 0
  ) -> bootstrap.Intervals:
    """95 % bootstrap intervals of `ece` and `brier`.

    That of a bin error lies too high, since a resample has bins of fewer
    different examples.

    Args:
      clusters: int `n`, whose members are drawn together; None: each alone.
      seed: of the resampling.
    """
    each = gaps(self.confidence, self.right)
    rows = np.column_stack([each, self.squares, np.ones(len(each))])
    return bootstrap.of_rows(
      lambda sums: {
        'ece': np.abs(sums[:, :BINS]).sum(1) / sums[:, -1],
        'brier': sums[:, BINS] / sums[:, -1],
      },
      bootstrap.by_cluster(rows, clusters),
      seed=seed,
    )
