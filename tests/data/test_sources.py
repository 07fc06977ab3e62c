"""Sources: what they deliver, and what they say of what they cannot read."""

import json
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets

from recog_jax.data import cache
from recog_jax.data.decode import decode_image
from recog_jax.data.prepare import writer
from recog_jax.data.sources.digits import digits
from recog_jax.data.sources.fake import fake
from recog_jax.data.sources.image_folder import image_folder
from recog_jax.data.sources.tfds import MissingDataError, tfds
from recog_jax.errors import UserError

_RNG = np.random.default_rng(0)
_NAMES = ('ant', 'bee', 'cow')


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _png(image: np.ndarray) -> bytes:
  if image.shape[-1] == 3:
    image = image[..., ::-1]
  return cv2.imencode('.png', image)[1].tobytes()


def _images(n: int, shape=(6, 5, 3)) -> np.ndarray:
  return _RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


def _write_set(data_dir: Path, image, label, version='1.0.0', shape=None):
  """A data set named `toy` with a train split of one file."""
  folder = data_dir / 'toy' / version
  folder.mkdir(parents=True)
  what = writer.Description(
    'toy', version, shape or image.shape[1:], _NAMES, 'id', 'A test.'
  )
  order = np.arange(len(label))
  shards = writer.write_images(folder, what, 'train', image, label, order)
  writer.write_metadata(folder, what, {'train': shards})
  return folder


@pytest.fixture
def toy(tmp_path):
  image, label = _images(20), np.arange(20) % 3
  folder = _write_set(tmp_path / 'data', image, label)
  return tmp_path / 'data', folder, image, label


def _take_all(records):
  return records.take(np.arange(len(records)))


# Digits and fake.


def test_digits_splits_are_a_stratified_partition():
  from sklearn import datasets

  source = digits()
  assert source.sizes() == {'train': 1197, 'val': 200, 'test': 400}
  rows = []
  for split, size in source.sizes().items():
    batch = _take_all(source.records(split))
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
  batch = _take_all(source.records('train'))
  assert batch['image'].shape == (100, 8, 6, 3)
  assert batch['image'].dtype == np.uint8
  assert np.bincount(batch['label']).tolist() == [20] * 5
  again = fake(**options, seed=1).records('train').take(np.array([7, 3]))
  np.testing.assert_array_equal(again['image'], batch['image'][[7, 3]])
  other = _take_all(fake(**options, seed=2).records('train'))
  assert (other['image'] != batch['image']).mean() > 0.5
  assert fake(**options, seed=2).fingerprint() != source.fingerprint()
  # The class means of train recognise test: something can be learnt.
  test = _take_all(source.records('test'))
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


# TFDS.


@pytest.mark.parametrize('shape', [(6, 5, 3), (6, 5, 1)])
def test_tfds_is_pixel_exact(tmp_path, shape):
  image, label = _images(20, shape), np.arange(20) % 3
  _write_set(tmp_path, image, label)
  source = tfds(dataset='toy', data_dir=tmp_path)
  assert source.info.shape == shape
  assert source.info.label_names == _NAMES
  assert source.sizes() == {'train': 20}
  records = source.records('train')
  assert records.in_memory and records.uniform
  batch = records.take(np.array([4, 19, 4]))
  np.testing.assert_array_equal(batch['image'], image[[4, 19, 4]])
  np.testing.assert_array_equal(batch['label'], label[[4, 19, 4]])
  assert batch['label'].dtype == np.int32


def test_tfds_takes_the_newest_version_or_the_named_one(tmp_path):
  label = np.zeros(3, int)
  for version in ('1.9.0', '1.10.0', '1.2.0'):
    size = int(version.split('.')[1])
    _write_set(tmp_path, _images(3, (size, 4, 3)), label, version)
  (tmp_path / 'toy' / '2.0.0').mkdir()  # Empty: not a data set.
  assert tfds(dataset='toy', data_dir=tmp_path).info.shape == (10, 4, 3)
  assert tfds(dataset='toy:1.2.0', data_dir=tmp_path).info.shape == (2, 4, 3)
  with pytest.raises(MissingDataError, match='toy/3.0.0'):
    tfds(dataset='toy:3.0.0', data_dir=tmp_path)


