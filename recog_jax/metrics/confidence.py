"""Whether a recogniser knows what it knows: confidences beside the truth.

Cases are words or utterances, each right or wrong. The area under the ROC
curve (AUROC) says how well confidence tells them apart, the expected
calibration error (ECE) whether what is said with 80 % is right in 80 of 100
cases, and the
normalised cross entropy (NCE) both at once: the share of what there is to learn
about right and wrong that the confidences know. It is 1 at best, 0 where they
always say the mean, and below 0 where they mislead (Siu, Gish and Richardson,
Eurospeech 1997).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.metrics import bootstrap, calibration, wer
from recog_jax.metrics.roc import Ranking

_SURE = 1e-4  # No probability counts as nearer to 0 or 1.
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)


def right_words(
  references: Sequence[str], hypotheses: Sequence[str]
) -> list[np.ndarray]:
  """For each hypothesis bool `w`: which of its words are right.

  By the alignment with the fewest errors; words that were said and are missing
  have no confidence, and are not told of here.
  """
  found = []
  for pieces in wer.align(references, hypotheses, 'word'):
    flags = [
      np.full(len(piece.hypothesis), piece.kind == 'equal') for piece in pieces
    ]
    found.append(np.concatenate([np.zeros(0, bool), *flags]))
  return found


def log_odds(probability: Any) -> np.ndarray:
  """log(p / (1 - p)) as float64, of p in 0.0001 to 0.9999."""
  p = np.clip(np.asarray(probability, np.float64), _SURE, 1 - _SURE)
  return np.log(p / (1 - p))


@dataclasses.dataclass(frozen=True)
class Calibration:
  """Probability of being right, from some inputs: Platt's scaling.

  Platt, "Probabilistic outputs for support vector machines", 1999, of several
  inputs: a logistic regression.

  Attributes:
    weights: of each input.
    bias: added to their sum.
  """

  weights: tuple[float, ...]
  bias: float

  def __call__(self, inputs: np.ndarray) -> np.ndarray:
    """float `n k` -> float64 `n` in 0..1."""
    z = np.asarray(inputs, np.float64) @ np.array(self.weights) + self.bias
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def fit(inputs: np.ndarray, right: np.ndarray) -> Calibration | None:
  """The calibration of some cases; None where all are right, or none is.

  Args:
    inputs: float `n k`.
    right: bool `n`.
  """
  if len(np.unique(right)) < 2:
    return None
  from sklearn.linear_model import LogisticRegression

  mean, std = inputs.mean(0), inputs.std(0) + 1e-6
  model = LogisticRegression(C=1.0, max_iter=1000)
  model.fit((inputs - mean) / std, right)
  weights = model.coef_[0] / std
  bias = model.intercept_[0] - float(weights @ mean)
  return Calibration(tuple(map(float, weights)), float(bias))


def summary(
  confidence: np.ndarray,
  right: np.ndarray,
  unit: np.ndarray | None = None,
  seed: int = 0,
) -> dict[str, Any]:
  """`auroc`, `ece`, `nce`, with intervals `NAME_ci95`.

  Args:
    confidence: `n` in 0..1.
    right: bool `n`.
    unit: int `n`; cases of one unit, the words of an utterance, are drawn
      together by the bootstrap; None: each is its own.
    seed: of the bootstrap.

  Returns:
    {} of no cases; what is not defined, because all are right or all wrong, is
    left out.
  """
  if not len(right):
    return {}
  clusters = None if unit is None else bootstrap.codes(unit)
  gaps = calibration.gaps(confidence, right)
  ranking = Ranking(confidence, right)
  p = np.clip(confidence, _SURE, 1 - _SURE)
  told = -np.log2(np.where(right, p, 1 - p))

  def values(of_case: np.ndarray) -> dict[str, np.ndarray]:
    share = np.clip((of_case @ right) / of_case.sum(1), 1e-12, 1 - 1e-12)
    prior = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    nce = 1 - (of_case @ told) / of_case.sum(1) / prior
    both = (share > 1e-9) & (share < 1 - 1e-9)
    return {
      'auroc': ranking.auc(of_case),
      'ece': np.abs(of_case @ gaps).sum(1) / of_case.sum(1),
      'nce': np.where(both, nce, np.nan),
    }

  found: dict[str, Any] = {}
  once = values(np.ones((1, len(right)), np.int64))
  drawn = bootstrap.of_cases(
    values, len(right), seed=seed, n=500, clusters=clusters
  )
  for name, value in once.items():
    if not np.isnan(value[0]):
      found[name] = float(value[0])
      found[f'{name}_ci95'] = list(drawn[name])
  return found


def hand_over(
  confidence: np.ndarray,
  errors: np.ndarray,
  units: np.ndarray,
  shares: Sequence[float] = SHARES,
) -> list[dict[str, float]]:
  """What is left to the machine where a person takes the least sure.

  Args:
    confidence: `n`, of utterances.
    errors: `n`, errors of each.
    units: `n`, reference words of each.
    shares: of utterances that are handed over.

  Returns:
    For each share `handed_over` (the share that it came to), `threshold` (those
    with a lower confidence are handed over), and of the others `accuracy` (the
    share without any error) and `error_rate`; NaN where none is left.
  """
  order = np.argsort(confidence, kind='stable')
  rows = []
  for share in shares:
    first = min(round(share * len(order)), len(order))
    kept = order[first:]
    rows.append(
      {
        'handed_over': first / max(len(order), 1),
        'threshold': float(confidence[kept[0]]) if len(kept) else 1.0,
        'accuracy': float((errors[kept] == 0).mean()) if len(kept) else np.nan,
        'error_rate': float(errors[kept].sum() / max(units[kept].sum(), 1))
        if len(kept)
        else np.nan,
      }
    )
  return rows


def of_json(found: Mapping[str, Any]) -> Calibration:
  """A calibration from the numbers that `dataclasses.asdict` made of it."""
  return Calibration(tuple(found['weights']), float(found['bias']))
