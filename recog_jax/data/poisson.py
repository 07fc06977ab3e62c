"""Which units a private step sees: each by a draw of its own.

What is accounted for is Poisson sampling: every unit is in a step's batch with
one probability, whatever the others are. A batch then has another size each
time; it is padded to a fixed one, and units above that are left out, which the
accountant is told of (see `engine.privacy`). As every plan it is a pure
function of (seed, step).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.errors import UserError, unknown_name

# The unit whose examples are itself.
EXAMPLE = 'example'


@functools.lru_cache(maxsize=4)
def _chosen(
  count: int, rate: float, capacity: int, seed: int, step: int
) -> np.ndarray:
  """int64 numbers of the units of a step, in increasing order."""
  units = np.arange(count)
  bits = Draws(seed, np.full(count, step), units).bits('poisson')
  chosen = np.flatnonzero(bits < np.uint64(min(int(rate * 2**64), 2**64 - 1)))
  if len(chosen) > capacity:  # The smallest draws: a random choice.
    smallest = np.argsort(bits[chosen], kind='stable')[:capacity]
    chosen = np.sort(chosen[smallest])
  return chosen


@dataclasses.dataclass(frozen=True, eq=False)
class PoissonSample:
  """The examples of each step.

  Attributes:
    members: int64 numbers of the examples of each unit; None: each example is
      a unit.
    count: units.
    rate: the probability of each unit in each step.
    capacity: rows of the batch; more units than that are left out.
    seed: of the draws.
  """

  members: tuple[np.ndarray, ...] | None
  count: int
  rate: float
  capacity: int
  seed: int

  def examples(self, step: int) -> np.ndarray:
    """int64 `k`, at most `capacity`; one of each unit that was drawn."""
    units = _chosen(self.count, self.rate, self.capacity, self.seed, step)
    if self.members is None:
      return units
    draws = Draws(self.seed, np.full(len(units), step), units)
    word = draws.bits('example of a unit') >> np.uint64(11)
    share = word.astype(np.float64) * 2.0**-53
    taken = [self.members[u][int(x * len(self.members[u]))]
             for u, x in zip(units, share, strict=True)]  # fmt: skip
    return np.array(taken, np.int64)

  def rows(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some rows (int `k`) of a step: example numbers, 0 where not valid."""
    rows = np.asarray(rows, np.int64)
    found = self.examples(step)
    valid = rows < len(found)
    index = np.zeros(len(rows), np.int64)
    index[valid] = found[rows[valid]]
    return index, valid

  def fingerprint(self) -> dict[str, Any]:
    """JSON; without the capacity, which says only how much is padding."""
    return {
      'kind': 'poisson',
      'version': 1,
      'units': self.count,
      'rate': self.rate,
      'seed': self.seed,
    }


@dataclasses.dataclass(frozen=True)
class Units:
  """What a private training draws from.

  Attributes:
    count: units in the training split.
    batch_size: of them in a batch, on average.
    draw: (rate, capacity) -> the data, of which each step draws units.
  """

  count: int
  batch_size: float
  draw: Callable[[float, int], Any]


def units_of(
  unit: str, fields: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, ...] | None:
  """The examples of each unit, int64; None where each example is one.

  Args:
    unit: `example`, or a field of the data.
    fields: n values by name.

  Raises:
    UserError: no such field, or it has one value.
  """
  if unit == EXAMPLE:
    return None
  if unit not in fields:
    raise unknown_name(
      'config.privacy.unit (or example)', unit, [EXAMPLE, *fields]
    )
  _, codes = np.unique(np.asarray(fields[unit], object), return_inverse=True)
  order = np.argsort(codes, kind='stable')
  ends = np.cumsum(np.bincount(codes))
  if len(ends) < 2:
    raise UserError(
      f"config.privacy.unit='{unit}' has one value in the training data, so "
      'that no batch could be without it: take another field, or example'
    )
  return tuple(np.split(order, ends[:-1]))
