"""What all tokenizers do with ids."""

import hashlib
from collections.abc import Iterable

BLANK_ID = 0
BLANK = '<blank>'


def labels(ids: Iterable[int], vocab_size: int) -> list[int]:
  """The ids that are no blank.

  Raises:
    ValueError: one that is not below `vocab_size`.
  """
  ids = [int(i) for i in ids]
  wrong = [i for i in ids if not 0 <= i < vocab_size]
  if wrong:
    raise ValueError(f'id {wrong[0]} is not one of {vocab_size} tokens')
  return [i for i in ids if i != BLANK_ID]


def digest(*parts: str | bytes) -> str:
  """Changes if one of the parts does."""
  found = hashlib.sha256()
  for part in parts:
    data = part.encode() if isinstance(part, str) else part
    found.update(len(data).to_bytes(8, 'little') + data)
  return found.hexdigest()[:16]
