"""Factories of models: the options of a class or function, checked."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import jax

from recog_jax.errors import UserError
from recog_jax.models.layers.activation import activation

# What every Linen module takes beside its own attributes.
_OF_LINEN = ('parent', 'name')
_SHARES = (
  'auxiliary_dropout',
  'dropout',
  'input_dropout',
  'norm_epsilon',
  'norm_momentum',
  'stochastic_depth',
)


def factory(
  make: Callable[..., Any],
  name: str,
  summary: str | None = None,
  *,
  defaults: Mapping[str, Any] = {},
  **fixed: Any,
) -> Callable[..., Any]:
  """A factory for configs: `make` with checked options, some of them fixed.

  Options, their types and defaults are those of `make`, and so is their
  documentation: they are written once, as attributes of the module. The type
  says what is checked: `int` is at least 1, `Literal` one of its values, a
  sequence of `int` has numbers of at least 1; `_SHARES` are below 1, any other
  `float` is above 0. A default is always right.

  Args:
    make: class of a Linen module, or a function of keyword arguments.
    name: of the factory.
    summary: what its docstring says before its options, if not what `make`'s
      does.
    defaults: of options that `make` has another default for, or none.
    **fixed: options that are options no more.
  """
  signature = inspect.signature(make)
  result = make if inspect.isclass(make) else signature.return_annotation
  options = {
    key: p.replace(kind=p.KEYWORD_ONLY, default=defaults.get(key, p.default))
    for key, p in signature.parameters.items()
    if key not in (*fixed, *_OF_LINEN)
  }

  def build(**values):
    for key in values.keys() & options.keys():
      values[key] = _check(options[key], values[key])
    return make(**fixed, **{**defaults, **values})

  build.__signature__ = signature.replace(
    parameters=list(options.values()), return_annotation=result
  )
  build.__name__ = build.__qualname__ = name
  build.__doc__ = inspect.getdoc(make)
  if summary is not None:
    options_of = re.search('^(Args|Attributes):', build.__doc__, re.MULTILINE)
    build.__doc__ = f'{summary}\n\n{build.__doc__[options_of.start() :]}'
  return build


def _check(option: inspect.Parameter, value: Any) -> Any:
  """The value, converted where configs have another type.

  Raises:
    UserError: it is out of range.
  """
  kind, choices = option.annotation, get_args(option.annotation)
  if value is not True and value == option.default:
    return value
  if option.name == 'activation' and kind is str:
    activation(value)
  elif get_origin(kind) is Literal:
    check_choice(option.name, value, choices)
  elif choices and choices[0] is int:
    fixed = get_origin(kind) is tuple and ... not in choices
    return check_counts(option.name, value, len(choices) if fixed else None)
  elif kind is int:
    check_count(option.name, value)
  elif option.name in _SHARES:
    return check_share(option.name, value)
  elif kind is float:
    return check_positive(option.name, value)
  return value


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


def check_size(what: str, x: jax.Array, least: int) -> None:
  """Raises a UserError unless the images `b h w c` are large enough."""
  h, w = x.shape[1:3]
  if min(h, w) < least:
    raise UserError(
      f'{what} needs images of at least {least} x {least} pixels and these '
      f'have {h} x {w}; resize them, or use another model.'
    )
