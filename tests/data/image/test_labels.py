"""Labels without images: of every kind of records, and counted of a config."""

import numpy as np
import pytest

from recog_jax.data.image import codecs, dataset
from recog_jax.data.sources import image_folder as folder_lib
from recog_jax.data.sources import tfds as tfds_lib
from recog_jax.data.sources.digits import digits
from recog_jax.data.sources.fake import fake
from recog_jax.data.splits import Subset
from recog_jax.errors import UserError
from tests.data.toy_set import NAMES, png, random_images, take_all, write_set


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _equal(records):
  labels = records.labels()
  want = take_all(records)['label']
  np.testing.assert_array_equal(labels, want)
  assert labels.dtype == want.dtype


def _no_images(*args):
  raise AssertionError('an image was decoded')


def test_of_sets_in_memory_and_their_slices():
  made = fake(shape=(4, 4, 1), num_classes=3, sizes={'train': 50}, seed=0)
  for source in (digits(), made):
    records = source.records('train')
    _equal(records)
    _equal(Subset(records, np.arange(7, 31)))


@pytest.mark.parametrize('uniform', [True, False])
def test_of_tfds(tmp_path, monkeypatch, uniform):
  image, label = random_images(600), np.arange(600) % 3
  shape = None if uniform else (None, None, 3)
  write_set(tmp_path, image, label, shape=shape)
  records = tfds_lib.tfds(dataset='toy', data_dir=tmp_path).records('train')
  assert records.in_memory == uniform
  monkeypatch.setattr(tfds_lib, 'decode_image', _no_images)
  np.testing.assert_array_equal(records.labels(), label)
  monkeypatch.undo()
  _equal(records)


def test_of_a_folder(tmp_path, monkeypatch):
  for i in range(12):
    place = tmp_path / 'train' / NAMES[i % 3]
    place.mkdir(parents=True, exist_ok=True)
    (place / f'{i}.png').write_bytes(png(random_images(1)[0]))
  records = folder_lib.image_folder(root=tmp_path).records('train')
  monkeypatch.setattr(codecs, 'decode_image', _no_images)
  np.testing.assert_array_equal(
    np.sort(records.labels()), np.repeat(range(3), 4)
  )
  monkeypatch.undo()
  _equal(records)


def test_a_damaged_record_is_named(tmp_path):
  image, label = random_images(4, (6, 5, 3)), np.full(4, 7)
  write_set(tmp_path, image, label, shape=(None, None, 3))
  records = tfds_lib.tfds(dataset='toy', data_dir=tmp_path).records('train')
  with pytest.raises(UserError, match=r'record 0 of .*\[7\] is no class'):
    records.labels()


def _images(source, train):
  return dataset.ImageData(
    source=source,
    seed=0,
    splits={'train': train, 'val': 'val'},
    batch_size=8,
    eval_batch_size=8,
  )


def test_counts_are_of_the_training_split_alone():
  source = digits()
  data = _images(source, 'train[:100]')
  want = np.bincount(source.records('train').label[:100], minlength=10)
  np.testing.assert_array_equal(data.info.count_labels(), want)
  # What else is said of the source does not change by it.
  assert data.info == source.info and repr(data.info) == repr(source.info)
