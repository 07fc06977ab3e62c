"""Tensors of .safetensors, .pth and CTranslate2 files, without these programs.

Whatever a file says, no tensor is larger than the numbers that the file holds
for it, and no more is read than that.
"""

import errno
import io
import json
import math
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.errors import UserError, listed
from recog_jax.models.torch_file import ctranslate2, pickled, sharded
from recog_jax.models.torch_file.pickled import Foreign, Storage, Tensor

# https://github.com/pytorch/pytorch/blob/main/torch/serialization.py: the form
# before torch 1.6 begins with this number, the present one is a zip archive.
_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY = (_MAGIC, 1001)
_DTYPES = {
  'float32': np.dtype('<f4'),
  'float64': np.dtype('<f8'),
  'float16': np.dtype('<f2'),
  'bfloat16': np.dtype('<u2'),
  'int64': np.dtype('<i8'),
  'int32': np.dtype('<i4'),
  'int16': np.dtype('<i2'),
  'int8': np.dtype('i1'),
  'uint64': np.dtype('<u8'),
  'uint32': np.dtype('<u4'),
  'uint16': np.dtype('<u2'),
  'uint8': np.dtype('u1'),
  'bool': np.dtype('?'),
}
_SAFETENSORS = {
  **{f'F{n}': f'float{n}' for n in (16, 32, 64)},
  **{f'I{n}': f'int{n}' for n in (8, 16, 32, 64)},
  **{f'U{n}': f'uint{n}' for n in (8, 16, 32, 64)},
  'BF16': 'bfloat16',
  'BOOL': 'bool',
}
# Where training programs put the weights; the first one there is taken.
_WRAPPERS = ('state_dict', 'model', 'model_state_dict')
_AVERAGES = ('state_dict_ema', 'model_ema', 'ema_state_dict', 'ema')
_START = 64  # Bytes by which CTranslate2's files are known.
# Deflate makes 1000 zeros one byte; trained weights hardly shrink.
_EXPANSION = 200
_DAMAGE = (
  pickle.UnpicklingError,
  zipfile.BadZipFile,
  zlib.error,
  struct.error,
  EOFError,
  LookupError,
  ValueError,
  OverflowError,
  AttributeError,
  TypeError,
  # Encrypted archives, unknown methods of compression, deep JSON.
  RuntimeError,
)


_ADVICE = (
  'In torch, save the weights alone: torch.save(model.state_dict(), FILE).'
)


class _RefusedError(Exception):
  """A whole file of something else: what it is, and what to do."""


def _foreign(name: str) -> _RefusedError:
  if name.startswith('torch._utils._rebuild'):
    return _RefusedError(
      f'holds tensors that only torch can make ({name}). In torch, save dense '
      'ones of type float32.'
    )
  return _RefusedError(
    f'holds more than tensors ({name}), which could run code when read, and is '
    f'refused. {_ADVICE}'
  )


def _unknown_dtype(dtype: str) -> _RefusedError:
  return _RefusedError(
    f'holds tensors of type {dtype}, which are not read here. In torch, save '
    'them as float32.'
  )


class _File(io.BufferedReader):
  """Reads no more than there is, whatever length a file asks for."""

  def __init__(self, path: Path):
    super().__init__(io.FileIO(path))
    self.size = self.seek(0, io.SEEK_END)
    self.seek(0)

  def read(self, size: int | None = -1, /) -> bytes:
    left = max(0, self.size - self.tell())
    wanted = left if size is None or size < 0 else size
    return super().read(min(wanted, left))

  def exactly(self, size: int) -> bytes:
    data = self.read(size)
    if len(data) != size:
      raise EOFError('it is cut short')
    return data


def _numbers(raw: bytes, dtype: str) -> np.ndarray:
  """The numbers of that type."""
  if dtype not in _DTYPES:
    raise _unknown_dtype(dtype)
  kind = _DTYPES[dtype]
  count, rest = divmod(len(raw), kind.itemsize)
  if rest:
    raise ValueError('a number that is cut short')
  values = np.frombuffer(raw, kind, count)
  if dtype == 'bfloat16':  # The upper half of a float32.
    return (values.astype('<u4') << 16).view('<f4')
  return values


