"""Picture files as a source, whatever lists them; see `image_folder`, `table`.

An orientation in EXIF is obeyed: phones store pictures as the sensor lies.
"""

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from absl import logging

from recog_jax.data import cache
from recog_jax.data import files as files_lib
from recog_jax.data.image import codecs, exif
from recog_jax.data.image import records as base
from recog_jax.data.image.cache import decode_once
from recog_jax.data.image.picture import Picture
from recog_jax.data.sources import bad_records
from recog_jax.errors import UserError, unknown_name

# What the decoder reads, in any case.
SUFFIXES = (
  *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.dib', '.gif'),
  *('.tif', '.tiff', '.pbm', '.pgm', '.ppm', '.pnm', '.avif', '.jp2'),
)
# What stands for a picture as well, and cannot be read.
UNREADABLE = ('.heic', '.heif', '.jxl', '.psd', '.svg', '.dng', '.cr2', '.nef')
_HINT = ' Replace or remove it, or set source.max_bad_share.'


@dataclasses.dataclass(frozen=True)
class Listing:
  """The pictures of one split, in an order that mixes the classes.

  The order is that of a hash of each picture's path, so it is the same
  everywhere, and a further picture leaves the order of the others.

  Attributes:
    root: the folder to which `files` belong.
    files: bytes `n`, paths below `root`; as one array they pickle quickly.
    labels: int32 `n`, float32 `n v` or `n`; see `base.Records`.
    sizes: int64 `n`, bytes of each file.
    stamp: changes with the labels, where paths do not tell them.
    fields: n strings of each name, what else is known of the pictures.
  """

  root: Path
  files: np.ndarray
  labels: np.ndarray
  sizes: np.ndarray
  stamp: str = ''
  fields: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.labels)

  def path(self, number: int) -> Path:
    return self.root / os.fsdecode(bytes(self.files[number]))

  def frame(self, number: int) -> int:
    """Which frame of its file a picture is; files of several override it."""
    del number
    return 0

  def take(self, ids: np.ndarray) -> 'Listing':
    """Some of the pictures (int `k`), in that order."""
    return dataclasses.replace(
      self,
      files=self.files[ids],
      labels=self.labels[ids],
      sizes=self.sizes[ids],
      fields={name: values[ids] for name, values in self.fields.items()},
    )

  def fingerprint(self) -> str:
    """Of the files' paths and sizes, and of labels that they do not tell."""
    state = hashlib.sha256()
    state.update('\n'.join(map(str, self.sizes)).encode())
    state.update(b'\n'.join(self.files.tolist()))
    state.update(self.stamp.encode())
    return state.hexdigest()


def make_listing(
  root: Path,
  files: Sequence[bytes],
  labels: np.ndarray,
  sizes: Sequence[int],
  stamp: str = '',
  fields: Mapping[str, Sequence[str]] = {},
  kind: Callable[..., Listing] | None = None,
) -> Listing:
  """A listing of some files, given in any order; see `Listing`."""
  keys = [hashlib.blake2b(file, digest_size=8).digest() for file in files]
  order = sorted(range(len(files)), key=lambda i: (keys[i], files[i]))
  return (kind or Listing)(
    root,
    np.array([files[i] for i in order]),
    np.asarray(labels)[order],
    np.array([sizes[i] for i in order], np.int64),
    stamp,
    {k: np.asarray(v, object)[order] for k, v in fields.items()},
  )


