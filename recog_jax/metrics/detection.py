"""What a detector is worth that hears all day: misses against false alarms.

A detector gives a score at every moment; it raises an alarm where the score is
at least a threshold, and then none for a refractory time. The share of positive
recordings in which no alarm is right is the false reject rate (FRR); alarms in
negative ones are counted for each hour of them. Accuracy says nothing here: a
detector that is right in 99 of 100 seconds raises 36 false alarms an hour.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

FALSE_ALARMS_PER_HOUR = (0.1, 0.5, 1.0, 5.0, 10.0)


def peaks(scores: np.ndarray, refractory: int) -> tuple[np.ndarray, np.ndarray]:
  """The moments at which some threshold raises an alarm.

  The highest score comes first; within the refractory time of it, before and
  behind, there is no other.

  Args:
    scores: float `t`.
    refractory: frames.

  Returns:
    Frames int64 `p` and their scores `p`, the highest first.
  """
  order = np.argsort(-scores, kind='stable')
  free = np.ones(len(scores), bool)
  frames = []
  for i in order:
    if free[i]:
      frames.append(int(i))
      free[max(0, i - refractory) : i + refractory + 1] = False
  found = np.array(frames, np.int64)
  return found, scores[found]


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
  """What a detector said of recordings.

  Attributes:
    best: float `n`, of positive recordings the highest score.
    alarms: of negative recordings the scores of their `peaks`, one array each.
    hours: float `m`, how long each of those is.
  """

  best: np.ndarray
  alarms: Sequence[np.ndarray]
  hours: np.ndarray

  @property
  def negative_hours(self) -> float:
    return float(np.sum(self.hours))

  def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At each threshold that differs: it, FRR and false alarms an hour.

    Returns:
      float64 `k` each; thresholds fall from infinity, where all is missed and
      nothing a false alarm.
    """
    false = np.sort(np.concatenate([np.zeros(0), *self.alarms]))
    right = np.sort(self.best)
    at = np.unique(np.concatenate([false, right]))[::-1]
    at = np.r_[np.inf, at]
    missed = np.searchsorted(right, at, 'left') / max(len(right), 1)
    count = len(false) - np.searchsorted(false, at, 'left')
    return at, missed, count / max(self.negative_hours, 1e-9)

  def threshold(self, false_alarms_per_hour: float) -> float:
    """The lowest one with no more false alarms an hour than that."""
    at, _, rate = self.curve()
    return float(
      at[np.flatnonzero(rate <= false_alarms_per_hour * (1 + 1e-9))[-1]]
    )

  def frr(self, false_alarms_per_hour: float) -> float:
    """The false reject rate at the threshold of so many false alarms."""
    if not len(self.best):
      return np.nan
    missed = self.best < self.threshold(false_alarms_per_hour)
    return float(missed.mean())

  def interval(
    self, false_alarms_per_hour: float, seed: int = 0
  ) -> tuple[float, float]:
    """95 % interval of `frr`: positive and negative recordings drawn anew.

    The threshold is chosen again in each resample.
    """
    rng = np.random.default_rng(seed)
    n, m, values = len(self.best), len(self.alarms), []
    for _ in range(200):
      chosen = rng.integers(0, m, m) if m else np.zeros(0, int)
      again = Trials(
        self.best[rng.integers(0, n, n)],
        [self.alarms[i] for i in chosen],
        self.hours[chosen],
      )
      values.append(again.frr(false_alarms_per_hour))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)

  def summary(
    self, rates: Sequence[float] = FALSE_ALARMS_PER_HOUR
  ) -> dict[str, float | list[float]]:
    """`frr_at_R` for false alarms an hour, with intervals and thresholds.

    A rate that the negatives are too short for, less than one alarm in all of
    them, is left out, but for `frr_at_0`: no false alarm at all.
    """
    found: dict[str, float | list[float]] = {
      'positives': len(self.best),
      'negative_hours': self.negative_hours,
    }
    shown = [r for r in rates if r * self.negative_hours >= 1]
    for rate in (0.0, *shown):
      name = f'frr_at_{rate:g}'
      if len(self.best):
        found[name] = self.frr(rate)
        found[f'{name}_ci95'] = list(self.interval(rate))
      found[f'threshold_at_{rate:g}'] = min(self.threshold(rate), 1.0)
    return found
