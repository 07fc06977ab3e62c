"""Reading torch's files without torch, and refusing what could run code.

`torch_files` were written by torch 2.13: a dict with a `state_dict`, and with
`_use_new_zipfile_serialization=False` the state itself.
"""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models import torch_file

FILES = Path(__file__).parent / 'torch_files'


@pytest.mark.parametrize('name', ['zip.pth', 'legacy.pth'])
def test_tensors_of_both_forms_are_read(name):
  state = torch_file.read(FILES / name)
  assert set(state) == {'a', 't', 'n', 'h'}
  values = np.arange(6, dtype=np.float32).reshape(2, 3)
  np.testing.assert_array_equal(state['a'], values)
  np.testing.assert_array_equal(state['t'], values.T)  # Strides are kept.
  assert state['n'] == 5
  np.testing.assert_array_equal(state['h'], [1.5, -2.0])  # bfloat16


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
    head = [torch_file._MAGIC, 1001, {}]  # noqa: SLF001
    path.write_bytes(b''.join(map(pickle.dumps, head)) + evil)
  with pytest.raises(UserError, match=r'mkdir.*could run code.*refused'):
    torch_file.read(path)
  assert not (tmp_path / 'made_by_a_pickle').exists()


def test_a_tensor_beyond_its_data_is_refused(tmp_path):
  """Strides that would read other memory."""
  source = io.BytesIO((FILES / 'zip.pth').read_bytes())
  path = tmp_path / 'short.pth'
  with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, 'w') as new:
    for name in old.namelist():
      data = old.read(name)
      new.writestr(name, data[:8] if '/data/' in name else data)
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


def test_safetensors_are_read(tmp_path):
  numpy = pytest.importorskip('safetensors.numpy')
  path = tmp_path / 'weights.safetensors'
  numpy.save_file({'a': np.ones((2, 2), np.float32)}, path)
  np.testing.assert_array_equal(torch_file.read(path)['a'], np.ones((2, 2)))
  path.write_bytes(b'12345678910')
  with pytest.raises(UserError, match='damaged'):
    torch_file.read(path)
