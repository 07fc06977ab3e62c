"""How often utterances of a language, or of a source, are shown."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import NotNegative, Share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """Groups of utterances are shown in other proportions than they are there.

  A group of n utterances is shown in proportion to weight * n ** power (Conneau
  and Lample, "Cross-lingual language model pretraining", 2019). An epoch has as
  many utterances as there are. Within its group each is shown equally often.

  Attributes:
    field: utterances with one value of it are a group, such as `lang`.
    power: 1 leaves groups as large as they are, 0 makes them equal; 1 / T for a
      temperature T.
    weights: factors of some groups, by the field's value; 0 leaves one out.
  """

  field: str = 'lang'
  power: Share = 0.5
  weights: Mapping[str, NotNegative] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
  """What an epoch shows of each group.

  Attributes:
    field: whose values the groups are.
    names: of the groups.
    members: of each group int64 `n`, record numbers.
    counts: of each group the utterances of an epoch.
  """

  field: str
  names: tuple[str, ...]
  members: tuple[np.ndarray, ...]
  counts: tuple[int, ...]

  @staticmethod
  def of(
    sampling: Sampling, fields: Mapping[str, Sequence[str]], records: np.ndarray
  ) -> 'Sampler':
    """The sampler of some records.

    Args:
      sampling: keys of the config.
      fields: of all records of the split.
      records: int64 `m`, those that are shown.

    Raises:
      UserError: no such field, a weight of no group, or weights of 0 alone.
    """
    names, members, shares = _groups(sampling, fields, records)
    # Whole numbers with the sum wanted: the largest remainders are rounded up.
    exact = shares / shares.sum() * len(records)
    counts = np.floor(exact).astype(int)
    last = np.argsort(counts - exact, kind='stable')
    counts[last[: len(records) - counts.sum()]] += 1
    return Sampler(sampling.field, names, members, tuple(counts.tolist()))

  def epoch(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 `m` records of an epoch, and how often each was shown before.

    Each group is gone through again and again in new orders, and an epoch takes
    up where the last one stopped.
    """
    records, seen = [], []
    for ids, count in zip(self.members, self.counts, strict=True):
      at = np.arange(epoch * count, (epoch + 1) * count)
      turn, place = np.divmod(at, len(ids))
      for k in np.unique(turn):
        draws = Draws(seed, np.full(len(ids), k), ids)
        order = np.argsort(draws.bits('sampling'), kind='stable')
        records.append(ids[order[place[turn == k]]])
      seen.append(turn)
    return np.concatenate(records), np.concatenate(seen)

  def describe(self) -> str:
    """A sentence on what an epoch shows."""
    parts = [
      f'{count} of {name} ({len(ids)} there)'
      for name, ids, count in zip(
        self.names, self.members, self.counts, strict=True
      )
    ]
    return f'an epoch shows by {self.field}: {", ".join(parts)}'

  def fingerprint(self) -> Any:
    """JSON that differs where the sampling does."""
    return [[*self.names], [*self.counts]]


def _groups(
  sampling: Sampling, fields: Mapping[str, Sequence[str]], records: np.ndarray
) -> tuple[tuple[str, ...], tuple[np.ndarray, ...], np.ndarray]:
  """Names of groups, their record numbers, and in what proportion they are.

  Raises:
    UserError: see `Sampler.of`.
  """
  if sampling.field not in fields:
    raise unknown_name('field of config.data.sampling', sampling.field, fields)
  values = np.asarray(fields[sampling.field], object)[records]
  names = sorted({*values})
  for name in sampling.weights:
    if name not in names:
      raise unknown_name('group of config.data.sampling', name, names)
  members = [records[values == name] for name in names]
  shares = np.array(
    [
      sampling.weights.get(name, 1.0) * len(ids) ** sampling.power
      for name, ids in zip(names, members, strict=True)
    ]
  )
  if not shares.sum():
    raise UserError('config.data.sampling.weights leave out every group.')
  return tuple(names), tuple(members), shares


def repeated(
  sampling: Sampling, fields: Mapping[str, Sequence[str]]
) -> np.ndarray:
  """Record numbers in the proportions of a sampling, each at least once.

  What is counted, and not learned step by step, loses nothing by it: a text
  that is not there is a letter that has no place.

  Args:
    sampling: keys of the config; groups of weight 0 are left out.
    fields: of all records of the split.

  Raises:
    UserError: see `Sampler.of`.
  """
  count = len(next(iter(fields.values())))
  _, members, shares = _groups(sampling, fields, np.arange(count))
  shown = [
    (ids, share)
    for ids, share in zip(members, shares.tolist(), strict=True)
    if share
  ]
  least = min(share / len(ids) for ids, share in shown)
  return np.concatenate(
    [np.resize(ids, round(share / least)) for ids, share in shown]
  )
