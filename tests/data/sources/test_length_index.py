"""The index of a split is read as it was written, and for its own files."""

import numpy as np
import pytest

from recog_jax.data.sources import length_index
from recog_jax.data.speech.records import Utterances

_INDEX = Utterances(
  np.array([5, 1 << 40, 0]),
  ['hello', '', 'ਸਤ ਸ੍ਰੀ ਅਕਾਲ'],
  {'id': ['a', 'b\udc80', 'c'], 'text': ['x', '', 'y'], 'speaker.id': [''] * 3},
)


def _same(found, expected):
  np.testing.assert_array_equal(found.num_samples, expected.num_samples)
  assert found.num_samples.dtype == np.int64
  assert found.text == expected.text
  assert found.fields == expected.fields


def test_index_is_read_as_it_was_written(tmp_path):
  path = length_index.beside(tmp_path / 'new', 'train')
  length_index.write(path, _INDEX, sample_rate=8000)
  _same(length_index.read(path), _INDEX)
  assert length_index.read_sample_rate(path) == 8000
  assert [p.name for p in path.parent.iterdir()] == ['train.utterances.npz']
  empty = Utterances(np.zeros(0, np.int64), [], {'id': []})
  length_index.write(path, empty)
  _same(length_index.read(path), empty)
  assert length_index.read_sample_rate(path) is None


def test_index_of_other_files_or_of_another_rate_is_not_taken(tmp_path):
  path, shard = tmp_path / 'i.npz', tmp_path / 'shard'
  shard.write_bytes(b'12345')
  length_index.write(path, _INDEX, sample_rate=8000, shards=[shard])
  _same(length_index.read(path, sample_rate=8000, shards=[shard]), _INDEX)
  assert length_index.read(path, sample_rate=16000) is None
  assert length_index.read(path, shards=[shard, shard]) is None
  shard.write_bytes(b'1234')
  assert length_index.read(path, shards=[shard]) is None


@pytest.mark.parametrize('damage', ['absent', 'truncated', 'flipped', 'other'])
def test_damaged_index_is_not_taken(tmp_path, damage):
  path = tmp_path / 'i.npz'
  if damage != 'absent':
    length_index.write(path, _INDEX)
    data = bytearray(path.read_bytes())
    at = data.index(b'hello')
    data[at] ^= 1
    if damage == 'truncated':
      data = data[:at]
    path.write_bytes(b'{}' if damage == 'other' else data)
  assert length_index.read(path) is None
  assert length_index.read_sample_rate(path) is None or damage == 'flipped'