def test_tfds_finds_the_config(toy):
  data_dir, folder, image, _ = toy
  (data_dir / 'toy' / 'small').mkdir()
  folder.rename(data_dir / 'toy' / 'small' / '1.0.0')
  for dataset in ('toy', 'toy/small', 'toy/small:1.0.0'):
    records = tfds(dataset=dataset, data_dir=data_dir).records('train')
    np.testing.assert_array_equal(_take_all(records)['image'], image)
  shutil.copytree(data_dir / 'toy' / 'small', data_dir / 'toy' / 'large')
  with pytest.raises(UserError, match='large, small'):
    tfds(dataset='toy', data_dir=data_dir)
  noted = data_dir / 'toy' / '.config' / 'metadata.json'
  noted.parent.mkdir()
  noted.write_text('{"default_config_name": "large"}')
  assert len(tfds(dataset='toy', data_dir=data_dir).records('train')) == 20


def test_tfds_dir_from_the_environment(toy, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(toy[0]))
  assert tfds(dataset='toy').sizes() == {'train': 20}


def test_absent_data_set_says_what_goes_where(tmp_path):
  with pytest.raises(MissingDataError) as e:
    tfds(dataset='cifar10', data_dir=tmp_path)
  for part in (
    str(tmp_path / 'cifar10' / 'VERSION'),
    'dataset_info.json',
    f'recog_jax.prepare --dataset=cifar10 --data_dir={tmp_path}',
    'configs/digits_resnet8.py',
  ):
    assert part in str(e.value)


def test_tfrecord_files_are_refused_with_the_conversion(toy):
  data_dir, folder, _, _ = toy
  path = folder / 'dataset_info.json'
  info = json.loads(path.read_text())
  del info['fileFormat']  # TFDS's default.
  path.write_text(json.dumps(info))
  with pytest.raises(UserError, match='tfds convert_format'):
    tfds(dataset='toy', data_dir=data_dir)
  path.write_text('{')
  with pytest.raises(UserError, match='no readable TFDS data set'):
    tfds(dataset='toy', data_dir=data_dir)


def test_unknown_keys_and_names(toy):
  data_dir = toy[0]
  with pytest.raises(UserError, match='did you mean image'):
    tfds(dataset='toy', data_dir=data_dir, image_key='imag')
  with pytest.raises(UserError, match='is no image'):
    tfds(dataset='toy', data_dir=data_dir, image_key='label')
  with pytest.raises(UserError, match='neither a ClassLabel'):
    tfds(dataset='toy', data_dir=data_dir, label_key='id')
  with pytest.raises(UserError, match='known: train'):
    tfds(dataset='toy', data_dir=data_dir).records('val')
  for name in ('../toy', 'toy/..', 'toy:latest', ''):
    with pytest.raises(UserError, match='not of the form'):
      tfds(dataset=name, data_dir=data_dir)


