"""What was predicted for each picture, as JSON lines."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.storage import AnyPath, write_whole


def write_jsonl(
  path: AnyPath,
  lookup: Any,
  ids: np.ndarray,
  rows_of: Callable[[Sequence[str]], Iterable[Mapping[str, Any]]],
) -> None:
  """Writes one JSON object a line, where pictures have names.

  Numbers have six digits, and null stands for what is not finite. Names of
  files that are no text have their bytes as escapes, which JSON can read.

  Args:
    path: the file.
    lookup: may have a method `names`: ids -> paths; else nothing is written.
    ids: int `k` numbers of examples.
    rows_of: names of all -> of each its `file`, and what else is known.
  """
  if not hasattr(lookup, 'names'):
    return
  write_rows(path, rows_of(lookup.names(ids)))


def write_rows(path: AnyPath, rows: Iterable[Mapping[str, Any]]) -> None:
  """Writes one JSON object a line; numbers as in `write_jsonl`."""
  plain = map(_plain, rows)
  lines = (json.dumps(row, ensure_ascii=False) + '\n' for row in plain)
  write_whole(path, ''.join(lines).encode(errors='backslashreplace'))


def captions(lookup: Any, ids: np.ndarray) -> list[str]:
  """Files' names without folders as they can be drawn; else `#NUMBER`.

  Args:
    lookup: may have a method `names`: ids -> paths.
    ids: int `k` numbers of examples.
  """
  if not hasattr(lookup, 'names'):
    return [f'#{number}' for number in ids]
  names = (name.rpartition('/')[2] for name in lookup.names(ids))
  return [''.join(c if c.isprintable() else '?' for c in n) for n in names]


def _plain(value: Any) -> Any:
  if isinstance(value, Mapping):
    return {k: _plain(v) for k, v in value.items()}
  if isinstance(value, list):
    return [_plain(v) for v in value]
  if isinstance(value, float):
    return float(f'{value:.6g}') if math.isfinite(value) else None
  return value
