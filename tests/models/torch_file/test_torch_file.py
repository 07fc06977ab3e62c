"""Reading torch's files without torch, and refusing what is not tensors.

`torch_files` were written by torch 2.13: a dict with a `state_dict`, and with
`_use_new_zipfile_serialization=False` the state itself.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models import torch_file
from tests import fuzzing
from tests.models import torch_writer
from tests.models.torch_writer import Op, call, name, tensor, value

FILES = Path(__file__).parents[1] / 'torch_files'
FOUR = np.arange(4, dtype='<f4')
RAW = {'0': FOUR.tobytes()}


@pytest.mark.smoke
@pytest.mark.parametrize('name', ['zip.pth', 'legacy.pth'])
def test_tensors_of_both_forms_are_read(name):
  state = torch_file.read(FILES / name)
  assert set(state) == {'a', 't', 'n', 'h'}
  values = np.arange(6, dtype=np.float32).reshape(2, 3)
  np.testing.assert_array_equal(state['a'], values)
  np.testing.assert_array_equal(state['t'], values.T)  # Strides are kept.
  assert state['n'] == 5
  np.testing.assert_array_equal(state['h'], [1.5, -2.0])  # bfloat16


def python2(text):
  return Op(b'U' + bytes([len(text)]) + text.encode())


def test_files_of_the_first_torch_are_read(tmp_path):
  """Of Python 2, by `_rebuild_tensor`, with tensors in parts of a storage."""
  first = tensor(view=None, function='_rebuild_tensor')
  part = tensor(
    view=('9', 1, 2), shape=(2,), function='_rebuild_tensor', count=4
  )
  pairs = [[python2('a'), first], [python2('b'), part]]
  top = call(name('collections', 'OrderedDict'), pairs)
  path = torch_writer.save_legacy(tmp_path / 'vgg16.pth', top, {'0': FOUR})
  state = torch_file.read(path)
  np.testing.assert_array_equal(state['a'], FOUR)
  np.testing.assert_array_equal(state['b'], FOUR[1:3])
  beyond = tensor(view=('9', 3, 2), shape=(2,))
  torch_writer.save_legacy(path, {'b': beyond}, {'0': FOUR})
  with pytest.raises(UserError, match='beyond its data'):
    torch_file.read(path)


def third(dtype):
  """What torch makes of types that have no storage of their own."""
  rest = (False, {}, name('torch', dtype), None)
  return tensor(
    count=16,
    storage='UntypedStorage',
    function='_rebuild_tensor_v3',
    rest=rest,
  )


def test_newer_types_and_wrapped_tensors_are_read(tmp_path):
  typed = Op(value(third('uint16')))
  function = name('torch._utils', '_rebuild_tensor_v2')
  pid = Op(
    value(('storage', name('torch', 'FloatStorage'), '0', 'cpu', 4)) + b'Q'
  )
  wrapped = call(
    name('torch._tensor', '_rebuild_from_type_v2'),
    function,
    name('torch', 'Tensor'),
    (pid, 0, (2, 2), (1, 2)),
    {'note': 'x'},
  )
  parameter = call(
    name('torch._utils', '_rebuild_parameter'), tensor(), True, {}
  )
  top = {'a': typed, 'b': wrapped, 'c': parameter, 'step': 3}
  state = torch_file.read(torch_writer.save_zip(tmp_path / 'a.pth', top, RAW))
  np.testing.assert_array_equal(state['a'], FOUR.view('<u2')[:4])
  np.testing.assert_array_equal(state['b'], FOUR.reshape(2, 2).T)
  np.testing.assert_array_equal(state['c'], FOUR)


STATE = {'a': tensor()}


@pytest.mark.parametrize(
  ('top', 'told'),
  [
    ({'state_dict': STATE, 'epoch': 3}, ["under 'state_dict'"]),
    ({'model': STATE, 'model_ema': STATE}, ["under 'model', not model_ema"]),
    ({'model_ema': {'state_dict': STATE}}, ['model_ema', 'state_dict']),
    ({'net': STATE, 'optimizer': {'state': {}}}, ["under 'net'"]),
    ({'net': STATE, 'ema': {'decay': 0.9}}, ["under 'net'"]),
    # Never called, and so as harmless as any other text.
    (
      {'model': STATE, 'args': call(name('argparse', 'Namespace'))},
      ["under 'model'"],
    ),
  ],
)
def test_weights_are_found_in_a_checkpoint(top, told, tmp_path):
  notes = []
  path = torch_writer.save_zip(tmp_path / 'a.pth', top, RAW)
  assert set(torch_file.read(path, notes.append)) == {'a'}
  assert len(notes) == len(told)
  assert all(want in note for want, note in zip(told, notes, strict=True))


class _Evil:
  def __reduce__(self):
    return os.mkdir, ('made_by_a_pickle',)


@pytest.mark.parametrize('zipped', [True, False])
def test_a_pickle_that_would_run_code_is_refused(zipped, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'evil.pth'
  evil = pickle.dumps({'weight': _Evil()})
  if zipped:
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('evil/data.pkl', evil)
  else:
    head = [torch_writer.MAGIC, 1001, {}]
    path.write_bytes(b''.join(map(pickle.dumps, head)) + evil)
  with pytest.raises(UserError, match=r'mkdir.*could run code.*refused'):
    torch_file.read(path)
  assert not (tmp_path / 'made_by_a_pickle').exists()


DEEP = Op(b')' + b'\x85' * 200_000)
SEVERAL = {'a': {'x': tensor()}, 'b': {'x': tensor()}}
SETS = r'several sets of tensors \(a, b\)'
BYTES = Op(b'\x8e' + struct.pack('<Q', 1 << 40))
HUGE = tensor(shape=(1 << 70,), strides=(1,))
STEEP = tensor(shape=(2,), strides=(1 << 70,))
SAME = tensor(shape=(1 << 20, 1 << 20), strides=(0, 0))
QUANTISED = call(name('torch._utils', '_rebuild_qtensor'), tensor())
CALLED = call(name('torchvision.models.resnet', 'ResNet'))
ATTRIBUTES = Op(tensor() + value({'array': 1}) + b'b')


@pytest.mark.parametrize(
  ('top', 'message'),
  [
    ({'a': HUGE}, 'impossible size'),
    ({'a': STEEP}, 'impossible size'),
    ({'a': tensor(count=1 << 70)}, 'impossible size'),
    ({'a': tensor(shape=(-1,))}, 'impossible size'),
    ({'a': tensor(shape=(1,) * 70, strides=(1,) * 70)}, 'impossible size'),
    ({'a': SAME}, 'beyond its data'),
    ({'a': tensor(count=1 << 40, shape=(1 << 40,))}, 'beyond its data'),
    ({'a': tensor(shape=(2, 2), strides=(1,))}, 'damaged'),
    ({'a': tensor(key=(1, 2))}, 'a tuple as name'),
    ({'a': tensor(key='1')}, 'data/1 is missing'),
    ({'a': ATTRIBUTES}, 'a tensor with attributes'),
    ({3: tensor()}, 'a int as name'),
    ({DEEP: tensor()}, 'a tuple as key'),
    ({'a': tensor(), 'b': DEEP, 'c': BYTES}, 'only'),
    (Op(b'Nr' + b'\xff' * 4), 'a NoneType and no tensors'),
    (Op(b'\x93'), 'damaged'),
    (call(Op(b'N'), 1), 'no function'),
    ([tensor()], 'a list and no tensors'),
    (CALLED, 'more than tensors .*ResNet'),
    ({'a': QUANTISED}, r'only torch can make \(.*_rebuild_qtensor'),
    (SEVERAL, SETS),
    ({'a': third('float8_e4m3fn')}, 'of type float8_e4m3fn, which are not'),
    ({'a': tensor(storage='ComplexFloatStorage')}, 'of type ComplexFloat,'),
    ({'model': {}}, 'holds no tensors'),
  ],
)
def test_what_is_no_weights_is_said_without_much_memory(top, message, tmp_path):
  path = torch_writer.save_zip(tmp_path / 'a.pth', top, RAW)
  with (
    fuzzing.limited_memory(1 << 28),
    pytest.raises(UserError, match=message),
  ):
    torch_file.read(path)


def test_a_dict_that_holds_itself_ends(tmp_path):
  top = Op(b'}q\x00' + value('model') + b'h\x00s')
  path = torch_writer.save_zip(tmp_path / 'a.pth', top, {})
  with pytest.raises(UserError, match='holds no tensors'):
    torch_file.read(path)


def changed(path, field, number):
  """Writes a number over a field of every header of the archive."""
  data = bytearray(path.read_bytes())
  for head, start in ((b'PK\x01\x02', 0), (b'PK\x03\x04', -2)):
    at = data.find(head)
    while at >= 0:
      place = at + field + start
      data[place : place + 2] = struct.pack('<H', number)
      at = data.find(head, at + 4)
  path.write_bytes(data)


@pytest.mark.parametrize(
  ('field', 'number', 'message'),
  [
    (8, 1, 'is encrypted'),
    (10, 99, 'compressed by method 99'),
    (10, zipfile.ZIP_BZIP2, 'compressed by method 12'),
    (10, zipfile.ZIP_DEFLATED, 'decompressing'),
  ],
)
def test_archives_of_other_kinds_are_named(field, number, message, tmp_path):
  path = torch_writer.save_zip(tmp_path / 'a.pth', STATE, RAW)
  changed(path, field, number)
  with pytest.raises(UserError, match=message):
    torch_file.read(path)


def test_an_archive_that_grows_a_thousandfold_is_refused(tmp_path):
  path, many = tmp_path / 'a.pth', 1 << 24
  top = {'a': tensor(count=many, shape=(many,))}
  zeros = {'0': bytes(4 * many)}
  torch_writer.save_zip(path, top, zeros, zipfile.ZIP_DEFLATED)
  with (
    fuzzing.limited_memory(1 << 25),
    pytest.raises(UserError, match='bytes would become 67'),
  ):
    torch_file.read(path)
  torch_writer.save_zip(path, STATE, RAW, zipfile.ZIP_DEFLATED)
  np.testing.assert_array_equal(torch_file.read(path)['a'], FOUR)


@pytest.mark.parametrize('names', [(), ('a/data.pkl', 'b/data.pkl')])
def test_an_archive_without_one_pickle_is_named(names, tmp_path):
  with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
    for entry in ('x', *names):
      archive.writestr(entry, b'N.')
  with pytest.raises(UserError, match=f'with {len(names)} data.pkl'):
    torch_file.read(tmp_path / 'a.pth')


@pytest.mark.parametrize('count', [-1, 5, 1 << 62])
def test_a_count_beyond_the_file_is_named(count, tmp_path):
  path = torch_writer.save_legacy(
    tmp_path / 'a.pth', STATE, {'0': FOUR}, [count]
  )
  with pytest.raises(UserError, match='cut short'):
    torch_file.read(path)


def test_a_tensor_beyond_its_data_is_refused(tmp_path):
  """Strides that would read other memory."""
  source = io.BytesIO((FILES / 'zip.pth').read_bytes())
  path = tmp_path / 'short.pth'
  with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, 'w') as new:
    for entry in old.namelist():
      data = old.read(entry)
      new.writestr(entry, data[:8] if '/data/' in entry else data)
  with pytest.raises(UserError, match='beyond its data'):
    torch_file.read(path)


@pytest.mark.parametrize('keep', [0.3, 0.9])
@pytest.mark.parametrize('name', ['zip.pth', 'legacy.pth'])
def test_a_damaged_file_is_named(name, keep, tmp_path):
  data = (FILES / name).read_bytes()
  path = tmp_path / name
  path.write_bytes(data[: int(len(data) * keep)])
  with pytest.raises(UserError, match=name):
    torch_file.read(path)


def test_other_files_are_named(tmp_path):
  with pytest.raises(UserError, match='there is no file'):
    torch_file.read(tmp_path / 'none.pth')
  other = tmp_path / 'weights.h5'
  other.write_bytes(b'x')
  with pytest.raises(UserError, match=r'neither \.safetensors nor \.pth'):
    torch_file.read(other)


def safetensors(entries, data):
  header = entries if isinstance(entries, bytes) else json.dumps(entries)
  header = header if isinstance(header, bytes) else header.encode()
  return struct.pack('<Q', len(header)) + header + data


def entry(dtype='F32', shape=(4,), begin=0, end=16):
  return {'dtype': dtype, 'shape': shape, 'data_offsets': (begin, end)}


def test_safetensors_are_read(tmp_path):
  numpy = pytest.importorskip('safetensors.numpy')
  path = tmp_path / 'weights.safetensors'
  tensors = {
    'a': np.arange(6, dtype=np.float16).reshape(2, 3),
    'b.c': np.array([True, False]),
    'd': np.zeros((0, 3)),
    'e': np.array(-3),
  }
  numpy.save_file(tensors, path, {'format': 'pt'})
  state = torch_file.read(path)
  assert set(state) == set(tensors)
  for key, want in tensors.items():
    assert state[key].dtype == want.dtype
    np.testing.assert_array_equal(state[key], want)
  half = np.array([1.5, -2], '<f4').view('<u4') >> 16
  path.write_bytes(
    safetensors({'a': entry('BF16', (2,), 0, 4)}, half.astype('<u2').tobytes())
  )
  np.testing.assert_array_equal(torch_file.read(path)['a'], [1.5, -2])


TWICE = {'a': entry(), 'b': entry()}


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'12345678910', 'damaged.*cut short'),
    (safetensors({'a': entry('F8_E4M3', (16,))}, bytes(16)), 'type F8_E4M3,'),
    (safetensors({'a': entry('F4', (32,))}, bytes(16)), 'of type F4,'),
    (safetensors({'a': entry(shape=(-1,))}, bytes(16)), 'impossible size'),
    (safetensors({'a': entry(shape=([0], 1 << 40))}, bytes(16)), 'impossible'),
    (safetensors({'a': entry(shape=(5,))}, bytes(16)), 'not of its shape'),
    (safetensors({'a': entry(end=17)}, bytes(17)), 'number that is cut short'),
    (safetensors({'a': entry(end=17)}, bytes(16)), 'cut short'),
    (safetensors(TWICE, bytes(16)), 'overlap'),
    (safetensors(b'[' * 1_000_000, b''), 'damaged'),
    (safetensors(b'{"a": 1}', b''), 'damaged'),
  ],
)
def test_damaged_safetensors_are_named(data, message, tmp_path):
  path = tmp_path / 'a.safetensors'
  path.write_bytes(data)
  with (
    fuzzing.limited_memory(1 << 28),
    pytest.raises(UserError, match=message),
  ):
    torch_file.read(path)


@pytest.mark.parametrize('kind', ['zip.pth', 'legacy.pth', 'a.safetensors'])
def test_no_damage_to_a_file_breaks_the_reader(kind, tmp_path):
  """Every damaged file is read or told of, in 64 MiB."""
  entries = {'a.b': entry(), 'c': entry('BF16', (2, 1), 16, 20)}
  good = safetensors(entries, bytes(20))
  if kind.endswith('.pth'):
    good = (FILES / kind).read_bytes()
  path, told = tmp_path / kind, 0
  with fuzzing.limited_memory(1 << 26):
    for data in fuzzing.mutations(good, 2000, seed=20):
      path.write_bytes(data)
      try:
        assert torch_file.read(path)
      except UserError as error:
        assert kind in str(error)
        told += 1
  assert 1000 < told < 2000
