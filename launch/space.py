"""What a sweep file builds its overrides with: plain lists of dicts.

A trial is a dict: dotted config key -> value, and under `config` the config
file. Each function here returns a list of such dicts, `cross` joins lists, and
`+` appends them:

  def get_sweep():
    return space.cross(
      [{'config': 'configs/digits_resnet8.py'}],
      space.product({'optimizer.name': ['sgd', 'adamw']}),
      space.sample(8, {'optimizer.learning_rate': space.LogUniform(1e-3, 1)}),
      space.seeds(3),
    )
"""

import dataclasses
import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recog_jax.errors import UserError

Overrides = dict[str, Any]


def product(axes: Mapping[str, Sequence[Any]]) -> list[Overrides]:
  """Every combination of the values; the last key changes fastest.

  Args:
    axes: key -> its values.
  """
  return [
    dict(zip(axes, values, strict=True))
    for values in itertools.product(*axes.values())
  ]


def zipped(axes: Mapping[str, Sequence[Any]]) -> list[Overrides]:
  """The first values of all keys together, then the second ones, ...

  Args:
    axes: key -> its values, equally many of each.

  Raises:
    UserError: the lengths differ.
  """
  lengths = {key: len(values) for key, values in axes.items()}
  if len(set(lengths.values())) > 1:
    raise UserError(
      f'zipped() takes equally many values of each key: {lengths}'
    )
  return [
    dict(zip(axes, values, strict=True))
    for values in zip(*axes.values(), strict=True)
  ]


def cross(*parts: Iterable[Overrides]) -> list[Overrides]:
  """Every dict of the first list, joined with every one of the second, ...

  Raises:
    UserError: two lists set the same key.
  """
  joined = []
  for dicts in itertools.product(*map(list, parts)):
    keys = [key for d in dicts for key in d]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
      raise UserError(f'cross() gets {twice[0]} from two of its lists')
    joined.append({key: value for d in dicts for key, value in d.items()})
  return joined


def seeds(count: int, key: str = 'seed') -> list[Overrides]:
  """0, 1, ... of a key."""
  return [{key: i} for i in range(count)]


# -- distributions -------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Uniform:
  """A number from [low, high); a whole one, high included, with `integer`."""

  low: float
  high: float
  integer: bool = False

  def __post_init__(self):
    if not self.low < self.high:
      raise UserError(f'{self}: low must lie below high')

  def draw(self, rng: random.Random) -> float | int:
    if self.integer:
      return rng.randint(int(self.low), int(self.high))
    return rng.uniform(self.low, self.high)


@dataclasses.dataclass(frozen=True)
class LogUniform:
  """A positive number whose logarithm is uniform; whole with `integer`."""

  low: float
  high: float
  integer: bool = False

  def __post_init__(self):
    if not 0 < self.low < self.high:
      raise UserError(f'{self}: take 0 < low < high')

  def draw(self, rng: random.Random) -> float | int:
    value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
    # Six digits are enough for any of these, and can be read and typed.
    return round(value) if self.integer else float(f'{value:.6g}')


@dataclasses.dataclass(frozen=True)
class Choice:
  """One of some values."""

  values: tuple[Any, ...]

  def __post_init__(self):
    if not self.values:
      raise UserError('Choice() needs values')

  def draw(self, rng: random.Random) -> Any:
    return rng.choice(self.values)


Distribution = Uniform | LogUniform | Choice


def sample(
  count: int, axes: Mapping[str, Distribution], seed: int = 0
) -> list[Overrides]:
  """Draws of every key, independent of one another.

  A draw depends on seed, key and its number alone: a larger `count` or one more
  key leaves the others as they are, so that trials done stay done.

  Args:
    count: how many dicts.
    axes: key -> its distribution.
    seed: other seeds, other draws.
  """
  return [
    {
      key: distribution.draw(random.Random(f'{seed}/{key}/{i}'))
      for key, distribution in axes.items()
    }
    for i in range(count)
  ]
