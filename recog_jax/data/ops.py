"""Augmentation ops by name, from the entries of a config."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from recog_jax.errors import UserError, unknown_name


def make_op(
  spec: Mapping[str, Any],
  table: Mapping[str, Callable[..., Any]],
  example: str,
  given: Mapping[str, Any],
) -> Any:
  """One op from its name and its keys.

  Args:
    spec: `name`, and the op's keys.
    table: {name: factory}.
    example: of an entry, for the message where there is no name.
    given: arguments that factories get if they have such a parameter; they are
      no keys of a config.

  Raises:
    UserError: an unknown name or key, a missing key, or a bad value.
  """
  keys = dict(spec)
  if 'name' not in keys:
    raise UserError(
      f'an augmentation has no name: {keys}; write it like {example}'
    )
  name = keys.pop('name')
  if name not in table:
    raise unknown_name('augmentation', name, table)
  parameters = inspect.signature(table[name]).parameters
  known = {k: p for k, p in parameters.items() if k not in given}
  for key in keys:
    if key not in known:
      raise unknown_name(f'key of augmentation {name}', key, known)
  for key, parameter in known.items():
    check(
      key in keys or parameter.default is not parameter.empty,
      name,
      f"it needs the key '{key}'; its keys are {', '.join(known)}",
    )
  more = {k: v for k, v in given.items() if k in parameters}
  try:
    return table[name](**keys, **more)
  except (TypeError, ValueError) as error:
    raise UserError(f'augmentation {name} with {keys}: {error}') from error


def check(condition: bool, op: str, message: str) -> None:
  """Raises a UserError that names the op unless the condition holds."""
  if not condition:
    raise UserError(f'augmentation {op}: {message}')
