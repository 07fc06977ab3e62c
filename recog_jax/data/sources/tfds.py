"""Image classification data sets in TFDS's layout, read without TensorFlow.

Only `array_record` files have the random access that training needs. Images
are decoded with OpenCV, as TFDS decodes them where TensorFlow is absent.
"""

import dataclasses
import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from recog_jax.data import cache
from recog_jax.data.image import records as base
from recog_jax.data.image.cache import decode_once
from recog_jax.data.image.codecs import decode_image
from recog_jax.data.image.picture import Picture
from recog_jax.errors import UserError, unknown_name

_Sequence = tensorflow_datasets.features.Sequence
_CHUNK = 256
_VERSION = re.compile(r'\d+\.\d+\.\d+')


class MissingDataError(UserError):
  """The data set is not on this machine."""


def default_data_dir(data_dir: str | os.PathLike | None = None) -> Path:
  """Where TFDS data sets lie: the flag, else TFDS_DATA_DIR, else TFDS's own."""
  place = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  return Path(place).expanduser()


def tfds(
  *,
  dataset: str,
  image_key: str = 'image',
  label_key: str = 'label',
  data_dir: str | os.PathLike | None = None,
) -> 'Tfds':
  """An image classification data set that TFDS or `prepare` has written.

  Args:
    dataset: `name[/config][:version]`; the newest version if none is named.
    image_key: the feature with the image.
    label_key: the feature with the label: a ClassLabel, or a Sequence of them
      (several labels an image).
    data_dir: the folder of all data sets; else $TFDS_DATA_DIR, else
      ~/tensorflow_datasets.

  Raises:
    MissingDataError: the data set is not there.
    UserError: it is there, but cannot be read so.
  """
  folder = find(dataset, default_data_dir(data_dir))
  return Tfds(dataset, folder, image_key, label_key)


# `main` downloads and converts what it knows how to, before it is read.
tfds.prepare = 'recog_jax.data.prepare.known:ensure'


def find(dataset: str, data_dir: Path) -> Path:
  """The folder of the version that `dataset` names.

  Raises:
    MissingDataError: there is none; says where the files belong.
  """
  name, config, version = _parse(dataset)
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


class Tfds:
  """A TFDS data set as a source; see `base.Source`."""

  def __init__(
    self, dataset: str, folder: Path, image_key: str, label_key: str
  ):
    self._folder, self._dataset = folder, dataset
    self._keys = image_key, label_key
    self._builder = _open_builder(folder)
    features = self._builder.info.features
    for kind, key in (('image_key', image_key), ('label_key', label_key)):
      if key not in features:
        raise unknown_name(f'source.{kind} of {dataset}', key, features)
    shape = _image_shape(dataset, image_key, features[image_key])
    names = _label_names(dataset, label_key, features[label_key])
    self._several = isinstance(features[label_key], _Sequence)
    self.info = base.Info(_parse(dataset)[0], shape, names)

  def sizes(self) -> dict[str, int]:
    return {k: v.num_examples for k, v in self._builder.info.splits.items()}

  def records(self, split: str) -> base.Records:
    sizes = self.sizes()
    if split not in sizes:
      raise unknown_name(f'split of {self._dataset}', split, sizes)
    times = [p.stat().st_mtime_ns for p in self._files([split])]
    records = TfdsRecords(
      ArrayRecordDataSource(self._instructions(split)),
      f"split '{split}' of {self._folder}",
      self.info,
      self._keys,
      self._several,
    )
    if not records.uniform:
      return records
    if sizes[split] * math.prod(self.info.shape) > cache.SIZE_LIMIT:
      return records
    key = f'{self.fingerprint()}|{self._keys}|{times}'
    return decode_once(records, name=self.info.name, split=split, key=key)

  def fingerprint(self) -> str:
    files = [(p.name, p.stat().st_size) for p in self._files(self.sizes())]
    text = json.dumps([self.info.name, sorted(files)])
    return hashlib.sha256(text.encode()).hexdigest()

  def _instructions(self, split: str) -> list:
    """TFDS's list of a split's shards and their lengths.

    Where `tfds convert_format` has put array_record files beside others, TFDS
    4.9 itself cannot be told to open them.
    """
    info = self._builder.info
    suffix = f'.{info.file_format.value}-'

    def converted(instruction):
      file = Path(instruction.filename)
      file = file.with_name(file.name.replace(suffix, '.array_record-'))
      return dataclasses.replace(instruction, filename=str(file))

    return [converted(i) for i in info.splits[split].file_instructions]

  def _files(self, splits) -> list[Path]:
    """The shards of some splits.

    Raises:
      UserError: one of them is not there.
    """
    files = [
      Path(i.filename) for split in splits for i in self._instructions(split)
    ]
    for file in files:
      if not file.is_file():
        raise UserError(
          f'{file} is missing: the data set is not whole. Copy or prepare '
          f'{self._dataset} again.'
        )
    return files


