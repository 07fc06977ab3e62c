"""A folder of pictures, split/class/picture, read as it is.

Pictures are shown as their bytes are stored: an orientation in EXIF is ignored.
For more pictures than a file system lists quickly, `recog_jax.prepare
--image_folder` makes files of them that `tfds` reads.
"""

import dataclasses
import functools
import hashlib
import math
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recog_jax.data import cache
from recog_jax.data.image import records as base
from recog_jax.data.image.cache import decode_once
from recog_jax.data.image.codecs import decode_image
from recog_jax.data.image.picture import Picture
from recog_jax.errors import UserError, unknown_name

SUFFIXES = ('.jpg', '.jpeg', '.png')


@dataclasses.dataclass(frozen=True)
class Listing:
  """The pictures of one split, in an order that mixes the classes.

  The order is that of a hash of each picture's path, so it is the same
  everywhere, and a further picture leaves the order of the others.

  Attributes:
    root: the folder of the split.
    files: bytes `n`, paths below `root`; as one array they pickle quickly.
    labels: int32 `n`.
    sizes: int64 `n`, bytes of each file.
  """

  root: Path
  files: np.ndarray
  labels: np.ndarray
  sizes: np.ndarray

  def __len__(self) -> int:
    return len(self.labels)

  def path(self, number: int) -> Path:
    return self.root / os.fsdecode(bytes(self.files[number]))

  def fingerprint(self) -> str:
    """Of the files' paths and sizes."""
    state = hashlib.sha256()
    state.update('\n'.join(map(str, self.sizes)).encode())
    state.update(b'\n'.join(self.files.tolist()))
    return state.hexdigest()


def list_images(root: Path) -> tuple[tuple[str, ...], dict[str, Listing]]:
  """The classes, sorted, and the pictures of each split.

  Raises:
    UserError: there are none, or they do not lie as split/class/picture.
  """
  if not root.is_dir():
    raise UserError(f'the image folder {root} does not exist.')
  classes: set[str] = set()
  found: dict[str, list[tuple[str, str, int]]] = {}
  for split in _folders(root):
    rows = found[split] = []
    for label in _folders(root / split):
      classes.add(label)
      with os.scandir(root / split / label) as entries:
        rows += [
          (label, entry.name, entry.stat().st_size)
          for entry in entries
          if _is_picture(entry)
        ]
  found = {split: rows for split, rows in found.items() if rows}
  if not found:
    raise UserError(
      f'{root} holds no pictures as split/class/picture, for example '
      f'train/cat/1.jpg ({", ".join(SUFFIXES)}).'
    )
  names = tuple(sorted(classes))
  number = {name: i for i, name in enumerate(names)}
  return names, {k: _listing(root / k, v, number) for k, v in found.items()}


class ImageFolder:
  """A folder of pictures as a source; see `base.Source`."""

  def __init__(self, root: Path, channels: int, shape: tuple | None):
    self._root = root
    names, self._splits = list_images(root)
    shape = (*shape, channels) if shape else (None, None, channels)
    self.info = base.Info(root.name, shape, names)

  def sizes(self) -> dict[str, int]:
    return {split: len(listing) for split, listing in self._splits.items()}

  def records(self, split: str) -> base.Records:
    if split not in self._splits:
      raise unknown_name(f'split of {self._root}', split, self._splits)
    listing = self._splits[split]
    records = FolderRecords(listing, self.info.shape)
    if not records.uniform:
      return records
    if len(listing) * math.prod(self.info.shape) > cache.SIZE_LIMIT:
      return records
    times = [listing.path(i).stat().st_mtime_ns for i in range(len(listing))]
    times = hashlib.sha256(np.array(times).tobytes()).hexdigest()
    key = f'{listing.fingerprint()}|{self.info}|{times}'
    return decode_once(records, name=self.info.name, split=split, key=key)

  def fingerprint(self) -> str:
    parts = [f'{k} {v.fingerprint()}' for k, v in sorted(self._splits.items())]
    text = '\n'.join([*self.info.label_names, *parts])
    return hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()


