"""Data sets as TFDS writes them, read without TFDS and TensorFlow.

Of TFDS itself only the message class of its examples is used: TFDS 4.9 cannot
even construct its Audio feature without TensorFlow. Only `array_record` files
have the random access that training needs.
"""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from recog_jax.data import files
from recog_jax.errors import UserError, unknown_name

_VERSION = re.compile(r'\d+\.\d+\.\d+')
_BROKEN = (RuntimeError, OSError, ValueError)
# What reading a description raises that is of another form.
_MALFORMED = (
  *(OSError, ValueError, LookupError, TypeError, AttributeError),
  *(RecursionError, OverflowError),
)
_NAME = re.compile(r'[^/\\\0]{1,200}')
# Classes that need no file of their names, which would be numbers.
_MOST_CLASSES = 1 << 20
# Records that a byte of a file may hold: many alike compress well.
_DENSEST = 1000


class MissingDataError(UserError):
  """The data set is not on this machine."""


def default_data_dir(data_dir: str | os.PathLike | None = None) -> Path:
  """Where TFDS data sets lie: the flag, else TFDS_DATA_DIR, else TFDS's own."""
  place = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  return Path(place).expanduser()


def find(dataset: str, data_dir: Path) -> Path:
  """The folder of the version that `dataset` names.

  Raises:
    MissingDataError: there is none; says where the files belong.
  """
  name, config, version = parse(dataset)
  folder = data_dir / name
  if not config and not _versions(folder):
    config = _default_config(dataset, folder)
  if config:
    folder = folder / config
  versions = _versions(folder)
  if version:
    versions = [v for v in versions if v == version]
  if not versions:
    raise _missing(dataset, folder / (version or 'VERSION'), data_dir)
  return folder / max(versions, key=lambda v: [int(n) for n in v.split('.')])


def _broken(dataset: str, folder: Path, error: Exception) -> UserError:
  return UserError(
    f'{folder} is no readable TFDS data set ({error!r:.200}): copy or prepare '
    f'{dataset} again.'
  )


def _told(method: Callable[..., Any]) -> Any:
  """A method of `Layout` whose errors are told as a sentence."""

  @functools.wraps(method)
  def wrapped(self: 'Layout', *args: Any) -> Any:
    try:
      return method(self, *args)
    except _MALFORMED as e:
      raise _broken(self.dataset, self.folder, e) from e

  return wrapped