def test_missing_and_damaged_files_are_named(toy):
  data_dir, folder, _, _ = toy
  (shard,) = folder.glob('*.array_record*')
  data = shard.read_bytes()
  source = tfds(dataset='toy', data_dir=data_dir)

  shard.write_bytes(data[: len(data) // 2])
  with pytest.raises(UserError, match=f"'train' of {folder}"):
    source.records('train')
  changed = bytearray(data)
  changed[data.index(b'IDAT') + 20] ^= 1
  shard.write_bytes(changed)
  with pytest.raises(UserError, match=r'record \d+ of split .*prepare'):
    source.records('train')
  shard.unlink()
  with pytest.raises(UserError, match=f'{shard.name} is missing'):
    source.records('train')


def test_damaged_image_is_named_by_its_number(tmp_path):
  folder = tmp_path / 'toy' / '1.0.0'
  folder.mkdir(parents=True)
  good = _png(_images(1)[0])
  examples = [
    writer.example({'id': b'x', 'image': data, 'label': 0})
    for data in (good, good, good[: len(good) // 2], good)
  ]
  name = writer.shard_name('toy', 'train', 0, 1)
  count, size = writer.write_shard(folder / name, examples)
  for shape in ((6, 5, 3), (None, None, 3)):
    what = writer.Description('toy', '1.0.0', shape, _NAMES, 'id', 'A test.')
    shards = {'train': writer.Shards((count,), size)}
    writer.write_metadata(folder, what, shards)
    source = tfds(dataset='toy', data_dir=tmp_path)
    with pytest.raises(UserError, match='record 2 of split .*truncated'):
      _take_all(source.records('train'))


def test_images_of_many_sizes_are_decoded_on_demand(tmp_path):
  images = [_images(1, (4 + i, 9, 3))[0] for i in range(5)]
  folder = tmp_path / 'toy' / '1.0.0'
  folder.mkdir(parents=True)
  shards = []
  for shard, rows in enumerate((images[:2], images[2:])):
    path = folder / writer.shard_name('toy', 'train', shard, 2)
    data = [
      writer.example({'id': b'', 'image': _png(x), 'label': 1}) for x in rows
    ]
    shards.append(writer.write_shard(path, data))
  what = writer.Description(
    'toy', '1.0.0', (None, None, 3), _NAMES, 'id', 'A test.'
  )
  lengths = tuple(count for count, _ in shards)
  writer.write_metadata(folder, what, {'train': writer.Shards(lengths, 1)})
  records = tfds(dataset='toy', data_dir=tmp_path).records('train')
  assert not records.in_memory and not records.uniform
  for copy in (records, pickle.loads(pickle.dumps(records))):
    batch = copy.take(np.array([4, 0, 1]))
    assert isinstance(batch['image'], list)
    for found, number in zip(batch['image'], (4, 0, 1), strict=True):
      np.testing.assert_array_equal(found, images[number])
  assert not list((tmp_path / 'cache').rglob('*.npy'))


def test_several_labels_become_multi_hot(tmp_path):
  from etils import epath
  from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

  folder = tmp_path / 'toy' / '1.0.0'
  folder.mkdir(parents=True)
  what = writer.Description('toy', '1.0.0', (6, 5, 3), _NAMES, 'id', 'A test.')
  features = tensorflow_datasets.features
  examples = []
  for label in ([0, 2], [], [1]):
    proto = tf_feature_pb2.Features()
    proto.feature['image'].bytes_list.value.append(_png(_images(1)[0]))
    proto.feature['label'].int64_list.value.extend(label)
    whole = tf_example_pb2.Example(features=proto)
    examples.append(whole.SerializeToString())
  name = writer.shard_name('toy', 'train', 0, 1)
  count, size = writer.write_shard(folder / name, examples)
  writer.write_metadata(folder, what, {'train': writer.Shards((count,), size)})
  features.FeaturesDict(
    {
      'image': features.Image(shape=(6, 5, 3)),
      'label': features.Sequence(features.ClassLabel(names=list(_NAMES))),
    }
  ).save_config(epath.Path(folder))
  label = _take_all(tfds(dataset='toy', data_dir=tmp_path).records('train'))
  assert label['label'].dtype == np.float32
  assert label['label'].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


# The cache of decoded images.


def _npy(tmp_path, name='image'):
  (file,) = (tmp_path / 'cache').rglob(f'{name}.npy')
  return file


def test_second_call_decodes_nothing(toy, tmp_path, monkeypatch):
  data_dir, _, image, _ = toy
  tfds(dataset='toy', data_dir=data_dir).records('train')
  times = _npy(tmp_path).stat().st_mtime_ns
  monkeypatch.setattr(cache, '_decode', lambda _: pytest.fail('decoded again'))
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  np.testing.assert_array_equal(_take_all(records)['image'], image)
  assert _npy(tmp_path).stat().st_mtime_ns == times
  # What goes to a worker is the files' names, not the pixels.
  sent = pickle.dumps(records)
  assert len(sent) < 1000
  np.testing.assert_array_equal(_take_all(pickle.loads(sent))['image'], image)


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
  batch = _take_all(tfds(dataset='toy', data_dir=data_dir).records('train'))
  np.testing.assert_array_equal(batch['image'], image)
  np.testing.assert_array_equal(batch['label'], label)


def test_changed_data_set_is_decoded_anew(toy):
  data_dir, folder, _, label = toy
  source = tfds(dataset='toy', data_dir=data_dir)
  source.records('train')
  shutil.rmtree(folder)
  image = _images(20)
  _write_set(data_dir, image, label)
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  np.testing.assert_array_equal(_take_all(records)['image'], image)


def test_cache_that_cannot_be_written_is_done_without(toy, monkeypatch):
  data_dir, _, image, _ = toy
  monkeypatch.setenv('RECOG_JAX_CACHE', '/dev/null/cache')
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  assert records.in_memory
  np.testing.assert_array_equal(_take_all(records)['image'], image)


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
  queue.put(int(_take_all(records)['image'].sum()))


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


# Image folders.


def _write_folder(root: Path, names=('cat', 'dog'), count=6, shape=(6, 5, 3)):
  written = {}
  for split in ('train', 'val'):
    for label, name in enumerate(names):
      folder = root / split / name
      folder.mkdir(parents=True)
      for i in range(count):
        image = _images(1, shape)[0]
        (folder / f'{i}.PNG').write_bytes(_png(image))
        written.setdefault(split, []).append((image, label))
  return written


def test_image_folder_delivers_every_picture_once(tmp_path):
  written = _write_folder(tmp_path / 'set')
  (tmp_path / 'set' / 'train' / 'cat' / 'notes.txt').write_text('no picture')
  (tmp_path / 'set' / 'train' / 'cat' / '.hidden.png').write_text('no picture')
  source = image_folder(root=tmp_path / 'set')
  assert source.info.label_names == ('cat', 'dog')
  assert source.info.shape == (None, None, 3)
  assert source.sizes() == {'train': 12, 'val': 12}
  for split, rows in written.items():
    batch = _take_all(source.records(split))
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
  assert _take_all(records)['image'].shape == (12, 4, 7, 1)
  assert len(list((tmp_path / 'cache').rglob('image.npy'))) == 1
  # A grey picture read in colour has three equal channels.
  colour = image_folder(root=tmp_path / 'set').records('train')
  grey = _take_all(records)['image']
  for i, image in enumerate(_take_all(colour)['image']):
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
    image_folder(root=tmp_path / 'set' / 'train')
  with pytest.raises(UserError, match='known: train, val'):
    image_folder(root=tmp_path / 'set').records('test')
  path = tmp_path / 'set' / 'val' / 'dog' / '3.PNG'
  path.write_bytes(path.read_bytes()[:60])
  with pytest.raises(UserError, match=f'{path} .*truncated'):
    _take_all(image_folder(root=tmp_path / 'set').records('val'))


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


# The real data, where it is.


def _real_data() -> Path:
  own = os.environ.get('RECOG_JAX_TEST_DATA')
  root = Path(__file__).resolve().parents[2]
  place = Path(own) if own else root.parent / 'shared' / 'data'
  if not (place / 'cifar10').is_dir():
    pytest.skip(f'no CIFAR-10 in {place}; RECOG_JAX_TEST_DATA names a folder')
  return place


@pytest.mark.parametrize('dataset', ['cifar10', 'mnist'])
def test_real_data_equals_tfds_own_decoding(dataset):
  source = tfds(dataset=dataset, data_dir=_real_data())
  records = source.records('test')
  folder = source._folder
  builder = tensorflow_datasets.builder_from_directory(folder)
  theirs = builder.as_data_source('test')
  assert len(theirs) == len(records) == source.sizes()['test']
  ids = np.linspace(0, len(records) - 1, 500).astype(int)
  batch = records.take(ids)
  for row, number in enumerate(ids):
    expected = theirs[int(number)]
    np.testing.assert_array_equal(batch['image'][row], expected['image'])
    assert batch['label'][row] == expected['label']
