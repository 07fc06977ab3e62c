"""Cases of one test, of which the quick tests take some."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], every: int) -> list[Any]:
  """One case of `every`, from the first on; the others are slow."""
  return [
    case if k % every == 0 else pytest.param(case, marks=pytest.mark.slow)
    for k, case in enumerate(cases)
  ]