class PictureSource:
  """Picture files as a source; see `base.Source`.

  Pictures that cannot be decoded stop a run when they are met. With a
  `max_bad_share` all are decoded once, which the cache remembers, and such
  pictures are left out and listed up to that share of a split.
  """

  def __init__(
    self,
    info: base.Info,
    splits: Mapping[str, Listing],
    *,
    where: str,
    max_bad_share: float = 0.0,
  ):
    """Takes what there is; no picture is opened.

    Args:
      info: of the source.
      splits: what each split holds.
      where: the folder or file that lists them, for messages.
      max_bad_share: share of a split's pictures that may be bad.

    Raises:
      UserError: a share that cannot be.
    """
    bad_records.check_share(max_bad_share)
    self.info = dataclasses.replace(info, labels_listed=True)
    self._where, self._max_bad_share = where, max_bad_share
    self._splits = dict(splits)
    self._good = functools.cache(self._find_good)

  def sizes(self) -> dict[str, int]:
    return {split: len(self._good(split)) for split in self._splits}

  def listed(self) -> dict[str, int]:
    """Pictures of each split as they are listed, good or bad."""
    return {split: len(listing) for split, listing in self._splits.items()}

  def listing(self, split: str) -> Listing:
    """What a split holds, good or bad."""
    return self._splits[split]

  def records(self, split: str) -> base.Records:
    if split not in self._splits:
      raise unknown_name(f'split of {self._where}', split, self._splits)
    listing = self._good(split)
    records = self._records(listing)
    if not records.uniform:
      return records
    if len(listing) * math.prod(self.info.shape) > cache.SIZE_LIMIT:
      return records
    key = self._key(listing)
    return decode_once(records, name=self.info.name, split=split, key=key)

  def fingerprint(self) -> str:
    parts = [f'{k} {v.fingerprint()}' for k, v in sorted(self._splits.items())]
    names = [*self.info.label_names, *self.info.target_names]
    text = '\n'.join([*names, *parts])
    return hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()

  def _records(self, listing: Listing) -> 'PictureRecords':
    return PictureRecords(listing, self.info.shape)

  def _key(self, listing: Listing) -> str:
    """Changes whenever what is decoded may."""
    times = [listing.path(i).stat().st_mtime_ns for i in range(len(listing))]
    times = hashlib.sha256(np.array(times).tobytes()).hexdigest()
    return f'{listing.fingerprint()}|{self.info}|{times}|upright'

  def _find_good(self, split: str) -> Listing:
    listing = self._splits[split]
    if not self._max_bad_share:
      return listing
    name, key = self.info.name, f'{self._key(listing)}|{codecs.VERSION}'
    records = self._records(listing)
    bad = _find_bad(records, name=name, split=split, key=key)
    bad_records.leave_out(
      list(bad.values()),
      len(listing),
      self._max_bad_share,
      what=f'{name}/{split}',
      listing=cache.folder_for('bad', name, split, key).with_suffix('.txt'),
    )
    good = [i for i in range(len(listing)) if i not in bad]
    return listing.take(np.array(good, np.int64))


@dataclasses.dataclass(frozen=True)
class PictureRecords:
  """One split, read and decoded picture by picture."""

  listing: Listing
  shape: tuple[int | None, ...]

  in_memory: ClassVar[bool] = False

  @property
  def uniform(self) -> bool:
    return None not in self.shape

  def __len__(self) -> int:
    return len(self.listing)

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    images = [self._image(int(i)) for i in ids]
    image = np.stack(images) if self.uniform else images
    return {'image': image, 'label': self.listing.labels[ids]}

  def labels(self) -> np.ndarray:
    return self.listing.labels

  def names(self, ids: np.ndarray) -> list[str]:
    """Paths below the folder of the split."""
    return [os.fsdecode(bytes(self.listing.files[i])) for i in ids]

  def fields(self, ids: np.ndarray) -> dict[str, list[str]]:
    return {k: v[ids].tolist() for k, v in self.listing.fields.items()}

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    images = [self._picture(int(i)) for i in ids]
    return {'image': images, 'label': self.listing.labels[ids]}

  def _image(self, number: int) -> np.ndarray:
    try:
      data = self._read(number)
      image = codecs.decode_image(
        data, self.shape[-1], frame=self.listing.frame(number)
      )
      image = exif.turned(image, exif.orientation(data))
    except ValueError as e:
      raise self._error(number, str(e)) from e
    self._check(number, image)
    return image

  def _picture(self, number: int) -> Picture:
    error = functools.partial(self._error, number)
    data = self._read(number)
    frame = self.listing.frame(number)
    picture = Picture(data, self.shape[-1], error, upright=True, frame=frame)
    self._check(number, picture)
    return picture

  def _read(self, number: int) -> bytes:
    try:
      return files_lib.read_bytes(self.listing.path(number))
    except OSError as e:
      raise self._error(number, str(e)) from e

  def _error(self, number: int, reason: str) -> UserError:
    path = self.listing.path(number)
    return UserError(
      f'{path} (record {number}) cannot be read: {reason}.{_HINT}'
    )

  def _check(self, number: int, image: np.ndarray | Picture):
    if self.uniform and image.shape != self.shape:
      path = self.listing.path(number)
      raise UserError(
        f'{path} (record {number}) is {image.shape[0]}x{image.shape[1]}, not '
        f'{self.shape[0]}x{self.shape[1]} as source.shape says; leave '
        'source.shape out where sizes differ.'
      )


def _find_bad(
  records: PictureRecords, *, name: str, split: str, key: str
) -> dict[int, str]:
  """Decodes all records once; what is wrong with those that cannot be."""

  def check_all() -> dict[str, np.ndarray]:
    logging.info('Decoding %d pictures of %s/%s.', len(records), name, split)

    def decode(number: int):
      records.take(np.array([number]))

    return {'bad': cache.in_threads(len(records), decode, skip_bad=True)}

  folder = cache.folder_for('checked', name, split, key)
  found = cache.reasons(cache.made_once(folder, ('bad',), check_all)['bad'])
  return {i: reason.removesuffix(_HINT) for i, reason in found.items()}
