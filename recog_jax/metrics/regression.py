"""Errors of predicted numbers: mean absolute, root mean squared, and R2.

They follow scikit-learn: of several numbers an example, each metric is computed
for each of them, and their mean is reported (`multioutput='uniform_average'`).
"""

import dataclasses
from typing import ClassVar

import numpy as np

from recog_jax.metrics import bootstrap


@dataclasses.dataclass(frozen=True)
class Numbers:
  """Predicted numbers beside the true ones.

  Attributes:
    target: float `n v`, in the units of the data.
    prediction: float `n v`, the same.
  """

  target: np.ndarray
  prediction: np.ndarray

  NAMES: ClassVar = ('mae', 'rmse', 'r2')  # What `compute` gives.

  def per_target(self) -> dict[str, np.ndarray]:
    """`mae`, `rmse` and `r2` of each number, float64 `v`.

    R2, the coefficient of determination, is one minus the sum of squared errors
    over that of squared distances from the mean of the true numbers; NaN where
    all of those are equal.

    Raises:
      ValueError: no examples.
    """
    if not len(self.target):
      raise ValueError('no examples: there is nothing to compute metrics of')
    sums = self._rows().sum(0, keepdims=True)
    return {name: value[0] for name, value in self._each(sums).items()}

  def compute(self) -> dict[str, float]:
    """Their means over the numbers of an example."""
    return {k: float(v.mean()) for k, v in self.per_target().items()}

  def intervals(self, *, seed: int = 0) -> bootstrap.Intervals:
    """95 % bootstrap intervals of `compute`, by name."""

    def statistic(sums: np.ndarray) -> dict[str, np.ndarray]:
      return {k: v.mean(-1) for k, v in self._each(sums).items()}

    return bootstrap.of_rows(statistic, self._rows(), seed=seed)

  def _rows(self) -> np.ndarray:
    """float64 `n 4v`: what the metrics are functions of the sums of."""
    target = np.asarray(self.target, np.float64)
    error = np.asarray(self.prediction, np.float64) - target
    # Around its mean, so that the difference of squares keeps its digits.
    target = target - target.mean(0)
    return np.concatenate([abs(error), error**2, target, target**2], axis=1)

  def _each(self, sums: np.ndarray) -> dict[str, np.ndarray]:
    """Of sums over n examples, `m 4v`: the metrics `m v`."""
    n = len(self.target)
    absolute, squared, first, second = np.split(sums, 4, axis=1)
    spread = second - first**2 / n
    # Equal targets have a spread of zero but for rounding.
    defined = spread > 1e-12 * np.maximum(second, 1e-300)
    share = squared / np.where(defined, spread, 1)
    return {
      'mae': absolute / n,
      'rmse': np.sqrt(squared / n),
      'r2': np.where(defined, 1 - share, np.nan),
    }
