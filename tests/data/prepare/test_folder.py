"""An image folder becomes array_record files that TFDS opens."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets

from recog_jax.data import cache
from recog_jax.data.prepare import writer
from recog_jax.data.prepare.folder import prepare_folder
from recog_jax.data.prepare.speech import prepare_speech
from recog_jax.data.sources.tfds import tfds
from recog_jax.data.sources.tfds_layout import MissingDataError
from recog_jax.errors import UserError

_CLASSES = ('n01440764', 'n01443537', 'n01484850')
_COUNT = 12


def _pictures(root: Path, same_size: bool = False) -> dict[str, bytes]:
  """ILSVRC's layout with JPEG and PNG; {path below the split: bytes}."""
  rng = np.random.default_rng(0)
  written = {}
  for split in ('train', 'val'):
    for name in _CLASSES:
      (root / split / name).mkdir(parents=True)
      for i in range(_COUNT if split == 'train' else 2):
        shape = (9, 8, 3) if same_size else (*rng.integers(4, 16, 2), 3)
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        suffix = '.png' if i % 3 == 0 else '.JPEG'
        data = cv2.imencode(suffix.replace('JPEG', 'jpg'), image)[1].tobytes()
        (root / split / name / f'{name}_{i}{suffix}').write_bytes(data)
        written[f'{split}/{name}/{name}_{i}{suffix}'] = data
  return written


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


@pytest.fixture
def root(tmp_path):
  _pictures(tmp_path / 'in')
  return tmp_path / 'in'


def _absent(data_dir: Path):
  assert not list(data_dir.rglob('dataset_info.json'))
  with pytest.raises(MissingDataError):
    tfds(dataset='toy', data_dir=data_dir)


def test_converted_folder_is_what_it_was(tmp_path):
  written = _pictures(tmp_path / 'in')
  target = prepare_folder(
    tmp_path / 'in', 'toy', tmp_path / 'data', shard_bytes=1500
  )
  shards = sorted(p.name for p in target.glob('toy-train.array_record-*'))
  assert len(shards) > 3 and shards[0].endswith(f'of-{len(shards):05d}')
  builder = tensorflow_datasets.builder_from_directory(target)
  assert tuple(builder.info.features['label'].names) == _CLASSES
  skip = {'image': tensorflow_datasets.decode.SkipDecoding()}
  found, labels = {}, []
  for split in ('train', 'val'):
    ours = tfds(dataset='toy', data_dir=tmp_path / 'data').records(split)
    raw = builder.as_data_source(split, decoders=skip)
    for i, record in enumerate(builder.as_data_source(split)):
      name = record['file_name'].decode()
      assert name.split('/')[0] == _CLASSES[record['label']]
      found[f'{split}/{name}'] = raw[i]['image']
      labels.append(record['label'])
      image = ours.take(np.array([i]))['image'][0]
      np.testing.assert_array_equal(image, record['image'])
  # The pictures' own bytes, each once, and not class by class.
  assert found == written
  assert np.count_nonzero(np.diff(labels[: 3 * _COUNT])) > _COUNT


@pytest.mark.smoke
def test_one_size_is_noted_so_that_it_is_decoded_once(tmp_path):
  _pictures(tmp_path / 'in', same_size=True)
  prepare_folder(tmp_path / 'in', 'toy', tmp_path / 'data')
  source = tfds(dataset='toy', data_dir=tmp_path / 'data')
  assert source.info.shape == (9, 8, 3)
  assert source.records('train').in_memory


def _truncate(root: Path) -> Path:
  path = root / 'train' / _CLASSES[1] / f'{_CLASSES[1]}_1.JPEG'
  path.write_bytes(path.read_bytes()[:-20])
  return path


def test_truncated_picture_is_named_and_stops(root, tmp_path):
  path = _truncate(root)
  with pytest.raises(UserError, match=f'{path}: the .*truncated'):
    prepare_folder(root, 'toy', tmp_path / 'data', shard_bytes=1500)
  _absent(tmp_path / 'data')


def test_bad_pictures_are_left_out_up_to_a_share(root, tmp_path):
  path = _truncate(root)
  prepare_folder(root, 'toy', tmp_path / 'data', max_bad_share=0.05)
  source = tfds(dataset='toy', data_dir=tmp_path / 'data')
  assert source.sizes() == {'train': 3 * _COUNT - 1, 'val': 6}
  for other in path.parent.iterdir():
    other.write_bytes(b'no picture')
  with pytest.raises(UserError, match='more than the 2 pictures'):
    prepare_folder(root, 'toy2', tmp_path / 'data', max_bad_share=0.05)
  assert not (tmp_path / 'data' / 'toy2' / '1.0.0').exists()


