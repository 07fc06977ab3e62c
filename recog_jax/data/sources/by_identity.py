"""Another source, divided so that nobody is in two of its splits.

  {'name': 'by_identity', 'source': {'name': 'tfds', 'dataset': 'orl_faces'},
   'held_out': {'val': 6, 'test': 6}, 'fold': 0}

A model that is to tell people apart is tried on people whom it has never seen.
Who a record is of, is its class, or of speech one of its fields. The people's
order is a hash of their names, so that it is the same on every machine, and
another seed gives another one.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from recog_jax import registry
from recog_jax.data.sources import shares as shares_lib
from recog_jax.data.splits import InARow, Subset
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.ranges import Count, Positive, Seed
from recog_jax.signatures import Part


def by_identity(
  *,
  source: Annotated[Mapping[str, Any], Part('source')],
  held_out: Mapping[str, Positive],
  fold: Count = 0,
  parts: Sequence[str] | None = None,
  field: str = 'speaker',
  split_seed: Seed = 0,
  data_dir: Any = None,
) -> 'ByIdentity':
  """The records of a source, divided by the people in them.

  Args:
    source: name and keys of the source.
    held_out: people of each split but train, which has the rest: {'test': 6},
      or shares of all of them below 1, {'val': 0.1, 'test': 0.1}.
    fold: another number holds out others: nobody is in `test` (the last split
      of `held_out`) of two folds, and there are as many as that allows.
    parts: splits of the source that are put together; by default all.
    field: of speech, what says who speaks.
    split_seed: another one is another order of the people.
    data_dir: where data sets are looked for.

  Raises:
    UserError: there is no such source, field or part, or too few people.
  """
  inner = registry.build('source', source, data_dir=data_dir)
  return ByIdentity(
    inner,
    dict(held_out),
    fold,
    tuple(parts or inner.sizes()),
    field,
    split_seed,
  )


def _prepare(source: Mapping[str, Any], data_dir: Any = None) -> None:
  """Makes what the inner source lacks."""
  make = registry.preparation('source', source, data_dir=data_dir)
  if make is not None:
    make()


by_identity.prepare = _prepare


class ByIdentity:
  """A source around a source; see `data.base.Source`."""

  def __init__(
    self,
    source: Any,
    held_out: dict[str, float],
    fold: int,
    parts: tuple[str, ...],
    field: str,
    seed: int,
  ):
    for part in parts:
      if part not in source.sizes():
        raise unknown_name('split in source.parts', part, source.sizes())
    if not held_out or 'train' in held_out:
      raise UserError(
        "source.held_out names the splits beside train, for example {'val': 6, "
        "'test': 6}: train has everybody else"
      )
    self.info = dataclasses.replace(source.info, grouped=True)
    self._source, self._keys = source, [held_out, fold, parts, field, seed]
    opened = tuple(source.records(part) for part in parts)
    self._records = opened[0] if len(opened) == 1 else InARow(opened)
    self._members = _divided(self._people(field), held_out, fold, seed)

  def _people(self, field: str) -> np.ndarray:
    """Who each record is of, names `n`."""
    if not hasattr(self.info, 'label_names'):
      fields = self._records.utterances.fields
      if field not in fields:
        raise unknown_name('field in source.field', field, fields)
      return np.array(fields[field])
    labels = self._records.labels()
    if not self.info.label_names or labels.ndim > 1 or (labels < 0).any():
      raise UserError(
        f'{self.info.name} does not say who is in each picture: source '
        'by_identity needs one class for each'
      )
    return np.array(self.info.label_names)[labels]

  def sizes(self) -> dict[str, int]:
    return {split: len(ids) for split, ids in self._members.items()}

  def records(self, split: str) -> Subset:
    if split not in self._members:
      raise unknown_name('split', split, self._members)
    return Subset(self._records, self._members[split])

  def fingerprint(self) -> str:
    text = json.dumps([self._source.fingerprint(), *self._keys])
    return hashlib.sha256(text.encode()).hexdigest()


def _divided(
  person: np.ndarray, held_out: Mapping[str, float], fold: int, seed: int
) -> dict[str, np.ndarray]:
  """Split -> int64 record numbers, train first.

  Args:
    person: names `n`.
    held_out: see `by_identity`.
    fold: see there.
    seed: see there.
  """
  people = np.unique(person)
  keys = [str(p).encode(errors='surrogateescape') for p in people]
  people = people[np.argsort(shares_lib.hashes(keys, seed), kind='stable')]
  counts = {k: _count(k, v, len(people)) for k, v in held_out.items()}
  if len(people) - sum(counts.values()) < 2:
    raise UserError(
      f'source.held_out={dict(held_out)} leaves fewer than two of '
      f'{len(people)} people ({listed(people.tolist(), 5)}) to train on'
    )
  last = list(counts)[-1]
  start = fold * counts[last]
  folds = len(people) // counts[last]
  if fold >= folds:
    raise UserError(
      f'source.fold={fold}: with {counts[last]} of {len(people)} people in '
      f'{last} there are {folds} folds, from 0'
    )
  around = np.roll(people, -start)
  found, begin = {}, 0
  for name in reversed(counts):
    found[name] = around[begin : begin + counts[name]]
    begin += counts[name]
  found['train'] = around[begin:]
  return {
    name: np.flatnonzero(np.isin(person, found[name]))
    for name in ('train', *counts)
  }


def _count(split: str, value: float, people: int) -> int:
  """People of a split, from their number or share."""
  if value < 1:
    return max(1, round(value * people))
  if value != int(value):
    raise UserError(
      f'source.held_out.{split}={value} is neither a number of people nor a '
      'share below 1'
    )
  return int(value)
