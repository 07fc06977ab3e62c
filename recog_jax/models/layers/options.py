"""Checks of the options that models share, and fixing one of them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax

from recog_jax.errors import UserError
from recog_jax.models.layers.activation import activation


def variant(make: Callable, name: str, **fixed) -> Callable:
  """The factory `make` with some options fixed; they are options no more."""

  def factory(**options):
    return make(**fixed, **options)

  signature = inspect.signature(make)
  free = [p for key, p in signature.parameters.items() if key not in fixed]
  factory.__signature__ = signature.replace(parameters=free)
  factory.__name__ = factory.__qualname__ = name
  factory.__doc__ = make.__doc__
  return factory


def check_count(what: str, value: int) -> int:
  """Returns a whole number of at least 1, or raises a UserError."""
  if isinstance(value, bool) or not isinstance(value, int) or value < 1:
    raise UserError(
      f'config.model.{what} is {value!r}; give a whole number of at least 1.'
    )
  return value


def check_counts(
  what: str, values: Sequence[int], length: int | None = None
) -> tuple[int, ...]:
  """Returns a tuple of whole numbers of at least 1, or raises a UserError."""
  if isinstance(values, int | str) or (length not in (None, len(values))):
    number = 'several' if length is None else length
    raise UserError(
      f'config.model.{what} is {values!r}; give a tuple of {number} numbers.'
    )
  return tuple(check_count(what, value) for value in values)


def check_share(what: str, value: float) -> float:
  """Returns a number in [0, 1), or raises a UserError."""
  if not 0 <= value < 1:
    raise UserError(
      f'config.model.{what} is {value!r}; give a number from 0 to below 1.'
    )
  return float(value)


def check_positive(what: str, value: float) -> float:
  """Returns a number above 0, or raises a UserError."""
  if isinstance(value, bool | str) or not value > 0:
    raise UserError(f'config.model.{what} is {value!r}; give a number above 0.')
  return float(value)


def check_choice(what: str, value: str, choices: Sequence[str]) -> str:
  """Returns one of the choices, or raises a UserError."""
  if value not in choices:
    raise UserError(
      f'config.model.{what} is {value!r}; give one of {", ".join(choices)}.'
    )
  return value


def check_activation(what: str, value: str) -> str:
  """Returns the name of an activation, or raises a UserError."""
  del what
  activation(value)
  return value


def check_size(what: str, x: jax.Array, least: int) -> None:
  """Raises a UserError unless the images `b h w c` are large enough."""
  h, w = x.shape[1:3]
  if min(h, w) < least:
    raise UserError(
      f'{what} needs images of at least {least} x {least} pixels and these '
      f'have {h} x {w}; resize them, or use another model.'
    )


# Options that mean the same in every image model.
_SHARED = {
  'activation': check_activation,
  'auxiliary_dropout': check_share,
  'dropout': check_share,
  'hidden': check_counts,
  'norm_epsilon': check_share,
  'norm_momentum': check_share,
  'num_outputs': check_count,
  'patch': check_count,
  'pool_size': check_count,
  'stochastic_depth': check_share,
}


def build(module: Callable[..., Any], **values: Any) -> Any:
  """A module with the options that all models share checked.

  Raises:
    UserError: one of them is out of range.
  """
  for name in _SHARED.keys() & values.keys():
    values[name] = _SHARED[name](name, values[name])
  return module(**values)
