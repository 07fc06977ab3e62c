"""Rows of metrics.jsonl, whoever wrote them; without jax."""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from recog_jax import storage
from recog_jax.errors import printable

_MOST_STEPS = 2**62  # TensorBoard's files count in 64 bits.


def is_row(row: Mapping[str, Any]) -> bool:
  """Whether an object is a row at all: it has a step and a kind."""
  step, kind = row.get('step'), row.get('kind')
  return (
    isinstance(step, int)
    and not isinstance(step, bool)
    and 0 <= step < _MOST_STEPS
    and isinstance(kind, str)
  )


def is_number(value: Any) -> TypeGuard[int | float]:
  """Whether a value can be drawn, compared and counted with."""
  try:
    return isinstance(value, int | float) and math.isfinite(value)
  except OverflowError:  # A whole number of hundreds of digits.
    return False


def read(path: storage.AnyPath) -> list[dict[str, Any]]:
  """The rows of a metrics.jsonl, with their numbers alone.

  A line that a kill or a full disk cut, or something else wrote, is skipped; so
  is a number that was not finite.
  """
  return [
    {
      printable(k): printable(v) if k == 'kind' else v
      for k, v in row.items()
      if k == 'kind' or is_number(v)
    }
    for row in storage.read_rows(path)
    if is_row(row)
  ]
