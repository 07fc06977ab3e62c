"""Verification: are two pictures (or recordings) of one person?

A pair is accepted where its score is at least the threshold. Of genuine pairs
(one person) the share that is accepted is the true accept rate (TAR), of
impostor pairs (two people) the false accept rate (FAR). The terms, the equal
error rate and the curve of both errors (DET) are those of ISO/IEC 19795-1.

Pairs of one person are not independent of each other. Intervals therefore draw
people with replacement, not pairs: a person who is drawn k times counts k times
in genuine pairs, and two people k and l times k l times in impostor pairs
(Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems: the
subsets bootstrap", CVIU 2004; for networks of pairs Snijders and Borgatti,
1999). With few people they are wide, as they should be.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from recog_jax.metrics import bootstrap
from recog_jax.metrics.roc import Ranking

# False accept rates at which the true accept rate is reported.
FARS = (0.1, 0.01, 0.001)
# Numbers held at a time in resamples.
_CHUNK = 1 << 23


def tar_name(far: float) -> str:
  """The metric's name: `tar_at_far_0.01`."""
  return f'tar_at_far_{far:g}'


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
  """Scored pairs.

  Attributes:
    score: float `n`, higher where the two are more alike.
    people: int `n 2`, who is in the first and in the second picture.
    fars: where the true accept rate is wanted.
  """

  score: np.ndarray
  people: np.ndarray
  fars: Sequence[float] = FARS

  def __post_init__(self):
    if len(self.score) != len(self.people):
      raise ValueError(
        f'{len(self.score)} scores of {len(self.people)} pairs: give each one'
      )

  @functools.cached_property
  def same(self) -> np.ndarray:
    """bool `n`: both pictures are of one person."""
    return self.people[:, 0] == self.people[:, 1]

  @functools.cached_property
  def ranking(self) -> Ranking:
    return Ranking(self.score, self.same)

  def _statistic(self, times: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of m resamples of the pairs, int64 `m n`."""
    ranking = self.ranking
    found = {
      'auc': ranking.auc(times),
      'eer': ranking.equal_error_rate(times),
    }
    for far in self.fars:
      found[tar_name(far)] = ranking.sensitivity_at(times, 1 - far)[0]
    return found

  def compute(self) -> dict[str, float]:
    """`auc`, `eer`, and the TAR at each FAR; NaN where one kind is absent.

    Raises:
      ValueError: no pairs.
    """
    if not len(self.score):
      raise ValueError('no pairs: there is nothing to compute metrics of')
    values = self._statistic(np.ones((1, len(self.score)), np.int64))
    return {name: float(value[0]) for name, value in values.items()}

  def intervals(
    self,
    *,
    units: np.ndarray | None = None,
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
  ) -> bootstrap.Intervals:
    """Bootstrap intervals by name.

    Args:
      units: int `n 2`, what is drawn with replacement; by default people, see
        the module. Of very few people it may be pictures.
      seed: of the draws.
      n: number of resamples.
      level: share of the resamples that the interval holds.
    """
    units = self.people if units is None else units
    drawn, place = np.unique(units, return_inverse=True)
    first, second = place.reshape(units.shape).T
    once = first == second
    most = max(1, _CHUNK // max(1, len(self.score)))

    def statistic(times: np.ndarray) -> dict[str, np.ndarray]:
      found: dict[str, list[np.ndarray]] = {}
      for start in range(0, len(times), most):
        some = times[start : start + most]
        # A person's own pairs are not squared: k copies are k people.
        weight = some[:, first] * np.where(once, 1, some[:, second])
        for name, value in self._statistic(weight).items():
          found.setdefault(name, []).append(value)
      return {name: np.concatenate(parts) for name, parts in found.items()}

    return bootstrap.of_cases(
      statistic, len(drawn), seed=seed, n=n, level=level
    )

  def threshold_at(self, far: float) -> float:
    """The lowest score at which no more than that share of impostors passes.

    Infinite where not even the highest score is strict enough.
    """
    once = np.ones((1, len(self.score)), np.int64)
    return float(self.ranking.sensitivity_at(once, 1 - far)[1][0])

  def equal_error_threshold(self) -> float:
    """The score at which both errors are nearest to each other."""
    thresholds, far, tar = self.ranking.curve()
    return float(thresholds[np.argmin(np.abs(far - (1 - tar)))])

  def roc(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, FAR and TAR; see `Ranking.curve`."""
    return self.ranking.curve()

  def det(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, FAR and the share of genuine pairs that is refused."""
    thresholds, far, tar = self.ranking.curve()
    return thresholds, far, 1 - tar


def all_pairs(
  embedding: np.ndarray, person: np.ndarray, fars: Sequence[float] = FARS
) -> tuple[Pairs, np.ndarray]:
  """Each picture with each other one, by the cosine of their embeddings.

  Args:
    embedding: float `n d`, of length 1.
    person: int `n`.
    fars: see `Pairs`.

  Returns:
    The n (n - 1) / 2 pairs, and int64 `. 2`, the rows of both pictures.
  """
  rows = np.stack(np.triu_indices(len(person), 1), 1)
  cosines = np.asarray(embedding, np.float64)
  cosines = (cosines @ cosines.T)[rows[:, 0], rows[:, 1]]
  return Pairs(cosines, np.asarray(person)[rows], fars), rows


@dataclasses.dataclass(frozen=True)
class Folded:
  """Accuracies of folds, each at the threshold of the others.

  Attributes:
    accuracy: float64 `k`.
    threshold: float64 `k`.
  """

  accuracy: np.ndarray
  threshold: np.ndarray

  @property
  def mean(self) -> float:
    return float(self.accuracy.mean())

  @property
  def standard_error(self) -> float:
    """Of the mean, S / sqrt(k), as LFW's authors report it."""
    if len(self.accuracy) < 2:
      return float('nan')
    return float(self.accuracy.std(ddof=1) / np.sqrt(len(self.accuracy)))


def folded_accuracy(
  score: np.ndarray,
  same: np.ndarray,
  fold: np.ndarray,
  *,
  people: np.ndarray | None = None,
  thresholds: np.ndarray | None = None,
) -> Folded:
  """The protocol of LFW's view 2 (Huang et al., technical report 07-49, 2007).

  The threshold of a fold is the one with the highest accuracy on the pairs of
  all others: among equally good ones the lowest. No fold sees its own.

  Args:
    score: float `n`, higher where the two are more alike.
    same: bool `n`.
    fold: int `n`, the number of each pair's fold.
    people: int `n 2`; given, a fold's threshold is chosen on pairs without any
      of its people.
    thresholds: that are tried, ascending; by default the scores of the other
      folds, and infinity.

  Raises:
    ValueError: a fold leaves no pair for its threshold.
  """
  score, same = np.asarray(score, np.float64), np.asarray(same, bool)
  fold = np.asarray(fold)
  accuracy, chosen = [], []
  for number in np.unique(fold):
    test = fold == number
    train = ~test
    if people is not None:
      train &= ~np.isin(people, np.unique(people[test])).any(1)
    if not train.any():
      raise ValueError(
        f'fold {number} leaves no pair to choose a threshold on: take more '
        'folds, or pairs whose people are in one fold each'
      )
    threshold = _best(score[train], same[train], thresholds)
    chosen.append(threshold)
    accuracy.append(((score[test] >= threshold) == same[test]).mean())
  return Folded(np.array(accuracy), np.array(chosen))


def _best(
  score: np.ndarray, same: np.ndarray, thresholds: np.ndarray | None
) -> float:
  """The threshold of the highest accuracy, the first of equals."""
  if thresholds is None:
    thresholds = np.append(np.unique(score), np.inf)
  genuine, impostor = np.sort(score[same]), np.sort(score[~same])
  accepted = len(genuine) - np.searchsorted(genuine, thresholds)
  right = accepted + np.searchsorted(impostor, thresholds)
  return float(thresholds[right.argmax()])


def person_folds(person: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
  """int64 `n`: a fold for each row, so that nobody is in two.

  Args:
    person: int `n`.
    count: number of folds.
    seed: of the order in which people are dealt out.

  Raises:
    ValueError: fewer people than folds.
  """
  people, place = np.unique(person, return_inverse=True)
  if len(people) < count:
    raise ValueError(
      f'{len(people)} people cannot be in {count} folds of their own'
    )
  dealt = np.arange(len(people)) % count
  return np.random.default_rng(seed).permutation(dealt)[place]