@dataclasses.dataclass(frozen=True)
class Layout:
  """The two descriptions that TFDS writes beside the shards."""

  dataset: str
  folder: Path
  features: Mapping[str, Any]
  info: Mapping[str, Any]

  @staticmethod
  def read(dataset: str, folder: Path) -> 'Layout':
    try:
      info = json.loads((folder / 'dataset_info.json').read_text())
      features = json.loads((folder / 'features.json').read_text())
      features = dict(features['featuresDict']['features'])
      formats = (info.get('fileFormat', 'tfrecord'),)
      formats += tuple(info.get('alternativeFileFormats', ()))
      for name in (info['name'], *(s['name'] for s in info['splits'])):
        if not _NAME.fullmatch(name):
          raise ValueError(f'{name!r:.40} is no name')
    except _MALFORMED as e:
      raise _broken(dataset, folder, e) from e
    if 'array_record' not in formats:
      raise UserError(
        f'{folder} holds {formats[0]} files, which have no random access. '
        'Convert them with `tfds convert_format '
        f'--out_file_format=array_record --dataset_version_dir={folder}` (that '
        'needs tensorflow, apache-beam and mlcroissant), or prepare the data '
        'set anew in another folder: `python -m recog_jax.prepare '
        '--dataset=NAME --data_dir=DIR`.'
      )
    return Layout(dataset, folder, features, info)

  def choose(self, key: str, name: str | None, usual: Sequence[str]) -> str:
    """The feature that the config names, or the usual one that is there."""
    found = name or next((n for n in usual if n in self.features), None)
    if found not in self.features:
      wanted = found or ' or '.join(usual)
      raise unknown_name(
        f'source.{key} of {self.dataset}', wanted, self.features
      )
    return found

  def _tensor(self, key: str) -> Mapping[str, Any]:
    feature = self.features[key]
    for kind in ('audio', 'tensor'):
      if kind in feature:
        return feature[kind]
    raise UserError(
      f"source.audio_key '{key}' of {self.dataset} is a "
      f'{feature.get("pythonClassName", "?").rsplit(".", 1)[-1]}, no audio'
    )

  @_told
  def dtype(self, key: str) -> np.dtype:
    found = np.dtype(self._tensor(key).get('dtype', 'int64'))
    if found.kind not in 'iuf':
      raise ValueError(f'{key} is of {found}')
    return found

  @_told
  def encoding(self, key: str) -> str:
    return self._tensor(key).get('encoding', 'none').lower()

  @_told
  def sample_rate(self, key: str) -> int | None:
    rate = int(self._tensor(key).get('sampleRate') or 0)
    if not 0 <= rate < 1 << 24:
      raise ValueError(f'{key} is of {rate} Hz')
    return rate or None

  @_told
  def image_shape(self, key: str) -> tuple[int | None, ...]:
    """(h, w, c) of an image; None where it varies.

    Raises:
      UserError: it is no image of 8 bits.
    """
    image = self.features[key].get('image')
    if image is None:
      raise UserError(
        f"source.image_key '{key}' of {self.dataset} is no image."
      )
    sides = image.get('shape', {}).get('dimensions', ('-1', '-1', '3'))
    shape = tuple(None if int(n) < 0 else int(n) for n in sides)
    dtype = image.get('dtype') or 'uint8'
    if dtype != 'uint8' or shape[-1] not in (1, 3, 4):
      raise UserError(
        f"the images '{key}' of {self.dataset} are {dtype} {shape}; only 8 "
        'bits with 1, 3 or 4 channels can be read.'
      )
    return shape

  @_told
  def is_list(self, key: str) -> bool:
    return 'sequence' in self.features[key]

  @_told
  def label_names(self, key: str) -> tuple[str, ...]:
    """Names of a ClassLabel, or of a Sequence of them; () for others."""
    feature = self.features[key]
    feature = feature.get('sequence', {}).get('feature', feature)
    label = feature.get('classLabel')
    if label is None:
      return ()
    path = self.folder / f'{key}.labels.txt'
    if path.is_file():
      lines = [line.strip() for line in path.read_text().split('\n')]
      return tuple(line for line in lines if line)
    count = int(label['numClasses'])
    if not 0 < count <= _MOST_CLASSES:
      raise ValueError(f'numClasses of {key} is {count}, and {path} is absent')
    return tuple(str(i) for i in range(count))

  @_told
  def scalar_keys(self) -> frozenset[str]:
    """Features that are one string or one number."""
    keys = set()
    for key, feature in self.features.items():
      shape = feature.get('tensor', {}).get('shape', {})
      scalar = 'tensor' in feature and not shape.get('dimensions')
      if scalar or 'text' in feature or 'classLabel' in feature:
        keys.add(key)
    return frozenset(keys)

  @_told
  def sizes(self) -> dict[str, int]:
    return {s['name']: sum(_lengths(s)) for s in self.info['splits']}

  @_told
  def shards(self, split: str) -> list[Path]:
    """The files of a split.

    Raises:
      UserError: one of them is not there, or shorter than it could be.
    """
    found = self._described(split)
    lengths = _lengths(found)
    template = found.get('filepathTemplate') or (
      '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
    )
    words = {
      'DATASET': self.info['name'],
      'SPLIT': split,
      'FILEFORMAT': 'array_record',
    }
    paths = []
    for i, length in enumerate(lengths):
      words['SHARD_X_OF_Y'] = f'{i:05d}-of-{len(lengths):05d}'
      name = re.sub(r'\{(\w+)\}', lambda m: words[m[1]], template)
      paths.append(self.folder / name)
      if not paths[-1].is_file():
        raise UserError(
          f'{paths[-1]} is missing: the data set is not whole. Copy or prepare '
          f'{self.dataset} again.'
        )
      if length > _DENSEST * paths[-1].stat().st_size:
        raise ValueError(f'{paths[-1]} is too small for {length} records')
    return paths

  def _described(self, split: str) -> Mapping[str, Any]:
    return next(s for s in self.info['splits'] if s['name'] == split)

  def examples(self, split: str) -> 'Examples':
    """The records of a split.

    Raises:
      UserError: no such split; a file is not there, or cannot be opened.
    """
    if split not in self.sizes():
      raise unknown_name(f'split of {self.dataset}', split, self.sizes())
    # With their lengths, files are opened only when they are read.
    lengths = _lengths(self._described(split))
    files = zip(self.shards(split), lengths, strict=True)
    shards = [f'{path}[0:{length}]' for path, length in files]
    place = f"split '{split}' of {self.folder}"
    return Examples(ArrayRecordDataSource(shards), place)

  def files(self) -> list[tuple[str, int]]:
    """Name and size in bytes of every file of records, sorted."""
    files = [p for split in self.sizes() for p in self.shards(split)]
    return sorted((p.name, p.stat().st_size) for p in files)


