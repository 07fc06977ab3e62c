"""Cases of one test, of which the quick tests take some."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], every: int, *, several: bool = False) -> list:
  """One case of `every`, from the first on; the others are slow.

  Args:
    cases: of `pytest.mark.parametrize`.
    every: how many cases there are for a quick one.
    several: whether a case is a tuple, a value for each of several names.
  """
  return [
    case
    if k % every == 0
    else pytest.param(*(case if several else (case,)), marks=pytest.mark.slow)
    for k, case in enumerate(cases)
  ]
