"""Which pictures of a split are compared with which, and what comes of it.

Without a file of pairs all pictures of a split are compared with each other,
and each is looked for among all others (leave one out). Its own person is then
missing once, for the rate at which strangers find somebody.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from recog_jax.errors import UserError
from recog_jax.metrics import bootstrap, identification, verification
from recog_jax.tasks.base import Lookup, Records
from recog_jax.tasks.embedding import pairs_file

# Shorter embeddings say nothing of anybody.
TINY = 1e-6
# Fewer people than that are not put into folds of their own.
_FEWEST = 20
# Fewer people than that are not drawn with replacement.
_FEWEST_DRAWN = 5
# Of all resamples together; of a million pairs there are fewer resamples.
_RESAMPLED_PAIRS = 5e7


@dataclasses.dataclass(frozen=True)
class Rules:
  """How a split is evaluated; see `make_embedding`."""

  pairs: str | None
  folds: int
  disjoint_folds: bool
  most_pictures: int


@dataclasses.dataclass(frozen=True)
class People:
  """Who is in each record.

  Attributes:
    of: int `n`.
    names: of everybody.
  """

  of: np.ndarray
  names: Sequence[str]

  @classmethod
  def of_names(cls, names: Sequence[str]) -> 'People':
    # Joined recordings repeat the name of their speaker.
    first = [(name.split() or [''])[0] for name in names]
    found, place = np.unique(np.array(first), return_inverse=True)
    return cls(place, tuple(map(str, found)))


@dataclasses.dataclass(frozen=True, eq=False)
class Protocol:
  """A split that was compared.

  Attributes:
    pairs: with their scores.
    rows: int `p 2`, the records of each pair.
    folded: accuracies of folds; None without enough people.
    search: everybody against all others; None with a file of pairs.
    strangers: float `n`, see `identification.leave_one_out`.
    notes: sentences.
  """

  pairs: verification.Pairs
  rows: np.ndarray
  folded: verification.Folded | None
  search: identification.Search | None
  strangers: np.ndarray
  notes: tuple[str, ...]

  def compute(self) -> dict[str, float]:
    """Numbers by name; see `metrics.verification` and `identification`."""
    found = self.pairs.compute()
    if self.search is not None:
      found |= identification.summary(self.search, self.strangers)
    if self.folded is not None:
      found['accuracy'] = self.folded.mean
      found['accuracy_standard_error'] = self.folded.standard_error
    return found

  def intervals(self) -> bootstrap.Intervals:
    """95 % intervals by name, of resampled people; see `by_pictures`."""
    n = int(np.clip(_RESAMPLED_PAIRS // len(self.rows), 100, 1000))
    units = self.rows if self.by_pictures else None
    found = self.pairs.intervals(units=units, n=n)
    if self.search is not None and self.search.mated.any():
      found |= self._rank_intervals(self.search)
    return found

  @property
  def by_pictures(self) -> bool:
    """Whether there are too few people to be drawn: then pictures are."""
    return len(np.unique(self.pairs.people)) < _FEWEST_DRAWN

  @staticmethod
  def _rank_intervals(search: identification.Search) -> bootstrap.Intervals:
    rank, mated = search.rank(), search.mated
    people, place = np.unique(search.person, return_inverse=True)
    columns = [mated, mated & (rank <= 1), mated & (rank <= 5)]
    sums = [np.bincount(place, c, minlength=len(people)) for c in columns]

    def rates(sums: np.ndarray) -> dict[str, np.ndarray]:
      whole = np.maximum(sums[:, 0], 1)
      return {'rank1': sums[:, 1] / whole, 'rank5': sums[:, 2] / whole}

    return bootstrap.of_rows(rates, np.stack(sums, 1), seed=0)


def run(
  rules: Rules, records: Records, people: People, lookup: Lookup
) -> Protocol:
  """Compares a split as the rules say.

  Args:
    rules: of the config.
    records: `embedding` float `n d` of length 1, `length`, `index`.
    people: of the records.
    lookup: of the split; has a method `names` where a file names the pairs.

  Raises:
    UserError: nobody has two pictures, or a pair is not there.
  """
  embedding = np.asarray(records['embedding'], np.float64)
  notes = _said_of(records)
  if rules.pairs is not None:
    return _from_file(rules, records, embedding, people, lookup, notes)
  chosen = _chosen(people.of, rules.most_pictures)
  if len(chosen) < len(people.of):
    notes.append(
      f'{len(chosen)} of {len(people.of)} pictures were compared, those of '
      f'some people (config.task.most_pictures={rules.most_pictures})'
    )
  person = np.asarray(people.of)[chosen]
  counts = np.unique(person, return_counts=True)[1]
  if len(counts) < 2 or counts.max(initial=0) < 2:
    raise UserError(
      f'this split has {len(person)} pictures of {len(counts)} people, and '
      'verification needs two people, one of them with two pictures: hold out '
      'more people (config.data.source.held_out)'
    )
  single = int((counts == 1).sum())
  if single:
    notes.append(
      f'{single} people of this split have one picture: it is only compared '
      'with those of others'
    )
  pairs, rows = verification.all_pairs(embedding[chosen], person)
  search, strangers = identification.leave_one_out(
    embedding[chosen] @ embedding[chosen].T, person
  )
  folded = None
  if len(counts) >= max(_FEWEST, rules.folds):
    fold = verification.person_folds(person, rules.folds)
    inside = fold[rows[:, 0]] == fold[rows[:, 1]]
    folded = verification.folded_accuracy(
      pairs.score[inside],
      pairs.same[inside],
      fold[rows[inside, 0]],
      people=pairs.people[inside],
    )
  return Protocol(pairs, chosen[rows], folded, search, strangers, tuple(notes))


def _said_of(records: Records) -> list[str]:
  """What is wrong with some embeddings."""
  zero = int((np.asarray(records['length']) < TINY).sum())
  if zero:
    return [f'{zero} embeddings are zero: their pairs have the score 0']
  return []


def _chosen(person: np.ndarray, most: int) -> np.ndarray:
  """Rows of all people, or of as many as have no more pictures than that."""
  if len(person) <= most:
    return np.arange(len(person))
  people, counts = np.unique(person, return_counts=True)
  order = np.random.default_rng(0).permutation(len(people))
  kept = order[np.cumsum(counts[order]) <= most]
  return np.flatnonzero(np.isin(person, people[kept]))


def _from_file(
  rules: Rules,
  records: Records,
  embedding: np.ndarray,
  people: People,
  lookup: Any,
  notes: list[str],
) -> Protocol:
  assert rules.pairs is not None
  if not hasattr(lookup, 'names'):
    raise UserError(
      'config.task.pairs names pictures by their files, and these data have no '
      'names: leave it out'
    )
  listed = pairs_file.read(rules.pairs, rules.folds)
  rows = listed.rows(lookup.names(records['index']), rules.pairs)
  score = (embedding[rows[:, 0]] * embedding[rows[:, 1]]).sum(1)
  place = np.asarray(people.of)[rows]
  differs = (place[:, 0] == place[:, 1]) != listed.same
  if differs.any():
    raise UserError(
      f'{rules.pairs}: pair {differs.argmax() + 1} is of one person by its '
      'names and not by the folders of its pictures, or the other way round'
    )
  pairs = verification.Pairs(score, place)
  try:
    folded = verification.folded_accuracy(
      score,
      pairs.same,
      listed.fold,
      people=place if rules.disjoint_folds else None,
    )
  except ValueError as error:
    raise UserError(f'{rules.pairs}: {error}') from error
  return Protocol(pairs, rows, folded, None, np.zeros(0), tuple(notes))


def embeddings_of(records: Records, people: People) -> dict[str, Any]:
  """What a gallery chooses its thresholds on: arrays by name, no names."""
  _, place = np.unique(people.of, return_inverse=True)
  return {
    'embedding': np.asarray(records['embedding'], np.float32),
    'person': place.astype(np.int32),
  }