def _view(tensor: Tensor, data: np.ndarray) -> np.ndarray:
  """The tensor in the numbers of its storage; no copy, which could be huge."""
  count = math.prod(tensor.shape)
  if not count:
    return np.zeros(tensor.shape, data.dtype)
  steps = zip(tensor.shape, tensor.strides, strict=True)
  end = tensor.offset + 1 + sum((n - 1) * s for n, s in steps)
  typed = tensor.dtype == tensor.storage.dtype  # Else it is counted in bytes.
  held = tensor.storage.count if typed else len(data)
  start = tensor.storage.start
  if end > held or start + end > len(data) or count > held:
    raise ValueError('a tensor that reaches beyond its data')
  strides = [s * data.itemsize for s in tensor.strides]
  return np.lib.stride_tricks.as_strided(
    data[start + tensor.offset :], tensor.shape, strides, writeable=False
  )


# -- .pth ----------------------------------------------------------------------

_Fetch = Callable[[str], bytes]


def _open_zip(file: _File) -> tuple[Any, _Fetch]:
  """What the archive's pickle says, and what gives the bytes under a key."""
  archive = zipfile.ZipFile(file)
  entries = {entry.filename: entry for entry in archive.infolist()}
  declared = sum(entry.file_size for entry in archive.infolist())
  if declared > _EXPANSION * file.size:
    raise pickle.UnpicklingError(
      f'its {file.size} bytes would become {declared}'
    )
  found = [n for n in entries if n.endswith('/data.pkl') or n == 'data.pkl']
  if len(found) != 1:
    raise pickle.UnpicklingError(f'a zip archive with {len(found)} data.pkl')
  root = found[0].removesuffix('data.pkl')

  def fetch(name: str) -> bytes:
    entry = entries.get(root + name)
    if entry is None:
      raise EOFError(f'{name} is missing')
    if entry.flag_bits & 1:
      raise _RefusedError('is encrypted; give it without a password.')
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise NotImplementedError(f'compressed by method {entry.compress_type}')
    with archive.open(entry) as data:  # Without a size it reads beyond its own.
      return data.read(entry.file_size)

  if root + 'byteorder' in entries and fetch('byteorder') != b'little':
    raise _RefusedError(
      'holds numbers in big-endian order. In torch, save it on another machine.'
    )
  top = pickled.load(io.BytesIO(fetch('data.pkl')), {})
  return top, lambda key: fetch(f'data/{key}')


def _open_legacy(file: _File) -> tuple[Any, _Fetch]:
  """The same of what torch wrote before 1.6."""
  for expected in _LEGACY:
    if pickled.load(file, {}) != expected:
      raise pickle.UnpicklingError('not written by torch.save')
  pickled.load(file, {})  # Sizes of C's types where it was written.
  storages: dict[str, Storage] = {}
  top = pickled.load(file, storages)
  end = file.tell()
  places: dict[str, tuple[int, int]] = {}

  def fetch(name: str) -> bytes:
    if not places:
      file.seek(end)
      places.update(_legacy_places(file, storages))
    place, length = places[name]
    file.seek(place)
    return file.exactly(length)

  return top, fetch


def _legacy_places(file, storages):
  """Rows of a storage's key, where it begins and its bytes."""
  for key in pickled.load(file, {}):
    storage = storages[pickled.text(key)]
    if storage.dtype not in _DTYPES:
      raise _unknown_dtype(storage.dtype)
    (count,) = struct.unpack('<q', file.exactly(8))
    length = count * _DTYPES[storage.dtype].itemsize
    if not 0 <= length <= file.size - file.tell():
      raise EOFError('it is cut short')
    yield key, (file.tell(), length)
    file.seek(length, io.SEEK_CUR)


def _state(top: Any, tell: Callable[[str], None]) -> Mapping[str, Tensor]:
  """The weights among what was saved with them."""
  place: list[str] = []
  while isinstance(top, dict) and len(place) < 4:
    keys = [key for key in _WRAPPERS + _AVERAGES if _deeper(top.get(key))]
    if not keys and not _tensors(top):
      keys = [key for key, value in top.items() if _deeper(value, Tensor)]
      if len(keys) > 1:
        raise _RefusedError(
          f'holds several sets of tensors ({listed(map(str, keys))}). In '
          'torch, save the one that is meant.'
        )
    if not keys:
      break
    others = f', not {listed(keys[1:])}' if keys[1:] else ''
    place.append(f'under {keys[0]!r}{others}')
    top = top[keys[0]]
  if isinstance(top, Foreign):
    raise _foreign(top.name)
  if not isinstance(top, dict):
    raise _RefusedError(
      f'holds a {type(top).__name__} and no tensors by name. {_ADVICE}'
    )
  for value in top.values():
    if isinstance(value, Foreign):
      raise _foreign(value.name)
  for text in place:
    tell(text)
  return {pickled.text(k): v for k, v in _tensors(top).items()}


