"""Data sets in TFDS's layout: what is read, and what is said of the rest."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from recog_jax.data.prepare import writer
from recog_jax.data.sources.tfds import tfds
from recog_jax.data.sources.tfds_layout import MissingDataError
from recog_jax.errors import UserError
from tests.data.toy_set import (
  NAMES,
  image_data,
  png,
  random_images,
  take_all,
  write_set,
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


@pytest.fixture
def toy(tmp_path):
  image, label = random_images(20), np.arange(20) % 3
  folder = write_set(tmp_path / 'data', image, label)
  return tmp_path / 'data', folder, image, label


@pytest.mark.parametrize('shape', [(6, 5, 3), (6, 5, 1)])
def test_tfds_is_pixel_exact(tmp_path, shape):
  image, label = random_images(20, shape), np.arange(20) % 3
  write_set(tmp_path, image, label)
  source = tfds(dataset='toy', data_dir=tmp_path)
  assert source.info.shape == shape
  assert source.info.label_names == NAMES
  assert source.sizes() == {'train': 20}
  records = source.records('train')
  assert records.in_memory and records.uniform
  batch = records.take(np.array([4, 19, 4]))
  np.testing.assert_array_equal(batch['image'], image[[4, 19, 4]])
  np.testing.assert_array_equal(batch['label'], label[[4, 19, 4]])
  assert batch['label'].dtype == np.int32
  data = image_data(source, train='train[:10]', val='train[10:]')
  names = data.lookup('val').names(np.array([9, 0]))
  assert names == ['train_00019', 'train_00010']  # Its `id`.


def test_tfds_takes_the_newest_version_or_the_named_one(tmp_path):
  label = np.zeros(3, int)
  for version in ('1.9.0', '1.10.0', '1.2.0'):
    size = int(version.split('.')[1])
    write_set(tmp_path, random_images(3, (size, 4, 3)), label, version)
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
    np.testing.assert_array_equal(take_all(records)['image'], image)
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


def test_files_converted_in_place_are_read(toy):
  data_dir, folder, image, _ = toy
  path = folder / 'dataset_info.json'
  info = json.loads(path.read_text())
  info['fileFormat'] = 'tfrecord'
  info['alternativeFileFormats'] = ['array_record']
  path.write_text(json.dumps(info))
  records = tfds(dataset='toy', data_dir=data_dir).records('train')
  np.testing.assert_array_equal(take_all(records)['image'], image)


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
  good = png(random_images(1)[0])
  examples = [
    writer.example({'id': b'x', 'image': data, 'label': 0})
    for data in (good, good, good[: len(good) // 2], good)
  ]
  name = writer.shard_name('toy', 'train', 0, 1)
  count, size = writer.write_shard(folder / name, examples)
  for shape in ((6, 5, 3), (None, None, 3)):
    what = writer.Description('toy', '1.0.0', shape, NAMES, 'id', 'A test.')
    shards = {'train': writer.Shards((count,), size)}
    writer.write_metadata(folder, what, shards)
    source = tfds(dataset='toy', data_dir=tmp_path)
    with pytest.raises(UserError, match='record 2 of split .*truncated'):
      take_all(source.records('train'))


def test_images_of_many_sizes_are_decoded_on_demand(tmp_path):
  images = [random_images(1, (4 + i, 9, 3))[0] for i in range(5)]
  folder = tmp_path / 'toy' / '1.0.0'
  folder.mkdir(parents=True)
  shards = []
  for shard, rows in enumerate((images[:2], images[2:])):
    path = folder / writer.shard_name('toy', 'train', shard, 2)
    data = [
      writer.example({'id': b'', 'image': png(x), 'label': 1}) for x in rows
    ]
    shards.append(writer.write_shard(path, data))
  what = writer.Description(
    'toy', '1.0.0', (None, None, 3), NAMES, 'id', 'A test.'
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


def _write_toy(tmp_path, labels, feature):
  """A data set whose labels are lists of classes, or texts."""
  from etils import epath
  from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

  folder = tmp_path / 'toy' / '1.0.0'
  folder.mkdir(parents=True)
  what = writer.Description('toy', '1.0.0', (6, 5, 3), NAMES, 'id', 'A test.')
  features = tensorflow_datasets.features
  examples = []
  for label in labels:
    proto = tf_feature_pb2.Features()
    proto.feature['image'].bytes_list.value.append(png(random_images(1)[0]))
    if isinstance(label, str):
      proto.feature['label'].bytes_list.value.append(label.encode())
    else:
      proto.feature['label'].int64_list.value.extend(label)
    whole = tf_example_pb2.Example(features=proto)
    examples.append(whole.SerializeToString())
  name = writer.shard_name('toy', 'train', 0, 1)
  count, size = writer.write_shard(folder / name, examples)
  writer.write_metadata(folder, what, {'train': writer.Shards((count,), size)})
  features.FeaturesDict(
    {'image': features.Image(shape=(6, 5, 3)), 'label': feature}
  ).save_config(epath.Path(folder))


def test_several_labels_become_multi_hot(tmp_path):
  features = tensorflow_datasets.features
  several = features.Sequence(features.ClassLabel(names=list(NAMES)))
  _write_toy(tmp_path, ([0, 2], [], [1]), several)
  label = take_all(tfds(dataset='toy', data_dir=tmp_path).records('train'))
  assert label['label'].dtype == np.float32
  assert label['label'].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_names_of_people_become_classes(tmp_path):
  names = ('Zoë Z', 'Ada', 'Zoë Z')
  _write_toy(tmp_path, names, tensorflow_datasets.features.Text())
  source = tfds(dataset='toy', data_dir=tmp_path)
  assert source.info.label_names == ('Ada', 'Zoë Z')
  records = source.records('train')
  assert records.labels().tolist() == [1, 0, 1]
  assert take_all(records)['label'].tolist() == [1, 0, 1]


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
  folder = source._layout.folder
  builder = tensorflow_datasets.builder_from_directory(folder)
  theirs = builder.as_data_source('test')
  assert len(theirs) == len(records) == source.sizes()['test']
  ids = np.linspace(0, len(records) - 1, 500).astype(int)
  batch = records.take(ids)
  for row, number in enumerate(ids):
    expected = theirs[int(number)]
    np.testing.assert_array_equal(batch['image'][row], expected['image'])
    assert batch['label'][row] == expected['label']


@pytest.mark.parametrize(
  ('file', 'old', 'new', 'sentence'),
  [
    (
      'features.json',
      '"numClasses": "3"',
      '"numClasses": "2000000000"',
      'is 2',
    ),
    ('features.json', '{', '[' * 100_000, 'RecursionError'),
    ('dataset_info.json', '"20"', '"1000000000000000"', 'too small for 1000'),
    ('dataset_info.json', '"20"', f'"{"9" * 5000}"', 'Exceeds the limit'),
    ('dataset_info.json', '"20"', '"-1"', 'shardLengths are'),
    ('dataset_info.json', '"name": "train"', '"name": "../../x"', 'is no name'),
    (
      'dataset_info.json',
      '{DATASET}-',
      '{DATASET:>9999999999}-',
      'is missing: the data set is not whole',
    ),
  ],
)
def test_descriptions_that_cannot_be_are_told(toy, file, old, new, sentence):
  data_dir, folder, *_ = toy
  (folder / 'label.labels.txt').unlink()
  path = folder / file
  assert old in path.read_text()
  path.write_text(path.read_text().replace(old, new, 1))
  with pytest.raises(UserError, match=sentence) as error:
    tfds(dataset='toy', data_dir=data_dir).records('train')
  assert len(str(error.value)) < 600
