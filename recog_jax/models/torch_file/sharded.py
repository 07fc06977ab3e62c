"""Weights in several files, named by `model.safetensors.index.json`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from recog_jax.errors import UserError, listed

SUFFIX = '.index.json'


def read(
  path: Path, read_one: Callable[[Path], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
  """The tensors of all files that an index names.

  Args:
    path: of the index; the files lie beside it.
    read_one: gives the tensors of one of them.

  Raises:
    UserError: no index, a file that is not there, or one without a tensor that
      the index says it has.
  """
  try:
    places = json.loads(path.read_text())['weight_map']
    files = sorted({*places.values()})
    plain = all(Path(name).name == name for name in files)
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
    files, plain = [], False
  if not files or not plain:
    raise UserError(
      f'{path} is no index of weights: it has no weight_map of files beside it'
    )
  if lost := [name for name in files if not (path.parent / name).is_file()]:
    raise UserError(
      f'{path} names {listed(lost)}, not there: put all files of the weights '
      'into that folder'
    )
  found: dict[str, np.ndarray] = {}
  for name in files:
    found |= read_one(path.parent / name)
  if lost := sorted({*places} - {*found}):
    raise UserError(
      f'{path} names {listed(lost)}, which the files do not hold: they are of '
      'another index'
    )
  return found
