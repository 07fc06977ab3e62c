"""Identification: who of the people of a gallery is it, if anybody?

A probe is compared with every template; a person's score is that of the best of
their templates. In a closed set everybody is enrolled: the share of probes
whose person is among the k best is the cumulative match characteristic (CMC),
rank-1 its begin. In an open set probes of strangers come too: a probe is
detected and identified where its own person is the best and the score at least
the threshold, at which only a given share of strangers finds anybody (DIR at
FAR; Grother and Phillips, NIST).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np


def best_of_person(
  score: np.ndarray, enrolled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Scores of templates to scores of people.

  Args:
    score: float `n t`, of each probe with each template; -inf or NaN where the
      two are not to be compared.
    enrolled: int `t`, whose template it is.

  Returns:
    float64 `n p`, the highest of each person's templates, -inf without any; and
    the p people, ascending.
  """
  people, place = np.unique(enrolled, return_inverse=True)
  score = np.asarray(score, np.float64)
  found = np.full((len(score), len(people)), -np.inf)
  for number in range(len(people)):
    columns = score[:, place == number]
    found[:, number] = np.where(np.isnan(columns), -np.inf, columns).max(1)
  return found, people


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
  """Probes against a gallery.

  Attributes:
    score: float `n p`, of each probe with each enrolled person.
    people: int `p`, ascending.
    person: int `n`, who the probe is; nobody of `people` for a stranger.
  """

  score: np.ndarray
  people: np.ndarray
  person: np.ndarray

  @property
  def mated(self) -> np.ndarray:
    """bool `n`: the probe's person can be compared with."""
    return np.isfinite(self._own())

  def _own(self) -> np.ndarray:
    """float64 `n`: the score with the own person, -inf where there is none."""
    place = np.searchsorted(self.people, self.person)
    place = np.minimum(place, len(self.people) - 1)
    own = self.score[np.arange(len(self.person)), place]
    return np.where(self.people[place] == self.person, own, -np.inf)

  def rank(self) -> np.ndarray:
    """int64 `n`: the own person's place from 1; 0 of a stranger.

    Others of the same score come before: a tie is no success.
    """
    own = self._own()
    better = (self.score >= own[:, None]).sum(1)  # Itself among them.
    return np.where(self.mated, better, 0)

  def cmc(self) -> np.ndarray:
    """float64 `p`: share of mated probes whose rank is 1, 2, ... or less.

    Raises:
      ValueError: no probe has a mate.
    """
    rank = self.rank()[self.mated]
    if not len(rank):
      raise ValueError('no probe is of a person of the gallery')
    counts = np.bincount(rank, minlength=len(self.people) + 1)[1:]
    return np.cumsum(counts) / len(rank)

  def best(self) -> np.ndarray:
    """float64 `n`: the highest score of each probe."""
    return self.score.max(1)

  def dir_at_far(
    self, strangers: np.ndarray, far: float
  ) -> tuple[float, float]:
    """Detection and identification rate at a false alarm rate.

    Args:
      strangers: float `m`, the highest scores of probes of nobody enrolled.
      far: share of them that may find somebody.

    Returns:
      The rate, and the lowest of the probes' scores that is strict enough;
      infinite, and 0, where none is. NaN without strangers or mated probes.
    """
    mated = self.mated
    if not len(strangers) or not mated.any():
      return float('nan'), float('nan')
    first = self.best()[mated & (self.rank() == 1)]
    tried = np.append(np.unique(np.r_[self.best(), strangers]), np.inf)
    ordered = np.sort(strangers)
    passed = len(ordered) - np.searchsorted(ordered, tried)
    threshold = tried[(passed <= far * len(strangers)).argmax()]
    return float((first >= threshold).sum() / mated.sum()), float(threshold)


def leave_one_out(
  score: np.ndarray, person: np.ndarray
) -> tuple[Search, np.ndarray]:
  """Each row a probe, all others the gallery.

  Args:
    score: float `n n`.
    person: int `n`.

  Returns:
    The search; and float64 `n`, the highest score of each probe with other
    people alone, what it would find if its own person were not enrolled.
  """
  score = np.array(score, np.float64)
  np.fill_diagonal(score, -np.inf)
  found, people = best_of_person(score, person)
  search = Search(found, people, np.asarray(person))
  others = np.where(people == search.person[:, None], -np.inf, found)
  return search, others.max(1)


def summary(
  search: Search, strangers: np.ndarray, fars: tuple[float, ...] = (0.1, 0.01)
) -> Mapping[str, float]:
  """`rank1`, `rank5`, and the DIR at each FAR as `dir_at_far_...`."""
  cmc = search.cmc()
  found = {'rank1': float(cmc[0]), 'rank5': float(cmc[:5][-1])}
  for far in fars:
    found[f'dir_at_far_{far:g}'] = search.dir_at_far(strangers, far)[0]
  return found