@dataclasses.dataclass(frozen=True)
class FolderRecords:
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

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    images = [self._picture(int(i)) for i in ids]
    return {'image': images, 'label': self.listing.labels[ids]}

  def _image(self, number: int) -> np.ndarray:
    try:
      image = decode_image(self._read(number), self.shape[-1])
    except ValueError as e:
      raise self._error(number, str(e)) from e
    self._check(number, image)
    return image

  def _picture(self, number: int) -> Picture:
    error = functools.partial(self._error, number)
    picture = Picture(self._read(number), self.shape[-1], error)
    self._check(number, picture)
    return picture

  def _read(self, number: int) -> bytes:
    try:
      return self.listing.path(number).read_bytes()
    except OSError as e:
      raise self._error(number, str(e)) from e

  def _error(self, number: int, reason: str) -> UserError:
    path = self.listing.path(number)
    return UserError(
      f'{path} (record {number}) cannot be read: {reason}. Replace or remove '
      'it.'
    )

  def _check(self, number: int, image: np.ndarray | Picture):
    if self.uniform and image.shape != self.shape:
      path = self.listing.path(number)
      raise UserError(
        f'{path} (record {number}) is {image.shape[0]}x{image.shape[1]}, not '
        f'{self.shape[0]}x{self.shape[1]} as source.shape says; leave '
        'source.shape out where sizes differ.'
      )


def image_folder(
  *,
  root: str | os.PathLike | None = None,
  channels: int = 3,
  shape: tuple[int, int] | None = None,
  data_dir: str | os.PathLike | None = None,
) -> ImageFolder:
  """The pictures of root/split/class/, .png, .jpg or .jpeg.

  Args:
    root: the folder of the splits; `data_dir` if left out.
    channels: 3, or 1 for grey.
    shape: (h, w), if all pictures have it: a small data set is then decoded
      once and kept (see `data.cache`).
    data_dir: stands for a missing `root`.

  Raises:
    UserError: no folder, no pictures, or not as split/class/picture.
  """
  place = root or data_dir
  if not place:
    raise UserError(
      'the image folder is not named: set config.source.root or --data_dir.'
    )
  if channels not in (1, 3):
    raise UserError(f'source.channels must be 1 or 3, not {channels}.')
  shape = tuple(int(d) for d in shape) if shape else None
  if shape and len(shape) != 2:
    raise UserError(f'source.shape must be (height, width): {shape}.')
  return ImageFolder(Path(place).expanduser().absolute(), channels, shape)


def _folders(folder: Path) -> list[str]:
  """Subfolders by name.

  Raises:
    UserError: pictures lie here, one level too high.
  """
  with os.scandir(folder) as entries:
    entries = list(entries)
  for entry in entries:
    if _is_picture(entry):
      raise UserError(
        f'{entry.path} does not lie in split/class/: expected for example '
        'train/cat/1.jpg below the image folder.'
      )
  return sorted(
    e.name for e in entries if e.is_dir() and not e.name.startswith('.')
  )


def _is_picture(entry: os.DirEntry) -> bool:
  name = entry.name.lower()
  return (
    name.endswith(SUFFIXES) and not name.startswith('.') and entry.is_file()
  )


def _listing(root: Path, rows, number: dict[str, int]) -> Listing:
  paths = [os.fsencode(f'{label}/{name}') for label, name, _ in rows]
  keys = [hashlib.blake2b(path, digest_size=8).digest() for path in paths]
  order = sorted(range(len(rows)), key=lambda i: (keys[i], paths[i]))
  return Listing(
    root,
    np.array([paths[i] for i in order]),
    np.array([number[rows[i][0]] for i in order], np.int32),
    np.array([rows[i][2] for i in order], np.int64),
  )
