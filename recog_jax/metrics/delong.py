"""Whether one of two models ranks the same cases better than the other.

DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more
correlated receiver operating characteristic curves", Biometrics 1988, by ranks
as in Sun and Xu, "Fast implementation of DeLong's algorithm", 2014. It takes
each case as one patient; where patients have several, draw patients instead.
"""

import dataclasses

import numpy as np
import scipy.stats


@dataclasses.dataclass(frozen=True)
class Compared:
  """Two areas under ROC curves on the same cases.

  Attributes:
    auc: of both.
    variance: of both.
    difference: of the first less the second.
    interval: of it, 95 %.
    p: of no difference, two-sided; 1 where both rank all cases alike.
  """

  auc: tuple[float, float]
  variance: tuple[float, float]
  difference: float
  interval: tuple[float, float]
  p: float


def compare(
  first: np.ndarray, second: np.ndarray, positive: np.ndarray
) -> Compared:
  """DeLong's test.

  Args:
    first: float `n`, scores of a model, higher where the class is likelier.
    second: float `n`, those of another model for the same cases.
    positive: bool `n`.

  Raises:
    ValueError: fewer than two positive or negative cases, other numbers of
      scores, or NaN.
  """
  positive = np.asarray(positive, bool)
  scores = [np.asarray(s, np.float64) for s in (first, second)]
  if any(s.shape != positive.shape for s in scores):
    raise ValueError('two models are compared on the same cases')
  if np.isnan(scores).any():
    raise ValueError('a model gives NaN, which has no rank')
  m, n = int(positive.sum()), int((~positive).sum())
  if min(m, n) < 2:
    raise ValueError(
      'a comparison of ROC curves needs two positive and two negative cases'
    )
  of_positives, of_negatives = [], []
  for score in scores:
    rank = scipy.stats.rankdata
    whole = rank(score)
    # How many of the other kind lie below each case, ties counting half.
    of_positives.append((whole[positive] - rank(score[positive])) / n)
    of_negatives.append(1 - (whole[~positive] - rank(score[~positive])) / m)
  auc = np.mean(of_positives, 1)
  covariance = np.cov(of_positives) / m + np.cov(of_negatives) / n
  difference = float(auc[0] - auc[1])
  variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
  deviation = float(np.sqrt(max(variance, 0)))
  if deviation < 1e-12:
    p = 1.0 if abs(difference) < 1e-12 else 0.0
  else:
    p = float(2 * scipy.stats.norm.sf(abs(difference) / deviation))
  width = float(scipy.stats.norm.ppf(0.975)) * deviation
  return Compared(
    (float(auc[0]), float(auc[1])),
    (float(covariance[0, 0]), float(covariance[1, 1])),
    difference,
    (difference - width, difference + width),
    p,
  )
