"""Files of torch.save, byte by byte, as torch or someone of bad will has them.

Arguments that are `Op`s are opcodes of a pickle, and written as they are.
"""

import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


class Op(bytes):
  """Opcodes that put one value on the stack."""


def name(module: str, attribute: str) -> Op:
  return Op(f'c{module}\n{attribute}\n'.encode())


def call(function: bytes, *args: Any) -> Op:
  return Op(function + value(args) + b'R')


def value(of: Any) -> Op:
  """The opcodes of a value, of protocol 2."""
  if isinstance(of, Op):
    return of
  if isinstance(of, tuple):
    return Op(b'(' + b''.join(map(value, of)) + b't')
  if isinstance(of, list):
    return Op(b'](' + b''.join(map(value, of)) + b'e')
  if isinstance(of, dict):
    items = b''.join(value(k) + value(v) for k, v in of.items())
    return Op(b'}(' + items + b'u')
  return Op(pickle.dumps(of, protocol=2)[2:-1])


def tensor(
  key: Any = '0',
  count: int = 4,
  shape: Sequence[Any] = (4,),
  strides: Sequence[Any] = (1,),
  *,
  storage: str = 'FloatStorage',
  function: str = '_rebuild_tensor_v2',
  view: tuple[Any, ...] | None = None,
  rest: tuple[Any, ...] = (),
) -> Op:
  """A call that makes a tensor of a storage."""
  kind = name('torch', storage)
  pid = value(('storage', kind, key, 'cpu', count, view)) + b'Q'
  made = name('torch._utils', function)
  return call(made, Op(pid), 0, tuple(shape), tuple(strides), *rest)


def save_zip(
  path: Path,
  top: Any,
  data: Mapping[str, bytes],
  method: int = zipfile.ZIP_STORED,
) -> Path:
  """The form since torch 1.6."""
  with zipfile.ZipFile(path, 'w', method) as archive:
    archive.writestr('archive/data.pkl', b'\x80\x02' + value(top) + b'.')
    for key, raw in data.items():
      archive.writestr(f'archive/data/{key}', raw)
  return path


def save_legacy(
  path: Path, top: Any, data: Mapping[str, np.ndarray], counts: Any = ()
) -> Path:
  """The form before; `counts` stand in front of the numbers if they are not."""
  parts = [pickle.dumps(v, protocol=2) for v in (MAGIC, 1001, {})]
  parts += [b'\x80\x02' + value(top) + b'.', pickle.dumps([*data], protocol=2)]
  for number, values in enumerate(data.values()):
    count = counts[number] if counts else values.size
    parts += [struct.pack('<q', count), values.tobytes()]
  path.write_bytes(b''.join(parts))
  return path
