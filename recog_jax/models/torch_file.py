"""Tensors of .safetensors and .pth files as numpy arrays, without torch.

A .pth file is a pickle, and a pickle can run any code. The reader here builds
nothing but tensors and the containers that hold them; a file that asks for more
is refused.
"""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

from recog_jax.errors import UserError

# https://github.com/pytorch/pytorch/blob/main/torch/serialization.py: the form
# before torch 1.6 begins with this number, the present one is a zip archive.
_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
  'FloatStorage': np.dtype('<f4'),
  'DoubleStorage': np.dtype('<f8'),
  'HalfStorage': np.dtype('<f2'),
  'LongStorage': np.dtype('<i8'),
  'IntStorage': np.dtype('<i4'),
  'ShortStorage': np.dtype('<i2'),
  'CharStorage': np.dtype('i1'),
  'ByteStorage': np.dtype('u1'),
  'BoolStorage': np.dtype('?'),
}
# bfloat16 is the upper half of a float32.
_BFLOAT16 = 'BFloat16Storage'
_STATE_KEYS = ('state_dict', 'model', 'model_state_dict')


class _RefusedError(Exception):
  """A pickle that asks for something other than tensors."""


class _Storage:
  """The numbers behind tensors, filled when they are read."""

  def __init__(self, kind: str):
    self.kind = kind
    self.data = np.zeros(0)

  @property
  def item_size(self) -> int:
    return 2 if self.kind == _BFLOAT16 else _DTYPES[self.kind].itemsize

  def fill(self, raw: bytes) -> None:
    if self.kind == _BFLOAT16:
      bits = np.frombuffer(raw, '<u2').astype('<u4') << 16
      self.data = bits.view('<f4')
    else:
      self.data = np.frombuffer(raw, _DTYPES[self.kind])


class _Tensor:
  """A view of a storage."""

  def __init__(self, storage, offset, shape, strides):
    self.storage, self.offset = storage, offset
    self.shape, self.strides = tuple(shape), tuple(strides)

  def array(self) -> np.ndarray:
    data = self.storage.data[self.offset :]
    needed = 1 + sum(
      (n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)
    )
    if 0 in self.shape:
      return np.zeros(self.shape, data.dtype)
    if needed > len(data) or min(self.strides, default=0) < 0:
      raise _RefusedError('a tensor that reaches beyond its data')
    strides = [s * data.itemsize for s in self.strides]
    return np.lib.stride_tricks.as_strided(data, self.shape, strides).copy()


def _rebuild_tensor(storage, offset, shape, strides, *_):
  return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *_):
  return tensor


class _StorageType:
  def __init__(self, kind: str):
    self.kind = kind


_KNOWN = {
  ('collections', 'OrderedDict'): OrderedDict,
  ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
  ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
  ('torch', 'Size'): tuple,
}


class _Unpickler(pickle.Unpickler):
  """Builds only what `_KNOWN` and the storages name."""

  def __init__(self, file):
    super().__init__(file)
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module, name):
    if (module, name) in _KNOWN:
      return _KNOWN[module, name]
    if module == 'torch' and (name in _DTYPES or name == _BFLOAT16):
      return _StorageType(name)
    raise _RefusedError(f'{module}.{name}')

  def persistent_load(self, pid):
    kind, key = pid[1], str(pid[2])
    if pid[0] != 'storage' or not isinstance(kind, _StorageType):
      raise _RefusedError('an object that is no storage')
    if len(pid) > 5 and pid[5] is not None:
      raise _RefusedError('a view of a storage, from before torch 0.4')
    return self.storages.setdefault(key, _Storage(kind.kind))


def _read_zip(path):
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
    (index,) = [n for n in names if n.endswith('/data.pkl') or n == 'data.pkl']
    root = index[: -len('data.pkl')]
    order = root + 'byteorder'
    if order in names and archive.read(order) != b'little':
      raise _RefusedError('numbers in big-endian order')
    unpickler = _Unpickler(io.BytesIO(archive.read(index)))
    state = unpickler.load()
    for key, storage in unpickler.storages.items():
      storage.fill(archive.read(f'{root}data/{key}'))
  return state


def _read_legacy(path):
  with Path(path).open('rb') as file:
    for expected in (_MAGIC, 1001):
      if _Unpickler(file).load() != expected:
        raise pickle.UnpicklingError('not written by torch.save')
    _Unpickler(file).load()  # Sizes of C's types where it was written.
    unpickler = _Unpickler(file)
    state = unpickler.load()
    for key in _Unpickler(file).load():
      storage = unpickler.storages[str(key)]
      (count,) = struct.unpack('<q', file.read(8))
      storage.fill(file.read(count * storage.item_size))
  return state


def _read_pth(path):
  try:
    legacy = not zipfile.is_zipfile(path)
    state = _read_legacy(path) if legacy else _read_zip(path)
    if not isinstance(state, dict):
      raise _RefusedError(f'a {type(state).__name__}')
    for key in _STATE_KEYS:
      if isinstance(state.get(key), dict):
        state = state[key]
    return {
      str(name): value.array()
      for name, value in state.items()
      if isinstance(value, _Tensor)
    }
  except _RefusedError as error:
    raise UserError(
      f'{path} holds more than tensors ({error}), which could run code when '
      'read, and is refused. In torch, save the weights alone: '
      'torch.save(model.state_dict(), FILE).'
    ) from error
  except (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    KeyError,
    ValueError,
    IndexError,
    AttributeError,
    TypeError,
  ) as error:
    raise UserError(
      f'{path} is damaged, or no file of torch.save ({error}); fetch it again.'
    ) from error


def _read_safetensors(path):
  try:
    from safetensors import SafetensorError, safe_open
  except ImportError as error:
    raise UserError(
      f"to read {path} install safetensors: pip install 'recog_jax[weights]'"
    ) from error
  try:
    with safe_open(path, 'np') as file:
      return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except SafetensorError as error:
    raise UserError(
      f'{path} is damaged, or no safetensors file ({error}); fetch it again.'
    ) from error


def read(path: str | Path) -> dict[str, np.ndarray]:
  """The tensors of a file by name.

  Args:
    path: a `.safetensors` file, or one that `torch.save` wrote of a model's
      `state_dict()` (or of a dict that has one as `state_dict` or `model`).

  Raises:
    UserError: no such file, another format, a damaged file, or a pickle that
      holds more than tensors.
  """
  path = Path(path)
  if not path.is_file():
    raise UserError(
      f'there is no file {path}; give a .safetensors or .pth file.'
    )
  if path.suffix == '.safetensors':
    state = _read_safetensors(path)
  elif path.suffix in ('.pth', '.pt', '.bin'):
    state = _read_pth(path)
  else:
    raise UserError(
      f'{path} is neither .safetensors nor .pth; give one of these.'
    )
  if not state:
    raise UserError(f'{path} holds no tensors.')
  return state