def test_stopped_conversion_continues(root, tmp_path, monkeypatch):
  whole = prepare_folder(root, 'toy', tmp_path / 'ref', shard_bytes=1500)
  shards = len(list(whole.glob('*.array_record*')))
  write_shard = writer.write_shard
  names = []

  def stop_after(count: int):
    def write(file, examples):
      if len(names) >= count:
        raise KeyboardInterrupt
      names.append(file.name)
      return write_shard(file, examples)

    monkeypatch.setattr(writer, 'write_shard', write)

  # One thread, so that the number of files before the stop is known.
  monkeypatch.setattr(cache, 'num_cores', lambda: 1)
  options = {'data_dir': tmp_path / 'data', 'shard_bytes': 1500}
  stop_after(3)
  with pytest.raises(KeyboardInterrupt):
    prepare_folder(root, 'toy', **options)
  _absent(tmp_path / 'data')
  work = tmp_path / 'data' / 'toy' / '1.0.0.incomplete'
  # A damaged file and one without its manifest are made again.
  damaged = bytearray((work / names[0]).read_bytes())
  damaged[100] ^= 1
  (work / names[0]).write_bytes(damaged)
  (work / f'{names[1]}.json').unlink()
  names.clear()
  stop_after(1000)
  target = prepare_folder(root, 'toy', **options)
  assert len(names) == shards - 1
  assert not work.exists()

  # The same records as without the stop.
  def records(folder):
    builder = tensorflow_datasets.builder_from_directory(folder)
    return [
      (split, r['file_name'], r['image'].tobytes())
      for split in ('train', 'val')
      for r in builder.as_data_source(split)
    ]

  assert records(target) == records(whole)
  files = {p.name for p in target.iterdir()}
  assert files == {p.name for p in whole.iterdir()}
  # A further call finds it there.
  names.clear()
  assert prepare_folder(root, 'toy', **options) == target
  assert not names


def test_changed_pictures_are_not_mixed_with_old_ones(root, tmp_path):
  (tmp_path / 'data' / 'toy').mkdir(parents=True)
  options = {'data_dir': tmp_path / 'data', 'shard_bytes': 1500}
  path = _truncate(root)
  with pytest.raises(UserError):
    prepare_folder(root, 'toy', **options)
  path.unlink()
  target = prepare_folder(root, 'toy', **options)
  source = tfds(dataset='toy', data_dir=tmp_path / 'data')
  assert source.sizes()['train'] == 3 * _COUNT - 1
  noted = json.loads((target / 'prepare.json').read_text())
  assert len(noted['plan']) == 64
  next((root / 'val' / _CLASSES[0]).iterdir()).unlink()
  with pytest.raises(UserError, match='made of something else'):
    prepare_folder(root, 'toy', **options)


def test_names_that_cannot_be_data_sets(root, tmp_path):
  for name in ('', '../up', 'Upper', '1st', 'a/b'):
    with pytest.raises(UserError, match='cannot name a data set'):
      prepare_folder(root, name, tmp_path / 'data')
  assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize('share', [-0.5, 1.0, 1.5, float('nan'), float('inf')])
def test_a_share_of_bad_records_that_is_none_is_told(tmp_path, root, share):
  sentence = r'max_bad_share must be in \[0, 1\), not'
  with pytest.raises(UserError, match=sentence):
    prepare_folder(root, 'toy', tmp_path / 'data', max_bad_share=share)
  (tmp_path / 'train.json').write_text('')
  place = tmp_path, 'manifest', 'toy', tmp_path / 'data'
  with pytest.raises(UserError, match=sentence):
    prepare_speech(*place, max_bad_share=share)


def test_a_finished_set_of_other_origin_is_not_taken(tmp_path, root):
  target = prepare_folder(root, 'toy', tmp_path / 'data')
  for content in ('[]', '{"plan": [' + '[' * 100_000, '{', '3', '"plan"'):
    (target / 'prepare.json').write_text(content)
    with pytest.raises(UserError, match='made of something else'):
      prepare_folder(root, 'toy', tmp_path / 'data')
