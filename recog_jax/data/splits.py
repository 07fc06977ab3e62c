"""Splits in TFDS's notation: which records are train, val and test."""

import re

from recog_jax.errors import UserError

# Image folders (ILSVRC's among them) have `val` where TFDS has `validation`.
SAME_AS_VAL = ('val', 'validation', 'valid', 'dev')

_SPLIT = re.compile(r'^(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?$')


def split_bounds(spec: str, sizes: dict[str, int]) -> tuple[str, int, int]:
  """Reads a split in TFDS's notation: `test`, `train[:45000]`, `train[90%:]`.

  Args:
    spec: the split as the config names it.
    sizes: number of records of each official split.

  Returns:
    The official split's name, and the first and last-but-one record number.

  Raises:
    UserError: not that notation, no such split, or nothing left of it.
  """
  match = _SPLIT.match(spec)
  if not match:
    raise UserError(
      f"split '{spec}' is not understood: write it like 'test', "
      "'train[:45000]' or 'train[90%:]'"
    )
  name, start, stop = match.groups()
  if name not in sizes and name in SAME_AS_VAL:
    name = next((same for same in SAME_AS_VAL if same in sizes), name)
  if name not in sizes:
    known = ', '.join(sorted(sizes))
    raise UserError(f"the data set has no split '{name}': it has {known}")
  size = sizes[name]

  def place(bound: str | None, default: int) -> int:
    if bound is None:
      return default
    if bound.endswith('%'):
      value = round(size * int(bound[:-1]) / 100)
    else:
      value = int(bound)
    return min(max(value + size if bound[0] == '-' else value, 0), size)

  first, last = place(start, 0), place(stop, size)
  if first >= last:
    raise UserError(
      f"split '{spec}' holds no record: '{name}' has {size} of them"
    )
  return name, first, last


def check_splits(
  splits: dict[str, str], sizes: dict[str, int], *, grouped: bool = False
) -> None:
  """Refuses training records that are also evaluated on.

  Args:
    splits: of the config.
    sizes: number of records of each official split.
    grouped: slices would part groups (patients) that the source keeps whole.

  Raises:
    UserError: two of the splits overlap, or one would part groups.
  """
  cut = next((spec for spec in splits.values() if '[' in spec), None)
  if grouped and cut:
    raise UserError(
      f"the split '{cut}' would part the groups that config.data.source keeps "
      'whole: have the source divide them, with its key shares'
    )
  bounds = {k: split_bounds(v, sizes) for k, v in splits.items()}
  name, first, last = bounds['train']
  for other, (base, start, stop) in bounds.items():
    if other != 'train' and base == name and start < last and first < stop:
      raise UserError(
        f"splits.train='{splits['train']}' and splits.{other}="
        f"'{splits[other]}' share records: cut them apart"
      )
