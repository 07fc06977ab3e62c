"""Augmentation ops by name, from the entries of a config."""

from collections.abc import Mapping
from typing import Any

from recog_jax import registry
from recog_jax.errors import UserError


def make_op(
  kind: str, spec: Mapping[str, Any], example: str, **given: Any
) -> Any:
  """One op from its name and its keys.

  Args:
    kind: of `registry.KINDS`.
    spec: `name`, and the op's keys.
    example: of an entry, for the message where there is no name.
    **given: arguments that factories get if they have such a parameter; they
      are no keys of a config.

  Raises:
    UserError: an unknown name or key, a missing key, or a bad value.
  """
  if 'name' not in spec:
    raise UserError(
      f'an augmentation has no name: {dict(spec)}; write it like {example}'
    )
  try:
    return registry.build(kind, spec, **given)
  except (TypeError, ValueError) as error:
    keys = {k: v for k, v in spec.items() if k != 'name'}
    raise UserError(
      f'augmentation {spec["name"]} with {keys}: {error}'
    ) from error


def check(condition: bool, op: str, message: str) -> None:
  """Raises a UserError that names the op unless the condition holds."""
  if not condition:
    raise UserError(f'augmentation {op}: {message}')
