"""Tensors of CTranslate2's `model.bin`.

The format (OpenNMT/CTranslate2, python/ctranslate2/specs/model_spec.py): a
version, the name and revision of the architecture, then for each variable its
name, shape, type and numbers, at last other names of the same variables.
"""

import math
import struct
from typing import Any, Protocol

import numpy as np

# Types by their number there, as `torch_file` calls them.
_TYPES = ('float32', 'int8', 'int16', 'int32', 'float16', 'bfloat16')
# Versions before have no types, and none of Whisper was written in one.
_OLDEST, _NEWEST = 4, 6
_SCALE = '_scale'


class File(Protocol):
  """What is read here; see `torch_file`."""

  def exactly(self, size: int) -> bytes: ...


def is_one(start: bytes) -> bool:
  """Whether a file that begins so is one: a version, and a name that ends."""
  if len(start) < 6:
    return False
  version, length = struct.unpack('<IH', start[:6])
  name = start[6 : 6 + length]
  return (
    0 < version < 100
    and 1 < length <= len(start) - 6
    and name[-1:] == b'\0'
    and name[:-1].isalnum()
  )


def read(file: File, numbers: Any) -> dict[str, np.ndarray]:
  """Its tensors, names with dots; whole numbers with a scale are divided by it.

  Args:
    file: at its start.
    numbers: (bytes, name of a type) -> array.

  Raises:
    ValueError: another version, or tensors that are not as they say.
    EOFError: it is cut short.
  """

  def ints(form: str) -> tuple[int, ...]:
    return struct.unpack(f'<{form}', file.exactly(struct.calcsize(f'<{form}')))

  def text() -> str:
    (length,) = ints('H')
    return file.exactly(length).rstrip(b'\0').decode()

  (version,) = ints('I')
  if not _OLDEST <= version <= _NEWEST:
    raise ValueError(
      f'of version {version}, where {_OLDEST} to {_NEWEST} are read: convert '
      'the model again with a newer CTranslate2'
    )
  text(), ints('I')
  found: dict[str, np.ndarray] = {}
  for _ in range(*ints('I')):
    name, (rank,) = text(), ints('B')
    shape = ints(f'{rank}I')
    kind, length = ints('BI')
    if kind >= len(_TYPES):
      raise ValueError(f'{name} is of an unknown type, {kind}')
    values = numbers(file.exactly(length), _TYPES[kind])
    if math.prod(shape) != len(values):
      raise ValueError(f'{name} is not of its shape')
    found[name] = values.reshape(shape)
  # What has no axes says how the program computes.
  whole = {
    name: _scaled(found, name)
    for name, value in found.items()
    if not name.endswith(_SCALE) and value.ndim
  }
  for _ in range(*ints('I')):
    alias, name = text(), text()
    if name in whole:  # Not a scale, which may have two names as well.
      whole[alias] = whole[name]
  return {name.replace('/', '.'): value for name, value in whole.items()}


def _scaled(found: dict[str, np.ndarray], name: str) -> np.ndarray:
  """The numbers that quantised ones stand for, as far as a scale says it."""
  value, scale = found[name], found.get(name + _SCALE)
  if scale is None or value.dtype.kind != 'i':
    return value
  scale = scale.astype(np.float32)
  if scale.size > 1:  # One for each output.
    if scale.size != len(value):
      raise ValueError(f'{name} has {scale.size} scales for {len(value)} rows')
    scale = scale.reshape(-1, *(1,) * (value.ndim - 1))
  return value / scale