def _deeper(value: Any, kinds: Any = Tensor | dict) -> bool:
  """Whether it is a dict with tensors, or with dicts that may have some."""
  return isinstance(value, dict) and any(
    isinstance(inner, kinds) for inner in value.values()
  )


def _tensors(values: Mapping[Any, Any]) -> dict[Any, Tensor]:
  return {k: v for k, v in values.items() if isinstance(v, Tensor)}


def _read_pth(file, tell):
  if zipfile.is_zipfile(file):
    top, fetch = _open_zip(file)
  else:
    file.seek(0)
    top, fetch = _open_legacy(file)
  # Once per storage, since tensors may share one.
  data: dict[tuple[str, str], np.ndarray] = {}
  found = {}
  for name, tensor in _state(top, tell).items():
    place = tensor.storage.key, tensor.dtype
    if place not in data:
      data[place] = _numbers(fetch(tensor.storage.key), tensor.dtype)
    found[name] = _view(tensor, data[place])
  return found


# -- .safetensors --------------------------------------------------------------


def _read_safetensors(file, tell):
  """A JSON header, then the numbers: https://huggingface.co/docs/safetensors."""
  del tell
  (length,) = struct.unpack('<Q', file.exactly(8))
  header = json.loads(file.exactly(length))
  base, found, held = file.tell(), {}, 0
  for name, entry in header.items():
    if name == '__metadata__':
      continue
    begin, end = entry['data_offsets']
    if not 0 <= begin <= end <= file.size - base:
      raise EOFError('it is cut short')
    held += end - begin
    if held > file.size - base:
      raise ValueError('tensors that overlap')
    file.seek(base + begin)
    kind = pickled.text(entry['dtype'])
    raw = file.exactly(end - begin)
    values = _numbers(raw, _SAFETENSORS.get(kind, kind))
    shape = pickled.whole_numbers(entry['shape'])
    if math.prod(shape) != len(values):
      raise ValueError(f'{name} is not of its shape')
    found[name] = values.reshape(shape)
  return found


def read(
  path: str | Path, tell: Callable[[str], None] = lambda _: None
) -> dict[str, np.ndarray]:
  """The tensors of a file by name.

  Args:
    path: a `.safetensors` file, one that `torch.save` wrote of a model's
      `state_dict()`, or of a dict that has one as `state_dict`, `model` or
      under another name, a `model.bin` of CTranslate2, or an index of several
      files, `model.safetensors.index.json`.
    tell: is called with where in such a dict they were.

  Returns:
    Arrays that cannot be written to; some may share their memory.

  Raises:
    UserError: no such file, another format, a damaged file, or one that holds
      no tensors but, for example, a whole model.
  """
  path = Path(path)
  if not path.is_file():
    raise UserError(
      f'there is no file {path}; give a .safetensors or .pth file.'
    )
  if path.name.endswith(sharded.SUFFIX):
    return sharded.read(path, lambda part: read(part, tell))
  if path.suffix == '.safetensors':
    reader, kind = _read_safetensors, 'safetensors file'
  elif path.suffix in ('.pth', '.pt', '.bin', '.ckpt', '.tar'):
    reader, kind = _read_pth, 'file of torch.save'
  else:
    raise UserError(
      f'{path} is neither .safetensors nor .pth; give one of these.'
    )
  try:
    with _File(path) as file:
      if ctranslate2.is_one(file.read(_START)):
        kind = 'file of CTranslate2'
        reader = lambda file, _: ctranslate2.read(file, _numbers)  # noqa: E731
      file.seek(0)
      state = reader(file, tell)
  except _RefusedError as error:
    raise UserError(f'{path} {error}') from error
  except OSError as error:
    if error.errno != errno.EINVAL:  # A place that no file has.
      raise
    raise _damaged(path, kind, error) from error
  except _DAMAGE as error:
    raise _damaged(path, kind, error) from error
  if not state:
    raise UserError(f'{path} holds no tensors.')
  return state


def _damaged(path: Path, kind: str, error: Exception) -> UserError:
  return UserError(
    f'{path} is damaged, or no {kind} ({str(error)[:200]}); fetch it again.'
  )
