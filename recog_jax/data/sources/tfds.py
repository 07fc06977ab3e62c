"""Image classification data sets in TFDS's layout.

Images are decoded with OpenCV, as TFDS decodes them where TensorFlow is absent.
"""

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recog_jax.data import cache
from recog_jax.data.image import records as base
from recog_jax.data.image.cache import decode_once
from recog_jax.data.image.codecs import decode_image
from recog_jax.data.image.picture import Picture
from recog_jax.data.sources.tfds_layout import (
  Examples,
  Layout,
  default_data_dir,
  find,
  parse,
)
from recog_jax.errors import UserError

_CHUNK = 256
# Features in which data sets keep the names of files, if they do.
_NAME_KEYS = ('file_name', 'filename', 'image/filename', 'image_id', 'id')


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
    label_key: the feature with the label: a ClassLabel, a Sequence of them
      (several labels an image), or a Text, whose different values are the
      classes (people's names in `lfw`).
    data_dir: the folder of all data sets; else $TFDS_DATA_DIR, else
      ~/tensorflow_datasets.

  Raises:
    MissingDataError: the data set is not there.
    UserError: it is there, but cannot be read so.
  """
  folder = find(dataset, default_data_dir(data_dir))
  return Tfds(Layout.read(dataset, folder), image_key, label_key)


# `main` downloads and converts what it knows how to, before it is read.
tfds.prepare = 'recog_jax.data.prepare.known:ensure'


class Tfds:
  """A TFDS data set as a source; see `base.Source`."""

  def __init__(self, layout: Layout, image_key: str, label_key: str):
    self._layout = layout
    self._keys = image_key, label_key
    for kind, key in (('image_key', image_key), ('label_key', label_key)):
      layout.choose(kind, key, ())
    shape, names = layout.image_shape(image_key), layout.label_names(label_key)
    if not names and 'text' in layout.features[label_key]:
      names = _distinct(layout, label_key)
    if not names:
      raise UserError(
        f"source.label_key '{label_key}' of {layout.dataset} is neither a "
        'ClassLabel nor a Sequence of them, nor a Text.'
      )
    self.info = base.Info(parse(layout.dataset)[0], shape, names)

  def sizes(self) -> dict[str, int]:
    return self._layout.sizes()

  def records(self, split: str) -> base.Records:
    records = TfdsRecords(
      self._layout.examples(split),
      self.info,
      self._keys,
      self._layout.is_list(self._keys[1]),
      next((k for k in _NAME_KEYS if k in self._layout.scalar_keys()), None),
      {
        key: self._layout.label_names(key)
        for key in sorted(self._layout.scalar_keys() - {*self._keys})
      },
    )
    size = len(records) * math.prod(self.info.shape) if records.uniform else 0
    if not 0 < size <= cache.SIZE_LIMIT:
      return records
    times = [p.stat().st_mtime_ns for p in self._layout.shards(split)]
    key = f'{self.fingerprint()}|{self._keys}|{times}'
    return decode_once(records, name=self.info.name, split=split, key=key)

  def fingerprint(self) -> str:
    text = json.dumps([self.info.name, self._layout.files()])
    return hashlib.sha256(text.encode()).hexdigest()


def _distinct(layout: Layout, key: str) -> tuple[str, ...]:
  """The different texts of a feature, of all splits; () if all differ."""
  found: set[str] = set()
  for split in layout.sizes():
    examples = layout.examples(split)
    for start in range(0, len(examples), _CHUNK):
      ids = range(start, min(start + _CHUNK, len(examples)))
      for number, row in zip(ids, examples.take(ids), strict=True):
        if not row[key].bytes_list.value:
          raise examples.damaged(number, f'it has no {key}')
        found.add(row[key].bytes_list.value[0].decode(errors='replace'))
  return (
    tuple(sorted(found)) if len(found) < sum(layout.sizes().values()) else ()
  )


@dataclasses.dataclass(frozen=True)
class TfdsRecords:
  """One split, read and decoded record by record.

  Attributes:
    examples: the records as they are stored.
    info: of the whole data set.
    keys: the features of image and label.
    several: whether the label is a list of classes.
    name_key: the feature that names a picture's file, if there is one.
    others: features that are one string or number, with their classes' names
      where they have some.
  """

  examples: Examples
  info: base.Info
  keys: tuple[str, str]
  several: bool
  name_key: str | None = None
  others: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

  in_memory: ClassVar[bool] = False

  @property
  def uniform(self) -> bool:
    return None not in self.info.shape

  def __len__(self) -> int:
    return len(self.examples)

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    images, labels = self._rows(ids, self._decode)
    image = np.stack(images) if self.uniform else images
    return {'image': image, 'label': labels}

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    images, labels = self._rows(ids, self._picture)
    return {'image': images, 'label': labels}

  def _rows(self, ids: np.ndarray, image: Callable[[int, bytes], Any]):
    """What `image` makes of (number, file) of each record, and the labels."""
    images, labels = [], []
    for number, feature in zip(ids, self.examples.take(ids), strict=True):
      labels.append(self._label(number, feature))
      data = feature[self.keys[0]].bytes_list.value
      if not data:
        raise self.examples.damaged(number, 'it has no image')
      images.append(self._checked(number, image(number, data[0])))
    return images, self._labels(labels)

  def labels(self) -> np.ndarray:
    result = []
    for start in range(0, len(self), _CHUNK):
      ids = range(start, min(start + _CHUNK, len(self)))
      taken = self.examples.take(ids)
      result += [self._label(*row) for row in zip(ids, taken, strict=True)]
    return self._labels(result)

  def names(self, ids: np.ndarray) -> list[str]:
    """Of the pictures' files, where the data set keeps them."""
    if not self.name_key:
      return [str(number) for number in ids]
    names = []
    for start in range(0, len(ids), _CHUNK):
      part = ids[start : start + _CHUNK]
      for number, row in zip(part, self.examples.take(part), strict=True):
        text = row[self.name_key].bytes_list.value
        names.append(text[0].decode(errors='replace') if text else str(number))
    return names

  def fields(self, ids: np.ndarray) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {key: [] for key in self.others}
    for start in range(0, len(ids) if found else 0, _CHUNK):
      for row in self.examples.take(ids[start : start + _CHUNK]):
        for key, names in self.others.items():
          found[key].append(_text(row[key], names))
    return found

  def _label(self, number: int, feature: Mapping[str, Any]) -> list[int]:
    """The classes."""
    if texts := feature[self.keys[1]].bytes_list.value:
      return [self._number_of[texts[0].decode(errors='replace')]]
    label = list(feature[self.keys[1]].int64_list.value)
    if not self.several and len(label) != 1:
      raise self.examples.damaged(number, f'it has {len(label)} labels')
    # TFDS gives -1 to the records of a split whose labels are not published.
    low = 0 if self.several else -1
    if any(not low <= y < len(self.info.label_names) for y in label):
      raise self.examples.damaged(number, f'its label {label} is no class')
    return label

  @functools.cached_property
  def _number_of(self) -> dict[str, int]:
    """Of classes that are texts."""
    return {name: i for i, name in enumerate(self.info.label_names)}

  def _decode(self, number: int, data: bytes) -> np.ndarray:
    try:
      return decode_image(data, self.info.shape[-1])
    except ValueError as e:
      raise self.examples.damaged(number, str(e)) from e

  def _picture(self, number: int, data: bytes) -> Picture:
    error = functools.partial(self.examples.damaged, number)
    return Picture(data, self.info.shape[-1], error)

  def _checked(self, number: int, image: np.ndarray | Picture):
    if self.uniform and image.shape != self.info.shape:
      raise UserError(
        f'record {number} of {self.examples.place} is {image.shape}; '
        f'features.json says {self.info.shape}.'
      )
    return image

  def _labels(self, labels) -> np.ndarray:
    if not self.several:
      return np.array([label[0] for label in labels], np.int32)
    result = np.zeros((len(labels), len(self.info.label_names)), np.float32)
    for row, label in zip(result, labels, strict=True):
      row[label] = 1.0
    return result


def _text(value: Any, names: Sequence[str]) -> str:
  """A feature of one string or number; '' where it is empty."""
  if data := value.bytes_list.value:
    return data[0].decode(errors='replace')
  if data := value.int64_list.value:
    return names[data[0]] if 0 <= data[0] < len(names) else str(data[0])
  if data := value.float_list.value:
    return f'{data[0]:g}'
  return ''
