"""Whether protected templates of one person are known as such.

Gomez-Barrero, Galbally, Rathgeb and Busch, "General framework to evaluate
unlinkability in biometric template protection systems", TIFS 2018: of scores of
mated templates (one person, two keys) and of others, D(s) = 2 p / (1 + p) - 1
with the likelihood ratio p of a score, where it is above 1, else 0; its mean
over mated scores, D_sys, is 0 where nothing is linked and 1 where everything
is.
"""

import numpy as np

from recog_jax.metrics.roc import Ranking


def linkage(mated: np.ndarray, others: np.ndarray) -> dict[str, float]:
  """`auc` of telling mated templates by their score, and `d_sys`.

  Densities are histograms, as in the paper; with few scores they are rough,
  and `d_sys` is then above 0 where nothing is linked.

  Args:
    mated: float `n`, scores of templates of one person.
    others: float `m`, of two people.

  Raises:
    ValueError: one of them is empty.
  """
  if not (len(mated) and len(others)):
    raise ValueError('linkage needs scores of one person and of two')
  score = np.concatenate([mated, others])
  same = np.arange(len(score)) < len(mated)
  once = np.ones((1, len(score)), np.int64)
  auc = float(Ranking(score, same).auc(once)[0])
  bins = max(2, min(100, len(mated) // 10))
  edges = np.linspace(score.min(), np.nextafter(score.max(), np.inf), bins + 1)
  own = np.histogram(mated, edges)[0] / len(mated)
  other = np.histogram(others, edges)[0] / len(others)
  there = own > other  # A likelihood ratio above 1.
  local = (own[there] - other[there]) / (own[there] + other[there])
  return {'auc': auc, 'd_sys': float((local * own[there]).sum())}
