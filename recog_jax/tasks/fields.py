"""What the data say of examples beside their targets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recog_jax.tasks.base import Lookup, Records


def fields(
  lookup: Lookup, records: Records, label_names: Sequence[str] = ()
) -> dict[str, list[str]]:
  """n strings of each name; the class of each is one too, as `label`.

  Args:
    lookup: of the split; of pictures it has a method `fields`, so that none is
      read.
    records: of n examples.
    label_names: of the classes; (): there are none.
  """
  ids = np.asarray(records['index'])
  own: Any = lookup
  if hasattr(own, 'fields'):
    found = own.fields(ids)
  else:
    found = {} if hasattr(own, 'names') else lookup(ids).get('fields', {})
  found = {name: [str(v) for v in values] for name, values in found.items()}
  target = records.get('target')
  if label_names and target is not None and np.ndim(target) == 1:
    found.setdefault('label', [str(label_names[i]) for i in target])
  return found
