"""Class folders: without splits, with what systems leave in them, all kinds."""

import os
import random
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from recog_jax.data.sources.image_folder import image_folder
from recog_jax.data.sources.pictures import SUFFIXES
from recog_jax.errors import UserError
from tests.data.toy_set import image_data, png, random_images, take_all


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _write(root: Path, sizes, suffix='.png') -> Path:
  for label, size in sizes.items():
    for i in range(size):
      file = root / label / f'{i}{suffix}'
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes(png(random_images(1)[0]))
  return root


def _split_of(root: Path, **keys):
  """{file: split} of a folder."""
  source = image_folder(root=root, **keys)
  return {
    str(source.records(split).listing.path(i).relative_to(root)): split
    for split, size in source.sizes().items()
    for i in range(size)
  }


def test_shares_are_kept_in_each_class(tmp_path):
  root = _write(tmp_path / 'set', {'cat': 40, 'dog': 20, 'eel': 6, 'fox': 2})
  source = image_folder(root=root)
  assert source.info.label_names == ('cat', 'dog', 'eel', 'fox')
  counts = {
    split: np.bincount(source.records(split).labels(), minlength=4).tolist()
    for split in source.sizes()
  }
  assert counts == {
    'train': [32, 16, 4, 1],
    'val': [4, 2, 1, 1],
    'test': [4, 2, 1, 0],
  }
  # Neighbours are not of one class.
  assert len(set(source.records('train').labels()[:8])) > 1
  halves = image_folder(root=root, shares={'train': 0.5, 'val': 0.25})
  assert halves.sizes() == {'train': 34, 'val': 18}


@pytest.mark.parametrize('seed', range(5))
def test_the_same_split_in_any_order_of_files(tmp_path, monkeypatch, seed):
  root = _write(tmp_path / 'set', {'cat': 12, 'dog': 9})
  want = _split_of(root, split_seed=seed)
  scandir = os.scandir

  class Shuffled:
    def __init__(self, path):
      with scandir(path) as entries:
        self._entries = list(entries)
      random.shuffle(self._entries)

    def __enter__(self):
      return iter(self._entries)

    def __exit__(self, *args):
      pass

  monkeypatch.setattr(os, 'scandir', Shuffled)
  assert _split_of(root, split_seed=seed) == want
  shutil.copytree(root, tmp_path / 'copy')
  assert _split_of(tmp_path / 'copy', split_seed=seed) == want
  assert _split_of(root, split_seed=seed + 1) != want


def test_what_systems_leave_is_no_class(tmp_path, capsys):
  root = _write(
    tmp_path / 'set', {'train/cat': 3, 'train/dog': 3, 'val/cat': 2}
  )
  want = image_folder(root=root).fingerprint()
  _write(root, {'val/dog': 2})
  whole = image_folder(root=root)
  assert whole.fingerprint() != want
  _write(root, {'train/@eaDir': 1, 'train/cat/@eaDir': 1, 'train/.git': 1})
  _write(root, {'__MACOSX/train/cat': 1, 'train/cat/more/.cache': 1})
  for apple in ('train/._0.png', 'train/dog/._0.png', '.DS_Store'):
    (root / apple).write_bytes(b'\0\5\x16\7')
  (root / 'train' / 'bird').mkdir()
  capsys.readouterr()
  again = image_folder(root=root)
  assert again.info.label_names == ('cat', 'dog')
  assert again.fingerprint() == whole.fingerprint()
  told = capsys.readouterr().err.splitlines()
  assert told == [
    f'warning: {root}/train/bird holds no picture: it is no class.'
  ]


def test_classes_are_those_of_train(tmp_path, capsys):
  root = _write(tmp_path / 'set', {'train/cat': 3, 'train/dog': 3})
  _write(root, {'val/Cat': 2, 'val/ant': 1})
  source = image_folder(root=root)
  assert source.info.label_names == ('cat', 'dog')
  assert source.records('val').labels().tolist() == [0, 0]
  told = capsys.readouterr().err
  assert 'val/ant is no class of train: its 1 pictures are left out' in told
  assert "val/Cat is taken as the class 'cat'" in told
  assert f'{root}/val has no picture of dog' in told
  # A model may be tried on people whom it was not trained on.
  source = image_folder(root=root, all_classes=True)
  assert source.info.label_names == ('ant', 'cat', 'dog')
  assert sorted(source.records('val').labels()) == [0, 1, 1]
  told = capsys.readouterr().err
  assert 'ant' not in told and 'no picture of' not in told


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_all_that_the_decoder_reads(tmp_path, suffix):
  image = random_images(1, (16, 16, 3))[0]
  writes = {'.jfif': '.jpg', '.pbm': '.ppm', '.pgm': '.ppm', '.jp2': '.png'}
  data = cv2.imencode(writes.get(suffix, suffix), image)[1].tobytes()
  folder = tmp_path / 'set' / 'cat' / 'deeper' / 'still'
  folder.mkdir(parents=True)
  (folder / f'a{suffix}').write_bytes(data)
  (folder / f'b{suffix.upper()}').write_bytes(data)
  source = image_folder(root=tmp_path / 'set', shares={'train': 1.0})
  assert source.sizes() == {'train': 2}
  assert take_all(source.records('train'))['image'][1].shape == (16, 16, 3)


