"""Agreement of predicted grades with true ones, beyond that of chance."""

import dataclasses
from typing import ClassVar

import numpy as np

from recog_jax.metrics import bootstrap


def quadratic_kappa(
  target: np.ndarray, prediction: np.ndarray, counts: np.ndarray
) -> np.ndarray:
  """Cohen's kappa with quadratic weights.

  Cohen, "Weighted kappa: nominal scale agreement with provision for scaled
  disagreement or partial credit", Psychological Bulletin 1968: one minus the
  mean squared distance of the two grades over that of two independent grades of
  the same frequencies. 1 is full agreement, 0 that of chance.

  Args:
    target: int `k`, true grade of each cell of a confusion matrix.
    prediction: int `k`, predicted grade.
    counts: int `... k`, examples in each cell.

  Returns:
    float64 `...`; NaN where all examples have one grade and one prediction,
    the same, so that chance agrees as well.
  """
  counts = np.asarray(counts, np.float64)
  target = np.asarray(target, np.float64)
  prediction = np.asarray(prediction, np.float64)
  total = counts.sum(-1)
  observed = total * (counts @ (target - prediction) ** 2)
  # The sum over all pairs of (i - j)^2, taken apart; whole numbers, so exact.
  squares = total * (counts @ (target**2 + prediction**2))
  by_chance = squares - 2 * (counts @ target) * (counts @ prediction)
  safe = np.where(by_chance > 0, by_chance, 1)
  return np.where(by_chance > 0, 1 - observed / safe, np.nan)


@dataclasses.dataclass(frozen=True)
class Grades:
  """Quadratic weighted kappa of some examples.

  Attributes:
    target: int `n`, 0 to v - 1, at equal distances.
    prediction: int `n`.
    clusters: int `n`, of 0..c-1, the patients, whose grades intervals draw
      together; None: each alone.
  """

  target: np.ndarray
  prediction: np.ndarray
  clusters: np.ndarray | None = None

  NAMES: ClassVar = ('quadratic_kappa',)  # What `compute` gives.

  def _cells(self) -> tuple[np.ndarray, np.ndarray]:
    """int `2 k`, the grades that occur together, and int `n`, which of them."""
    pairs = np.stack([self.target, self.prediction]).astype(np.int64)
    pairs, cell = np.unique(pairs, axis=1, return_inverse=True)
    return pairs, cell.ravel()

  def compute(self) -> dict[str, float]:
    """`quadratic_kappa`.

    Raises:
      ValueError: no examples.
    """
    if not len(self.target):
      raise ValueError('no examples: there is nothing to compute metrics of')
    (target, prediction), cell = self._cells()
    kappa = quadratic_kappa(target, prediction, np.bincount(cell))
    return {'quadratic_kappa': float(kappa)}

  def intervals(self, *, seed: int = 0) -> bootstrap.Intervals:
    """95 % bootstrap interval, by the metric's name."""
    (target, prediction), cell = self._cells()
    return bootstrap.of_cells(
      lambda drawn: {
        'quadratic_kappa': quadratic_kappa(target, prediction, drawn)
      },
      cell,
      self.clusters,
      seed=seed,
    )