@dataclasses.dataclass(frozen=True)
class TfdsRecords:
  """One split, read and decoded record by record.

  Attributes:
    source: the serialised examples; opens its files when first used in each
      process, and pickles.
    place: the split, for messages.
    info: of the whole data set.
    keys: the features of image and label.
    several: whether the label is a list of classes.
  """

  source: Any
  place: str
  info: base.Info
  keys: tuple[str, str]
  several: bool

  in_memory: ClassVar[bool] = False

  @property
  def uniform(self) -> bool:
    return None not in self.info.shape

  def __len__(self) -> int:
    return len(self.source)

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    images, labels = self._rows(ids, self._decode)
    image = np.stack(images) if self.uniform else list(images)
    return {'image': image, 'label': labels}

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    images, labels = self._rows(ids, self._picture)
    return {'image': list(images), 'label': labels}

  def _rows(self, ids: np.ndarray, image: Callable[[int, bytes], Any]):
    """What `image` makes of (number, file) of each record, and the labels."""
    ids = [int(i) for i in ids]
    rows = []
    for number, data in zip(ids, self._read(ids), strict=True):
      encoded, label = self._parse(number, data)
      rows.append((self._checked(number, image(number, encoded)), label))
    images, labels = zip(*rows, strict=True)
    return images, self._labels(labels)

  def labels(self) -> np.ndarray:
    result = []
    for start in range(0, len(self), _CHUNK):
      ids = list(range(start, min(start + _CHUNK, len(self))))
      data = self._read(ids)
      result += [self._parse(*row)[1] for row in zip(ids, data, strict=True)]
    return self._labels(result)

  def _read(self, ids: list[int]) -> list[bytes]:
    try:
      return self.source.__getitems__(ids)
    except (RuntimeError, OSError, ValueError):
      for i in ids:
        try:
          self.source[i]
        except (RuntimeError, OSError, ValueError) as e:
          # The reader names the file in the last line of its message.
          raise UserError(
            f'record {i} of {self.place} cannot be read; copy or prepare the '
            f'data set again ({e}).'
          ) from e
      raise

  def _parse(self, number: int, data: bytes) -> tuple[bytes, list[int]]:
    """The file of the image, and the classes."""
    image_key, label_key = self.keys
    try:
      feature = tf_example_pb2.Example.FromString(data).features.feature
      encoded = feature[image_key].bytes_list.value[0]
      label = list(feature[label_key].int64_list.value)
      self._check_label(label)
    except Exception as e:  # protobuf's errors share no useful base class
      reason = str(e) if isinstance(e, ValueError) else 'it is no TFDS example'
      raise self._error(number, reason) from e
    return encoded, label

  def _decode(self, number: int, data: bytes) -> np.ndarray:
    try:
      return decode_image(data, self.info.shape[-1])
    except ValueError as e:
      raise self._error(number, str(e)) from e

  def _picture(self, number: int, data: bytes) -> Picture:
    error = functools.partial(self._error, number)
    return Picture(data, self.info.shape[-1], error)

  def _error(self, number: int, reason: str) -> UserError:
    return UserError(
      f'record {number} of {self.place} is damaged: {reason}. Prepare the '
      'data set again.'
    )

  def _checked(self, number: int, image: np.ndarray | Picture):
    if self.uniform and image.shape != self.info.shape:
      raise UserError(
        f'record {number} of {self.place} is {image.shape}; features.json says '
        f'{self.info.shape}.'
      )
    return image

  def _check_label(self, label: list[int]):
    if not self.several and len(label) != 1:
      raise ValueError(f'it has {len(label)} labels')
    # TFDS gives -1 to the records of a split whose labels are not published.
    low = 0 if self.several else -1
    if any(not low <= y < len(self.info.label_names) for y in label):
      raise ValueError(f'its label {label} is no class')

  def _labels(self, labels) -> np.ndarray:
    if not self.several:
      return np.array([label[0] for label in labels], np.int32)
    result = np.zeros((len(labels), len(self.info.label_names)), np.float32)
    for row, label in zip(result, labels, strict=True):
      row[label] = 1.0
    return result


