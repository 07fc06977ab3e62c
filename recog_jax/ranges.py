"""Which values a key may have: its type and its range, by its annotation.

A factory says them in its signature, `dropout: Rate = 0.0`, and whatever sets
keys (a config file, a command line) is checked against it in one place. It is
plain annotation: a direct call of the factory is not checked.
"""

import collections.abc
import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from recog_jax.errors import UserError, unknown_name

_UNIONS = (typing.Union, types.UnionType)
_PLAIN = (numbers.Number, str, bytes, Mapping, Sequence, types.NoneType)
_LARGEST_INT = 2**63 - 1
# Of a float32; what is larger is inf where it is used.
_LARGEST_FLOAT = 3.4e38


@dataclasses.dataclass(frozen=True)
class Range:
  """The bounds of a number, for `Annotated`.

  Attributes:
    low: the lowest value.
    high: the highest.
    above: whether `low` itself is out.
    below: whether `high` itself is out.
  """

  low: float = -math.inf
  high: float = math.inf
  above: bool = False
  below: bool = False

  def __contains__(self, value: float) -> bool:
    low = value > self.low if self.above else value >= self.low
    high = value < self.high if self.below else value <= self.high
    return low and high

  def __str__(self) -> str:
    low = f'above {self.low}' if self.above else f'of at least {self.low}'
    high = f'below {self.high}' if self.below else f'of at most {self.high}'
    bounds = [low] * math.isfinite(self.low) + [high] * math.isfinite(self.high)
    return ' and '.join(bounds)


@dataclasses.dataclass(frozen=True)
class Names:
  """The words that a key may have, for `Annotated`."""

  names: tuple[str, ...]

  def __contains__(self, value: Any) -> bool:
    return value in self.names

  def __str__(self) -> str:
    return f'of {", ".join(self.names)}'


# The usual ones. A number without a range may be any finite one.
Count = Annotated[int, Range(0)]
Size = Annotated[int, Range(1)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
# Processes that load data, on one machine.
Workers = Annotated[int, Range(0, 256)]
# Of dropout, momentum, moving averages: at 1 nothing would be left.
Rate = Annotated[float, Range(0, 1, below=True)]


def fits(value: Any, hint: Any) -> bool:
  """Whether a key with that annotation may have the value.

  Numbers must be finite as float32, whole ones below 2**63; True is none. Of
  what is no number, word, list or dict, only the class is looked at.
  """
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if hint is Any or isinstance(hint, typing.TypeVar):
    return True
  if origin is Annotated:
    return fits(value, args[0]) and all(value in b for b in _bounds(args))
  if origin in _UNIONS:
    return any(fits(value, arg) for arg in args)
  if origin is typing.Literal:
    return value in args
  if hint is None or hint is types.NoneType:
    return value is None
  kind = origin or hint
  if not isinstance(kind, type):
    return True
  if kind is bool:
    return isinstance(value, bool)
  if kind in (int, float, complex):
    return _is_number(value, kind)
  if kind is str:
    return isinstance(value, str)
  if issubclass(kind, Mapping):
    if not isinstance(value, Mapping) and not hasattr(value, 'to_dict'):
      return False
    of = args[1] if len(args) == 2 else Any
    return all(fits(v, of) for v in value.values())
  if issubclass(kind, Sequence):
    return _is_list(value, kind, args)
  if kind is collections.abc.Callable:
    return callable(value)
  # A dtype, a module, an array: what no file holds is the program's own.
  return isinstance(value, kind) or not isinstance(value, _PLAIN)


def check(values: Mapping[str, Any], hints: Mapping[str, Any], where: str):
  """Raises a UserError for the first value that its key may not have.

  Args:
    values: by key.
    hints: the annotation of each; a key without one may have any value.
    where: what has the keys, for the message.
  """
  for key, value in values.items():
    hint = hints.get(key, Any)
    if not fits(value, hint):
      if isinstance(value, str) and (names := _names(hint)):
        raise unknown_name(f'value of {where}.{key}', value, names)
      wanted = words(hint) or 'another value'
      raise UserError(f'{where}.{key} is {_short(value)}; give {wanted}.')


def _names(hint: Any) -> tuple[str, ...]:
  """The words that an annotation lists, if it does."""
  args = typing.get_args(hint)
  if typing.get_origin(hint) is typing.Literal:
    return tuple(arg for arg in args if isinstance(arg, str))
  if typing.get_origin(hint) is Annotated:
    return sum((b.names for b in _bounds(args) if isinstance(b, Names)), ())
  return sum(map(_names, args), ())


def converted(value: Any, hint: Any) -> Any:
  """The value as the annotation has it, where files know only similar ones.

  A list becomes a tuple, which is hashable, and 1 becomes 1.0.
  """
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin is Annotated:
    return converted(value, args[0])
  if origin in _UNIONS:
    fitting = [arg for arg in args if fits(value, arg)]
    return converted(value, fitting[0]) if fitting else value
  if (origin or hint) is float:
    return float(value)
  if isinstance(value, list | tuple) and args:
    return tuple(converted(v, args[0]) for v in value)
  return value


def _short(value: Any) -> str:
  try:
    text = repr(value)
  except ValueError:  # A whole number of more digits than Python prints.
    text = 'a number of thousands of digits'
  return text if len(text) <= 60 else f'{text[:57]}...'


def _bounds(args: tuple[Any, ...]) -> list[Range | Names]:
  return [note for note in args[1:] if isinstance(note, Range | Names)]


def _is_number(value: Any, kind: type) -> bool:
  if isinstance(value, bool) or not isinstance(value, numbers.Number):
    return False
  if kind is int:
    return (
      isinstance(value, numbers.Integral) and abs(int(value)) <= _LARGEST_INT
    )
  if kind is complex:
    return isinstance(value, complex)
  if not isinstance(value, numbers.Real):
    return False
  size: Any = abs(value)
  return size <= _LARGEST_FLOAT  # And no NaN.


def _is_list(value: Any, kind: type, args: tuple[Any, ...]) -> bool:
  if isinstance(value, str | bytes) or not isinstance(value, Sequence):
    return False
  if kind is tuple and args and args[-1] is not Ellipsis:
    return len(value) == len(args) and all(map(fits, value, args))
  of = args[0] if args else Any
  return all(fits(v, of) for v in value)


def words(hint: Any) -> str:
  """What a key with that annotation takes, in words."""
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin is Annotated:
    return ' '.join([words(args[0]), *map(str, _bounds(args))])
  if origin in _UNIONS:
    found = dict.fromkeys(filter(None, map(words, args)))
    return ' or '.join(sorted(found, key='None'.__eq__))
  if origin is typing.Literal:
    return ' or '.join(map(str, args))
  if hint is None or hint is types.NoneType:
    return 'None'
  kind = origin or hint
  if not isinstance(kind, type):
    return ''
  if kind is bool:
    return 'true or false'
  if kind is int:
    return 'a whole number'
  if kind is float:
    return 'a number'
  if kind is str:
    return 'a word'
  if issubclass(kind, Mapping):
    of = words(args[1]) if len(args) == 2 else ''
    return "a dict, such as {'key': 1}" + (f', each {of}' if of else '')
  if issubclass(kind, Sequence):
    if kind is tuple and args and args[-1] is not Ellipsis:
      return f'a list of {len(args)}: {", ".join(map(words, args))}'
    of = words(args[0]) if args else ''
    return 'a list, such as (1, 2)' + (f', each {of}' if of else '')
  return ''  # Of others nothing can be typed.
