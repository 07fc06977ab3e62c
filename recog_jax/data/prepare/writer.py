"""Writes TFDS's array_record layout; TensorFlow is not needed.

A data set appears under its final name only when it is whole: it is made in a
folder beside it, which TFDS and `sources.tfds` never take for a version.
"""

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets
from absl import logging
from array_record.python import array_record_module
from etils import epath
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from recog_jax.data.cache import num_cores

_features = tensorflow_datasets.features


@dataclasses.dataclass(frozen=True)
class Description:
  """What TFDS's two description files say of a data set.

  Attributes:
    name: of the data set, which is also the prefix of its files.
    version: three numbers with points.
    shape: (h, w, c), None where it varies.
    label_names: in the order of the integer labels.
    text_key: the feature that names a record.
    text: a sentence about the data set.
    url: where it comes from; '' if nowhere.
  """

  name: str
  version: str
  shape: tuple[int | None, ...]
  label_names: tuple[str, ...]
  text_key: str
  text: str
  url: str = ''


@dataclasses.dataclass(frozen=True)
class Shards:
  """The files of one split.

  Attributes:
    lengths: records of each file.
    num_bytes: serialised size of all records.
  """

  lengths: tuple[int, ...]
  num_bytes: int


def shard_name(name: str, split: str, shard: int, shards: int) -> str:
  return f'{name}-{split}.array_record-{shard:05d}-of-{shards:05d}'


def example(features: Mapping[str, int | bytes]) -> bytes:
  """A serialised tf.train.Example; integers and bytes only."""
  proto = tf_feature_pb2.Features()
  for key, value in features.items():
    if isinstance(value, bytes):
      proto.feature[key].bytes_list.value.append(value)
    else:
      proto.feature[key].int64_list.value.append(value)
  whole = tf_example_pb2.Example(features=proto)
  return whole.SerializeToString(deterministic=True)


def write_shard(file: Path, examples: Iterable[bytes]) -> tuple[int, int]:
  """Writes one file, whole or not at all.

  Returns:
    Number of records and their serialised size in bytes.

  Raises:
    OSError: it cannot be written; the disk is full, for example.
  """
  part = file.with_name(f'{file.name}.tmp')
  # One record a group, or every look-up would decompress a whole group.
  count = size = 0
  try:
    writer = array_record_module.ArrayRecordWriter(str(part), 'group_size:1')
    with contextlib.closing(writer):
      for data in examples:
        writer.write(data)
        count, size = count + 1, size + len(data)
  except RuntimeError as e:  # All that the writer ever raises.
    raise OSError(str(e)) from e
  _sync(part)
  part.replace(file)
  return count, size


def write_images(
  folder: Path,
  description: Description,
  split: str,
  image: np.ndarray,
  label: np.ndarray,
  order: np.ndarray,
) -> Shards:
  """Writes a split of a small data set as lossless PNG, in one file.

  Args:
    folder: of the data set.
    description: of the data set.
    split: its name.
    image: uint8 `n h w c`.
    label: int `n`.
    order: int `n`, the published numbers in the order of writing.
  """

  def encode(number: int) -> bytes:
    pixels = image[number]
    if pixels.shape[-1] == 3:
      pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return example(
      {
        description.text_key: f'{split}_{number:05d}'.encode(),
        'image': cv2.imencode('.png', pixels)[1].tobytes(),
        'label': int(label[number]),
      }
    )

  file = folder / shard_name(description.name, split, 0, 1)
  with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:
    count, size = write_shard(file, pool.map(encode, order))
  return Shards((count,), size)


def write_metadata(
  folder: Path, description: Description, splits: Mapping[str, Shards]
):
  """Writes features.json, label.labels.txt and dataset_info.json of images."""
  features = {
    description.text_key: _features.Text(),
    'image': _features.Image(shape=description.shape),
    'label': _features.ClassLabel(names=list(description.label_names)),
  }
  write_description(
    folder,
    features,
    ('image', 'label'),
    splits,
    name=description.name,
    version=description.version,
    text=description.text,
    url=description.url,
  )


def write_description(
  folder: Path,
  features: Mapping[str, _features.FeatureConnector],
  supervised: tuple[str, str],
  splits: Mapping[str, Shards],
  *,
  name: str,
  version: str,
  text: str,
  url: str = '',
):
  """Writes features.json, with what belongs to it, and dataset_info.json.

  Args:
    folder: of the data set.
    features: by their names.
    supervised: the features that are input and target.
    splits: the files of each.
    name: of the data set.
    version: three numbers with points.
    text: a sentence about the data set.
    url: where it comes from; '' if nowhere.
  """
  _features.FeaturesDict(dict(features)).save_config(epath.Path(folder))
  keys = [{'featureKey': key} for key in supervised]
  info = {
    'name': name,
    'version': version,
    'description': text,
    'fileFormat': 'array_record',
    'location': {'urls': [url] if url else []},
    'supervisedKeys': {'tuple': {'items': keys}},
    'splits': [
      {
        'name': split,
        'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
        'numBytes': str(shards.num_bytes),
        'shardLengths': [str(n) for n in shards.lengths],
      }
      for split, shards in splits.items()
    ],
  }
  path = folder / 'dataset_info.json'
  path.write_text(json.dumps(info, indent=2) + '\n')


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
  """A folder to fill, which becomes `target` if all goes well.

  What a killed process has left is removed by the next one; `locked` keeps the
  two apart.
  """
  target.parent.mkdir(parents=True, exist_ok=True)
  for old in target.parent.glob(f'{target.name}.incomplete-*'):
    shutil.rmtree(old, ignore_errors=True)
  folder = Path(
    tempfile.mkdtemp(prefix=f'{target.name}.incomplete-', dir=target.parent)
  )
  try:
    folder.chmod(0o755)  # mkdtemp's folders are for their owner alone.
    yield folder
    publish(folder, target)
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path):
  """Gives a whole data set its final name."""
  for file in folder.iterdir():
    _sync(file)
  folder.rename(target)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
  """One process at a time makes this data set; the others wait."""
  folder.mkdir(parents=True, exist_ok=True)
  with (folder / '.prepare.lock').open('w') as f:
    try:
      fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      logging.warning('Another process prepares %s; waiting for it.', folder)
      fcntl.flock(f, fcntl.LOCK_EX)
    except OSError:
      # A file system without locks: the final rename is still atomic.
      logging.warning('%s cannot be locked.', folder)
    yield


def _sync(file: Path):
  descriptor = os.open(file, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
