"""The cache of decoded images."""

import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest

from recog_jax.data.image import cache
from recog_jax.data.sources.tfds import tfds
from tests.data.toy_set import random_images, take_all, write_set


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


@pytest.fixture
def toy(tmp_path):
  image, label = random_images(20), np.arange(20) % 3
  folder = write_set(tmp_path / 'data', image, label)
  return tmp_path / 'data', folder, image, label


def _npy(tmp_path, name='image'):
  (file,) = (tmp_path / 'cache').rglob(f'{name}.npy')
  return file


def test_second_call_decodes_nothing(toy, tmp_path, monkeypatch):
  data_dir, _, image, _ = toy
  tfds(dataset='toy', data_dir=data_dir).records('train')
  times = _npy(tmp_path).stat().st_mtime_ns
  monkeypatch.setattr(cache, '_decode', lambda *_: pytest.fail('decoded again'))
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  np.testing.assert_array_equal(take_all(records)['image'], image)
  assert _npy(tmp_path).stat().st_mtime_ns == times
  # What goes to a worker is the files' names, not the pixels.
  sent = pickle.dumps(records)
  assert len(sent) < 1000
  np.testing.assert_array_equal(take_all(pickle.loads(sent))['image'], image)


@pytest.mark.parametrize(
  'damage', ['truncated', 'flipped', 'empty', 'unsealed']
)
def test_damaged_cache_is_made_again(toy, tmp_path, damage):
  data_dir, _, image, label = toy
  tfds(dataset='toy', data_dir=data_dir).records('train')
  file = _npy(tmp_path)
  data = bytearray(file.read_bytes())
  if damage == 'flipped':
    data[-7] ^= 4
  elif damage == 'unsealed':
    (file.parent / 'checksums.json').write_text('[')
  else:
    data = data[: len(data) // 2] if damage == 'truncated' else b''
  file.write_bytes(data)
  batch = take_all(tfds(dataset='toy', data_dir=data_dir).records('train'))
  np.testing.assert_array_equal(batch['image'], image)
  np.testing.assert_array_equal(batch['label'], label)


def test_changed_data_set_is_decoded_anew(toy):
  data_dir, folder, _, label = toy
  source = tfds(dataset='toy', data_dir=data_dir)
  source.records('train')
  shutil.rmtree(folder)
  image = random_images(20)
  write_set(data_dir, image, label)
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  np.testing.assert_array_equal(take_all(records)['image'], image)


def test_cache_that_cannot_be_written_is_done_without(toy, monkeypatch):
  data_dir, _, image, _ = toy
  monkeypatch.setenv('RECOG_JAX_CACHE', '/dev/null/cache')
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  assert records.in_memory
  np.testing.assert_array_equal(take_all(records)['image'], image)


def test_old_leftovers_are_removed_and_new_ones_left(toy, tmp_path):
  data_dir = toy[0]
  tfds(dataset='toy', data_dir=data_dir).records('train')
  folder = _npy(tmp_path).parent
  old, new = folder / 'image-1-1.tmp', folder / 'image-2-2.tmp'
  old.write_text('x')
  new.write_text('x')
  os.utime(old, (0, 0))
  (folder / 'checksums.json').unlink()
  tfds(dataset='toy', data_dir=data_dir).records('train')
  assert not old.exists() and new.exists()


def _read_in_a_process(data_dir, queue):
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  queue.put(int(take_all(records)['image'].sum()))


@pytest.mark.slow
def test_processes_make_the_cache_at_the_same_time(toy):
  data_dir, _, image, _ = toy
  context = multiprocessing.get_context('spawn')
  queue = context.Queue()
  processes = [
    context.Process(target=_read_in_a_process, args=(data_dir, queue))
    for _ in range(3)
  ]
  for process in processes:
    process.start()
  sums = [queue.get(timeout=60) for _ in processes]
  for process in processes:
    process.join()
  assert sums == [int(image.sum())] * 3
