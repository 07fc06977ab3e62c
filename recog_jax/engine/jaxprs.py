"""What stands in a traced function."""

from collections.abc import Iterator
from typing import Any

from jax.extend import core


def inner(eqn: Any) -> Iterator[Any]:
  """The jaxprs in an equation's parameters: calls, loops, branches."""
  for value in eqn.params.values():
    for part in value if isinstance(value, tuple | list) else (value,):
      if isinstance(part, core.ClosedJaxpr):
        yield part.jaxpr
      elif isinstance(part, core.Jaxpr):
        yield part


def primitives(jaxpr: Any) -> Iterator[str]:
  """The name of each operation, those inside of others too."""
  for eqn in jaxpr.eqns:
    yield eqn.primitive.name
    for part in inner(eqn):
      yield from primitives(part)
