"""Digits, generated images and image folders."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from recog_jax.data.image.codecs import decode_image
from recog_jax.data.sources.digits import digits
from recog_jax.data.sources.fake import fake
from recog_jax.data.sources.image_folder import image_folder
from recog_jax.errors import UserError
from tests.data.toy_set import png, random_images, take_all


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


@pytest.mark.smoke
def test_digits_splits_are_a_stratified_partition():
  from sklearn import datasets

  source = digits()
  assert source.sizes() == {'train': 1197, 'val': 200, 'test': 400}
  rows = []
  for split, size in source.sizes().items():
    batch = take_all(source.records(split))
    assert batch['image'].shape == (size, *source.info.shape)
    assert batch['image'].dtype == np.uint8
    assert batch['label'].dtype == np.int32
    share = np.bincount(batch['label'], minlength=10) / size
    assert np.abs(share - 0.1).max() < 0.01
    # Not in the order of the classes.
    assert (np.diff(batch['label']) != 0).mean() > 0.8
    pixels = batch['image'].reshape(size, -1)
    rows.append(np.column_stack([pixels, batch['label']]))
  bunch = datasets.load_digits()
  scaled = np.rint(bunch.data * 255 / 16)
  expected = np.column_stack([scaled, bunch.target]).astype(int)
  found = np.concatenate(rows).astype(int)
  assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_fake_is_seeded_balanced_and_separable():
  options = {
    'shape': (8, 6, 3),
    'num_classes': 5,
    'sizes': {'train': 100, 'test': 50},
  }
  source = fake(**options, seed=1)
  batch = take_all(source.records('train'))
  assert batch['image'].shape == (100, 8, 6, 3)
  assert batch['image'].dtype == np.uint8
  assert np.bincount(batch['label']).tolist() == [20] * 5
  again = fake(**options, seed=1).records('train').take(np.array([7, 3]))
  np.testing.assert_array_equal(again['image'], batch['image'][[7, 3]])
  other = take_all(fake(**options, seed=2).records('train'))
  assert (other['image'] != batch['image']).mean() > 0.5
  assert fake(**options, seed=2).fingerprint() != source.fingerprint()
  # The class means of train recognise test: something can be learnt.
  test = take_all(source.records('test'))
  flat = batch['image'].reshape(100, -1).astype(float)
  means = np.stack([flat[batch['label'] == k].mean(0) for k in range(5)])
  x = test['image'].reshape(50, -1).astype(float)
  nearest = ((x[:, None] - means) ** 2).sum(-1).argmin(-1)
  assert (nearest == test['label']).mean() > 0.95
  assert len(np.unique(x, axis=0)) == 50


def test_unknown_split_lists_the_known_ones():
  with pytest.raises(UserError, match='test, train, val'):
    digits().records('trian')


def test_fake_refuses_sizes_that_make_no_sense():
  with pytest.raises(UserError, match='at least 1'):
    fake(shape=(2, 2, 1), num_classes=0, sizes={'train': 1}, seed=0)
  with pytest.raises(UserError, match='height, width, channels'):
    fake(shape=(2, 2), num_classes=2, sizes={'train': 1}, seed=0)


def _write_folder(root: Path, names=('cat', 'dog'), count=6, shape=(6, 5, 3)):
  written = {}
  for split in ('train', 'val'):
    for label, name in enumerate(names):
      folder = root / split / name
      folder.mkdir(parents=True)
      for i in range(count):
        image = random_images(1, shape)[0]
        (folder / f'{i}.PNG').write_bytes(png(image))
        written.setdefault(split, []).append((image, label))
  return written


@pytest.mark.smoke
def test_image_folder_delivers_every_picture_once(tmp_path):
  written = _write_folder(tmp_path / 'set')
  (tmp_path / 'set' / 'train' / 'cat' / 'notes.txt').write_text('no picture')
  (tmp_path / 'set' / 'train' / 'cat' / '.hidden.png').write_text('no picture')
  source = image_folder(root=tmp_path / 'set')
  assert source.info.label_names == ('cat', 'dog')
  assert source.info.shape == (None, None, 3)
  assert source.sizes() == {'train': 12, 'val': 12}
  for split, rows in written.items():
    batch = take_all(source.records(split))
    found = {
      (x.tobytes(), int(y))
      for x, y in zip(batch['image'], batch['label'], strict=True)
    }
    assert found == {(x.tobytes(), y) for x, y in rows}
    assert len(set(batch['label'][:6])) == 2
  same = image_folder(data_dir=tmp_path / 'set')
  assert same.fingerprint() == source.fingerprint()
  copy = pickle.loads(pickle.dumps(source.records('train')))
  again = copy.take(np.array([3]))['image'][0]
  np.testing.assert_array_equal(
    again, source.records('train').take(np.array([3]))['image'][0]
  )
  (tmp_path / 'set' / 'train' / 'cat' / '0.PNG').unlink()
  assert image_folder(root=tmp_path / 'set').fingerprint() != same.fingerprint()


def test_image_folder_of_one_shape_is_decoded_once(tmp_path):
  _write_folder(tmp_path / 'set', shape=(4, 7, 1))
  source = image_folder(root=tmp_path / 'set', channels=1, shape=(4, 7))
  records = source.records('train')
  assert records.in_memory and records.uniform
  assert take_all(records)['image'].shape == (12, 4, 7, 1)
  assert len(list((tmp_path / 'cache').rglob('image.npy'))) == 1
  # A grey picture read in colour has three equal channels.
  colour = image_folder(root=tmp_path / 'set').records('train')
  grey = take_all(records)['image']
  for i, image in enumerate(take_all(colour)['image']):
    np.testing.assert_array_equal(image, np.repeat(grey[i], 3, axis=-1))
  wrong = image_folder(root=tmp_path / 'set', shape=(4, 8))
  with pytest.raises(UserError, match=r'PNG \(record \d+\) is 4x7, not 4x8'):
    wrong.records('train')


def test_image_folder_names_what_is_wrong(tmp_path):
  with pytest.raises(UserError, match='not named'):
    image_folder()
  with pytest.raises(UserError, match='does not exist'):
    image_folder(root=tmp_path / 'absent')
  with pytest.raises(UserError, match='no pictures as split/class'):
    image_folder(root=tmp_path)
  _write_folder(tmp_path / 'set')
  with pytest.raises(UserError, match='does not lie in split/class'):
    image_folder(root=tmp_path / 'set' / 'train' / 'cat')
  with pytest.raises(UserError, match='known: train, val'):
    image_folder(root=tmp_path / 'set').records('test')
  path = tmp_path / 'set' / 'val' / 'dog' / '3.PNG'
  path.write_bytes(path.read_bytes()[:60])
  with pytest.raises(UserError, match=f'{path} .*truncated'):
    take_all(image_folder(root=tmp_path / 'set').records('val'))


def test_truncated_and_turned_jpegs():
  smooth = np.linspace(0, 255, 64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)
  data = cv2.imencode('.jpg', smooth)[1].tobytes()
  assert decode_image(data, 3).shape == (64, 48, 3)
  for share in (0.2, 0.5, 0.9, 0.99):
    with pytest.raises(ValueError, match='truncated'):
      decode_image(data[: int(len(data) * share)], 3)
  # An EXIF orientation of 6 says "turn by 90 degrees"; the bytes are kept.
  exif = b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0'
  exif += b'\0\0\0\0'
  segment = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
  turned = decode_image(data[:2] + segment + data[2:], 3)
  np.testing.assert_array_equal(turned, decode_image(data, 3))