def test_what_cannot_be_read_is_told(tmp_path, capsys):
  root = _write(tmp_path / 'set', {'cat': 4, 'dog': 4})
  (root / 'dog' / 'phone.HEIC').write_bytes(b'x')
  image_folder(root=root)
  assert '1 .heic cannot be read' in capsys.readouterr().err


def test_links_in_a_circle_end(tmp_path):
  root = _write(tmp_path / 'set', {'cat': 5})
  (root / 'cat' / 'again').symlink_to(root / 'cat')
  assert sum(image_folder(root=root).sizes().values()) == 5


def test_bad_pictures_are_left_out_up_to_a_share(tmp_path, capsys):
  root = _write(tmp_path / 'set', {'train/cat': 10, 'train/dog': 10})
  bad = root / 'train' / 'dog' / '3.png'
  bad.write_bytes(bad.read_bytes()[:50])
  with pytest.raises(UserError, match='3.png .*set source.max_bad_share'):
    take_all(image_folder(root=root).records('train'))
  source = image_folder(root=root, max_bad_share=0.1)
  assert source.sizes() == {'train': 19}
  assert len(take_all(source.records('train'))['label']) == 19
  told = capsys.readouterr().err
  assert '1 of 20 records of set/train are left out, listed in' in told
  place = Path(told.split('listed in ')[1].strip().removesuffix('.'))
  assert (
    str(bad) in (place if place.exists() else Path(f'{place}.txt')).read_text()
  )
  bad.with_name('4.png').write_bytes(b'')
  bad.with_name('5.png').write_bytes(b'')
  with pytest.raises(UserError, match='3 of 20 records .* are bad'):
    image_folder(root=root, max_bad_share=0.1).sizes()


def test_shares_are_not_for_folders_with_splits(tmp_path):
  root = _write(tmp_path / 'set', {'train/cat': 2, 'val/cat': 2})
  with pytest.raises(UserError, match='has a folder train'):
    image_folder(root=root, shares={'train': 0.5, 'val': 0.5})
  with pytest.raises(UserError, match='no share of train'):
    image_folder(root=root, shares={'val': 0.5})
  with pytest.raises(UserError, match='1.2 in sum'):
    image_folder(root=root, shares={'train': 0.7, 'val': 0.5})


def test_counts_are_told_at_the_start(tmp_path):
  root = _write(tmp_path / 'set', {'cat': 40, 'dog': 20})
  data = image_data(
    image_folder(root=root), train='train', val='val', test='test'
  )
  assert data.describe(tmp_path) == [
    'pictures: train 48, val 6, test 6; 2 classes, in train cat 32, dog 16'
  ]
  renamed = root.rename(tmp_path / 'valid')
  (tmp_path / 'both').mkdir()
  shutil.copytree(renamed, tmp_path / 'both' / 'train')
  renamed.rename(tmp_path / 'both' / 'valid')
  data = image_data(
    image_folder(root=tmp_path / 'both'), train='train', val='val'
  )
  assert data.size('val') == 60


@pytest.mark.parametrize('shape', [None, (6, 5)])
def test_reports_find_the_names_of_files(shape, tmp_path):
  """Also of a part of a split, and of pictures that lie decoded in memory."""
  root = _write(tmp_path / 'set', {'cat': 30, 'dog': 30})
  source = image_folder(root=root, shape=shape)
  data = image_data(source, train='train', val='val[2:5]')
  lookup, ids = data.lookup('val'), np.array([2, 0])
  names = lookup.names(ids)
  images = lookup(ids)['image']
  for name, image in zip(names, images, strict=True):
    want = cv2.imread(str(root / name))[..., ::-1]
    np.testing.assert_array_equal(image, want)
  assert dict.fromkeys(names, 'val').items() <= _split_of(root).items()