def _parse(dataset: str) -> tuple[str, str, str]:
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
    return noted['default_config_name']
  except (OSError, ValueError, KeyError):
    pass
  if not folder.is_dir():
    return ''
  configs = sorted(p.name for p in folder.iterdir() if _versions(p))
  if len(configs) > 1:
    raise UserError(
      f'{folder} holds several configs: say which, as source.dataset='
      f'{dataset}/CONFIG. There are {", ".join(configs)}.'
    )
  return configs[0] if configs else ''


def _missing(dataset: str, place: Path, data_dir: Path) -> MissingDataError:
  return MissingDataError(
    f"data set '{dataset}' is not on this machine: its files "
    f'({_parse(dataset)[0]}-SPLIT.array_record-*, dataset_info.json, '
    f'features.json) belong in {place}. Make them with `python -m '
    f'recog_jax.prepare --dataset={dataset} --data_dir={data_dir}`, name '
    'another folder with --data_dir, or use --config=configs/digits_resnet8.py,'
    ' which needs no download.'
  )


def _open_builder(folder: Path):
  """TFDS's reader of a prepared data set.

  Raises:
    UserError: the files are of another format, or cannot be parsed.
  """
  try:
    noted = json.loads((folder / 'dataset_info.json').read_text())
    file_format = noted.get('fileFormat', 'tfrecord')
    converted = noted.get('alternativeFileFormats', ())
    if 'array_record' in (file_format, *converted):
      return tensorflow_datasets.builder_from_directory(folder)
  except Exception as e:  # whatever TFDS raises for files of another shape
    raise UserError(f'{folder} is no readable TFDS data set: {e}') from e
  raise UserError(
    f'{folder} holds {file_format} files, which have no random access. Convert '
    'them with `tfds convert_format --out_file_format=array_record '
    f'--dataset_version_dir={folder}` (that needs tensorflow, apache-beam and '
    'mlcroissant), or prepare the data set anew in another folder: `python -m '
    'recog_jax.prepare --dataset=NAME --data_dir=DIR`.'
  )


def _image_shape(dataset: str, key: str, feature) -> tuple[int | None, ...]:
  if not isinstance(feature, tensorflow_datasets.features.Image):
    raise UserError(f"source.image_key '{key}' of {dataset} is no image.")
  shape = feature.shape
  if feature.np_dtype != np.uint8 or shape[-1] not in (1, 3, 4):
    raise UserError(
      f"the images '{key}' of {dataset} are {feature.np_dtype} {shape}; only 8 "
      'bits with 1, 3 or 4 channels can be read.'
    )
  return tuple(shape)


def _label_names(dataset: str, key: str, feature) -> tuple[str, ...]:
  """The classes; TFDS itself reads them from `KEY.labels.txt`."""
  if isinstance(feature, _Sequence):
    feature = feature.feature
  if not isinstance(feature, tensorflow_datasets.features.ClassLabel):
    raise UserError(
      f"source.label_key '{key}' of {dataset} is neither a ClassLabel nor a "
      'Sequence of them.'
    )
  return tuple(feature.names)
