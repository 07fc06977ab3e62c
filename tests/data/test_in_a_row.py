"""Several splits of one source, one after the other."""

import dataclasses

import numpy as np

from recog_jax.data.base import fields_of
from recog_jax.data.splits import InARow, Subset


@dataclasses.dataclass(frozen=True)
class Part:
  """Records that say what they are."""

  first: int
  count: int

  def __len__(self):
    return self.count

  def take(self, ids):
    return [self.first + int(i) for i in ids]

  def fields(self, ids):
    return {'person': [f'p{self.first + int(i)}' for i in ids]}


def test_fields_are_those_of_the_parts():
  row = InARow((Part(0, 3), Part(3, 2)))
  ids = np.array([4, 0, 3])
  assert row.fields(ids) == {'person': ['p4', 'p0', 'p3']}
  some = Subset(row, np.array([1, 4]))
  assert fields_of(some, np.arange(2)) == {'person': ['p1', 'p4']}


def test_no_record_at_all():
  row = InARow((Part(0, 3), Part(3, 2)))
  assert row.take(np.array([], int)) == []
