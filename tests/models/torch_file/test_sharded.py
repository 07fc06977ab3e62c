"""Weights in several files that an index names."""

import json

import numpy as np
import pytest

from recog_jax.engine import transfer
from recog_jax.errors import UserError
from recog_jax.models import torch_file

NAME = 'model.safetensors.index.json'


@pytest.fixture
def folder(tmp_path):
  numpy = pytest.importorskip('safetensors.numpy')
  places = {}
  for i in (1, 2):
    file = f'model-{i:05d}-of-00002.safetensors'
    tensors = {f'layer{i}.{leaf}': np.full(i, i, np.float32) for leaf in 'ab'}
    numpy.save_file(tensors, tmp_path / file)
    places |= dict.fromkeys(tensors, file)
  (tmp_path / NAME).write_text(json.dumps({'weight_map': places}))
  return tmp_path


def test_the_tensors_of_all_files_are_read(folder):
  state = torch_file.read(transfer._file_in(folder))
  assert {k: v.tolist() for k, v in state.items()} == {
    'layer1.a': [1],
    'layer1.b': [1],
    'layer2.a': [2, 2],
    'layer2.b': [2, 2],
  }


def test_what_is_not_whole_is_told(folder):
  index = json.loads((folder / NAME).read_text())
  index['weight_map']['layer3.a'] = 'model-00001-of-00002.safetensors'
  (folder / NAME).write_text(json.dumps(index))
  with pytest.raises(UserError, match='layer3.a, which the files do not'):
    torch_file.read(folder / NAME)
  (folder / 'model-00002-of-00002.safetensors').unlink()
  with pytest.raises(UserError, match='00002-of-00002.safetensors, not there'):
    torch_file.read(folder / NAME)


@pytest.mark.parametrize(
  'content',
  ['', '[]', '{"weight_map": {}}', '{"weight_map": {"a": "../model.bin"}}']
  + ['{"weight_map": {"a": 1}}', '{"weight_map": {"a": ["b"]}}'],
)
def test_other_files_are_no_index(content, tmp_path):
  (tmp_path / NAME).write_text(content)
  with pytest.raises(UserError, match='is no index of weights'):
    torch_file.read(tmp_path / NAME)
