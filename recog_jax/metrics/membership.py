"""Whether a model gives away which examples it was trained on.

The likelihood-ratio attack (LiRA): Carlini et al., "Membership inference
attacks from first principles", S&P 2022 (arXiv:2112.03570). A lower bound of
epsilon from one training: Steinke, Nasr and Jagielski, "Privacy auditing with
one (1) training run", NeurIPS 2023 (arXiv:2305.08846).
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

# Of spreads, so that a few shadow models do not make a certainty.
_LEAST_SPREAD = 1e-2
# Epsilons above are not looked for.
_MOST = 50.0


def confidence(losses: np.ndarray) -> np.ndarray:
  """log(p / (1 - p)) of losses -log p, whatever their shape, float64."""
  losses = np.maximum(np.asarray(losses, np.float64), 1e-12)
  return -losses - np.log(-np.expm1(-losses))


def likelihood_ratios(
  scores: np.ndarray, shadows: np.ndarray, inside: np.ndarray
) -> np.ndarray:
  """How much more likely an example's score is where it was trained on.

  Two normal distributions for each example, with the means of the shadow models
  that saw it and that did not; their spread is one for all examples, as for few
  shadow models the paper advises. An example that all shadow models saw, or
  none, is compared with the means of all examples.

  Args:
    scores: float `n`, `confidence` in the model under attack.
    shadows: float `s n`, in the shadow models.
    inside: bool `s n`, whether a shadow model was trained on the example.

  Returns:
    float64 `n`, log likelihood ratios.
  """
  ratio = np.zeros(len(scores))
  for mask, sign in ((inside, 1), (~inside, -1)):
    count = mask.sum(0)
    overall = shadows[mask].mean() if mask.any() else shadows.mean()
    means = np.where(
      count, np.where(mask, shadows, 0).sum(0) / np.maximum(count, 1), overall
    )
    freedom = max(1, int((count[count > 0] - 1).sum()))
    apart = np.where(mask, shadows - means, 0)
    spread = max(math.sqrt((apart**2).sum() / freedom), _LEAST_SPREAD)
    ratio += sign * stats.norm.logpdf(scores, means, spread)
  return ratio


def p_value(
  examples: int, guesses: int, right: int, epsilon: float, delta: float
) -> float:
  """How likely so many right guesses are, at most, if epsilon were true.

  Theorem 5.2 of Steinke et al.

  Args:
    examples: m, each in or out of the training by a fair coin.
    guesses: r, those that a guess was made of.
    right: v of them.
    epsilon: of the claim.
    delta: of the claim.
  """
  q = 1 / (1 + math.exp(-epsilon))
  beta = float(stats.binom.sf(right - 1, guesses, q))
  # The largest mean of the distribution below v, for what delta adds.
  below = np.cumsum(
    stats.binom.pmf(right - np.arange(1, right + 1), guesses, q)
  )
  alpha = float(np.max(below / np.arange(1, right + 1), initial=0.0))
  return min(1.0, beta + alpha * delta * 2 * examples)


def epsilon_of(
  examples: int, guesses: int, right: int, delta: float, error: float = 0.05
) -> float:
  """The largest epsilon that so many right guesses refute; see `p_value`.

  Args:
    examples: m.
    guesses: r.
    right: v.
    delta: of the claim.
    error: the probability of an epsilon above the true one.
  """
  low, high = 0.0, _MOST
  if p_value(examples, guesses, right, 0.0, delta) > error:
    return 0.0
  for _ in range(30):
    middle = (low + high) / 2
    if p_value(examples, guesses, right, middle, delta) < error:
      low = middle
    else:
      high = middle
  return low


def measured_epsilon(
  scores: np.ndarray,
  inside: np.ndarray,
  delta: float,
  shares: Sequence[float] = (0.05, 0.1, 0.2, 0.5),
  error: float = 0.05,
) -> float:
  """A lower bound of epsilon from one training.

  The highest scores are guessed to be inside, as many lowest ones outside; of
  several shares of guesses the best counts, which the error allows for.

  Args:
    scores: float `m`, higher where an example seems trained on.
    inside: bool `m`, whether it was, by fair coins.
    delta: of the claim.
    shares: of the examples at either end that are guessed.
    error: the probability of a bound above the true epsilon.
  """
  order, m = np.argsort(scores, kind='stable'), len(scores)
  found = 0.0
  for share in shares:
    k = max(1, int(share * m))
    right = int(inside[order[-k:]].sum() + (~inside[order[:k]]).sum())
    each = error / len(shares)
    found = max(found, epsilon_of(m, 2 * k, right, delta, each))
  return found
