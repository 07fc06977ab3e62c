"""Classes of utterances beside their text: fields as numbers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.errors import UserError, listed, unknown_name


@dataclasses.dataclass(frozen=True)
class Labels:
  """Which fields of the data are labels, and their classes.

  Attributes:
    classes: by field, in the order of their numbers.
  """

  classes: Mapping[str, tuple[str, ...]]

  @staticmethod
  def of(keys: Mapping[str, Sequence[str]] | None) -> 'Labels | None':
    """From `config.data.labels`.

    Raises:
      UserError: a field without two classes, or a class that comes twice.
    """
    if not keys:
      return None
    for name, values in keys.items():
      if len({*values}) < max(2, len(values)):
        raise UserError(
          f'config.data.labels.{name}: name two classes or more, each once; '
          f'there are {listed(values) or "none"}'
        )
    return Labels({name: tuple(values) for name, values in keys.items()})

  def codes(self, fields: Mapping[str, Sequence[str]]) -> np.ndarray:
    """int32 `n m`: for each utterance the class of each field; -1 for others.

    Raises:
      UserError: there is no such field, or nothing in it is of its classes.
    """
    columns = []
    for name, classes in self.classes.items():
      if name not in fields:
        raise unknown_name('field of config.data.labels', name, fields)
      known = {value: i for i, value in enumerate(classes)}
      column = [known.get(value, -1) for value in fields[name]]
      if column and max(column) < 0:
        found = listed(sorted({*fields[name]}))
        raise UserError(
          f'config.data.labels.{name} has none of the classes of the data '
          f'({found}): name those'
        )
      columns.append(column)
    return np.array(columns, np.int32).T


def labels_of(
  labels: Labels | None, fields: Mapping[str, Sequence[str]]
) -> Any:
  """`Labels.codes`; None without labels."""
  return None if labels is None else labels.codes(fields)