def _lengths(split: Mapping[str, Any]) -> list[int]:
  """Records of each file of a split."""
  lengths = [int(n) for n in split['shardLengths']]
  if any(n < 0 for n in lengths):
    raise ValueError(f'shardLengths are {lengths}')
  return lengths


@dataclasses.dataclass(frozen=True)
class Examples:
  """The records of one split; they pickle.

  Attributes:
    source: the serialised examples; opens its files when first used in each
      process.
    place: the split, for messages.
  """

  source: Any
  place: str

  def __len__(self) -> int:
    return len(self.source)

  def take(self, ids: Sequence[int] | np.ndarray) -> list[Mapping[str, Any]]:
    """The features of some examples.

    Raises:
      UserError: one of them cannot be read.
    """
    ids = [int(i) for i in ids]
    try:
      found = self.source.__getitems__(ids)
    except _BROKEN:
      found = [self._one(i) for i in ids]  # Finds which one it is.
    return [self._features(*pair) for pair in zip(ids, found, strict=True)]

  def _one(self, number: int) -> bytes:
    try:
      return self.source[number]
    except _BROKEN as e:
      # The reader names the file in the last line of its message.
      raise UserError(
        f'record {number} of {self.place} cannot be read; copy or prepare the '
        f'data set again ({e}).'
      ) from e

  def _features(self, number: int, data: bytes) -> Mapping[str, Any]:
    try:
      return tf_example_pb2.Example.FromString(data).features.feature
    except Exception as e:  # protobuf's errors share no useful base class
      raise self.damaged(number, 'it is no TFDS example') from e

  def damaged(self, number: int, reason: str) -> UserError:
    return UserError(
      f'record {number} of {self.place} is damaged: {reason}. Prepare the data '
      'set again.'
    )


def parse(dataset: str) -> tuple[str, str, str]:
  """Name, config ('' if none) and version ('' if none)."""
  found = re.fullmatch(r'(\w+)(?:/([^:/\\]+))?(?::(\d+\.\d+\.\d+))?', dataset)
  if not found or (found[2] or '').startswith('.'):
    raise UserError(
      f"source.dataset '{dataset}' is not of the form name[/config][:version], "
      'for example cifar10:3.0.2.'
    )
  return found[1], found[2] or '', found[3] or ''


def _versions(folder: Path) -> list[str]:
  """The versions that are whole enough to have both of TFDS's descriptions."""
  return [
    path.parent.name
    for path in folder.glob('*/dataset_info.json')
    if _VERSION.fullmatch(path.parent.name)
    and (path.parent / 'features.json').is_file()
  ]


def _default_config(dataset: str, folder: Path) -> str:
  """The config that TFDS has noted as the default, else the only one."""
  try:
    noted = json.loads((folder / '.config' / 'metadata.json').read_text())
    if _NAME.fullmatch(noted['default_config_name']):
      return noted['default_config_name']
  except _MALFORMED:
    pass
  if not folder.is_dir():
    return ''
  configs = [p.name for p in files.listed(folder) if _versions(p)]
  if len(configs) > 1:
    raise UserError(
      f'{folder} holds several configs: say which, as source.dataset='
      f'{dataset}/CONFIG. There are {", ".join(configs)}.'
    )
  return configs[0] if configs else ''


def _missing(dataset: str, place: Path, data_dir: Path) -> MissingDataError:
  return MissingDataError(
    f"data set '{dataset}' is not on this machine: its files "
    f'({parse(dataset)[0]}-SPLIT.array_record-*, dataset_info.json, '
    f'features.json) belong in {place}. Make them with `python -m '
    f'recog_jax.prepare --dataset={dataset} --data_dir={data_dir}`, name '
    'another folder with --data_dir, or use --config=configs/digits_resnet8.py,'
    ' which needs no download.'
  )
