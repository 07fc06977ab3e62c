"""A folder of pictures, split/class/picture or class/picture, as it is.

Pictures may lie in deeper folders of their class. For more pictures than a file
system lists quickly, `recog_jax.prepare --image_folder` makes files of them
that `tfds` reads.
"""

import collections
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from recog_jax.data.files import is_hidden
from recog_jax.data.image import records as base
from recog_jax.data.sources import shares as shares_lib
from recog_jax.data.sources.pictures import (
  SUFFIXES,
  UNREADABLE,
  Listing,
  PictureSource,
  make_listing,
)
from recog_jax.errors import UserError, listed, warn
from recog_jax.ranges import NotNegative, Seed, Share

# Class folder -> its pictures: paths below the split's folder, and bytes.
_Classes = dict[str, list[tuple[str, int]]]


def list_images(
  root: Path,
  shares: Mapping[str, float] | None = None,
  seed: int = 0,
  *,
  all_classes: bool = False,
) -> tuple[tuple[str, ...], dict[str, Listing]]:
  """The classes, sorted, and the pictures of each split.

  Splits are the folders of `root`, if there is one called train or no picture
  lies directly in one of them. Else these are classes and are divided by
  shares, class by class. Classes are folders that hold pictures; a class that
  train lacks is left out, unless `all_classes`. What is left out is said.

  Args:
    root: the folder.
    shares: of class folders without splits; None takes the usual ones where
      there are none.
    seed: of that division.
    all_classes: whether classes that train lacks are kept.

  Raises:
    UserError: there are no pictures, or they do not lie as they should.
  """
  if not root.is_dir():
    what = 'is a file' if root.exists() else 'does not exist'
    raise UserError(f'the image folder {root} {what}.')
  found: dict[str, _Classes] = {}
  if _has_splits(root, shares is not None):
    for split in _folders(root):
      found[split] = _classes(root / split)
    found = {split: rows for split, rows in found.items() if any(rows.values())}
  elif any((rows := _classes(root)).values()):
    found = {'': rows}
  if not found:
    raise UserError(
      f'{root} holds no pictures as split/class/picture, for example '
      f'train/cat/1.jpg, or as class/picture ({", ".join(SUFFIXES)}).'
    )
  names, number = _numbered(root, found, all_classes)
  listings = {}
  for split, classes in found.items():
    rows = [
      (os.fsencode(path), number[key], size)
      for label, pictures in classes.items()
      if (key := _same(label)) in number
      for path, size in pictures
    ]
    if rows:
      files, labels, sizes = zip(*rows, strict=True)
      labels = np.array(labels, np.int32)
      listings[split] = make_listing(root / split, files, labels, sizes)
  if '' in listings:
    listings = _divided(listings[''], shares, seed)
  return names, listings


def image_folder(
  *,
  root: str | os.PathLike | None = None,
  channels: int = 3,
  shape: tuple[int, int] | None = None,
  shares: Mapping[str, NotNegative] | None = None,
  split_seed: Seed = 0,
  all_classes: bool = False,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> PictureSource:
  """The pictures of root/split/class/ or root/class/.

  Args:
    root: the folder; `data_dir` if left out.
    channels: 3, or 1 for grey.
    shape: (h, w), if all pictures have it: a small data set is then decoded
      once and kept (see `data.cache`).
    shares: the splits of class folders without train/ and val/, and the share
      of each class that they get; by default {'train': 0.8, 'val': 0.1, 'test':
      0.1}. The same pictures are in the same splits on every machine.
    split_seed: another one is another division.
    all_classes: keep classes that train/ lacks, for a model that is tried on
      people whom it has not seen.
    max_bad_share: share of a split's pictures that may be damaged; all are then
      decoded once, and those are left out and listed. At 0 the first one stops.
    data_dir: stands for a missing `root`.

  Raises:
    UserError: no folder, no pictures, or not as they should lie.
  """
  place = root or data_dir
  if not place:
    raise UserError(
      'the image folder is not named: set config.source.root or --data_dir.'
    )
  shape = picture_shape(channels, shape)
  place = Path(place).expanduser().absolute()
  if shares is not None:
    shares = shares_lib.check_shares(shares)
  names, splits = list_images(
    place, shares, split_seed, all_classes=all_classes
  )
  return PictureSource(
    base.Info(place.name, shape, names),
    splits,
    where=str(place),
    max_bad_share=max_bad_share,
  )


def picture_shape(
  channels: int, shape: tuple[int, int] | None
) -> tuple[int | None, int | None, int]:
  """(h, w, c) of the keys of a source.

  Raises:
    UserError: they cannot be that.
  """
  if channels not in (1, 3):
    raise UserError(f'source.channels must be 1 or 3, not {channels}.')
  if not shape:
    return None, None, channels
  shape = tuple(int(d) for d in shape)
  if len(shape) != 2:
    raise UserError(f'source.shape must be (height, width): {shape}.')
  return *shape, channels


def is_picture(name: str) -> bool:
  """Whether a file of this name is one that the decoder reads."""
  return name.lower().endswith(SUFFIXES) and not is_hidden(name)


def _has_splits(root: Path, shares: bool) -> bool:
  """Whether the folders of `root` are splits, and not classes.

  Raises:
    UserError: shares are given for folders that are splits.
  """
  names = _folders(root)
  if 'train' in names:
    if shares:
      raise UserError(
        f'{root} has a folder train, so that source.shares is not for it: '
        'leave it out'
      )
    return True
  return not shares and not any(_pictures_in(root / n) for n in names)


def _classes(folder: Path) -> _Classes:
  """The pictures of each class folder, and what is left out, said."""
  classes: _Classes = {}
  other = collections.Counter()
  for label in _folders(folder):
    classes[label] = []
    for path, size in _files(str(folder / label), f'{label}/'):
      suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 for speed
      if suffix in SUFFIXES:
        classes[label].append((path, size))
      elif suffix in UNREADABLE:
        other[suffix] += 1
  if other and (named := ', '.join(f'{n} {s}' for s, n in other.items())):
    warn(
      f'{folder}: {named} cannot be read and are left out: convert them to '
      'JPEG or PNG.'
    )
  return classes


def _files(
  folder: str, below: str, outer: frozenset = frozenset()
) -> Iterator[tuple[str, int]]:
  """Path below the split's folder and bytes of all files, also deeper ones."""
  stat = os.stat(folder)  # noqa: PTH116 for speed
  here = (stat.st_dev, stat.st_ino)
  if here in outer:  # A link to a folder that it lies in.
    return
  with os.scandir(folder) as entries:
    for entry in entries:
      if is_hidden(entry.name):
        continue
      if entry.is_dir():
        yield from _files(entry.path, f'{below}{entry.name}/', outer | {here})
      elif entry.is_file():
        yield f'{below}{entry.name}', entry.stat().st_size


def _folders(folder: Path) -> list[str]:
  """Subfolders by name.

  Raises:
    UserError: pictures lie here, one level too high.
  """
  if picture := next(iter(_pictures_in(folder)), None):
    raise UserError(
      f'{folder / picture} does not lie in split/class/ or class/: expected '
      'for example train/cat/1.jpg or cat/1.jpg below the image folder.'
    )
  with os.scandir(folder) as entries:
    return sorted(
      e.name for e in entries if e.is_dir() and not is_hidden(e.name)
    )


def _pictures_in(folder: Path) -> list[str]:
  with os.scandir(folder) as entries:
    return [e.name for e in entries if is_picture(e.name) and e.is_file()]


def _same(label: str) -> str:
  """What a folder's name is where case and the form of accents do not count."""
  return unicodedata.normalize('NFC', label).casefold()


def _numbered(
  root: Path, found: Mapping[str, _Classes], all_classes: bool
) -> tuple[tuple[str, ...], dict[str, int]]:
  """The classes' names, and the number of each by `_same`.

  They are those of train where there is one, or of all splits. Says what is
  left out, empty or missing.
  """
  splits = sorted(found, key=lambda split: split != 'train')
  closed = splits[0] == 'train' and not all_classes
  names: dict[str, str] = {}
  for split in splits:
    for label, pictures in found[split].items():
      place, same = root / split / label, _same(label)
      if not pictures:
        warn(f'{place} holds no picture: it is no class.')
      elif closed and split != 'train' and same not in names:
        warn(
          f'{place} is no class of train: its {len(pictures)} pictures are '
          'left out.'
        )
      elif names.setdefault(same, label) != label:
        warn(f"{place} is taken as the class '{names[same]}'.")
  ordered = tuple(sorted(names.values()))
  number = {_same(name): i for i, name in enumerate(ordered)}
  for split, classes in found.items():
    there = {_same(label) for label, pictures in classes.items() if pictures}
    lacking = [name for name in ordered if _same(name) not in there]
    if lacking and not all_classes:
      warn(f'{root / split} has no picture of {listed(lacking)}.')
  return ordered, number


def _divided(
  listing: Listing, shares: Mapping[str, float] | None, seed: int
) -> dict[str, Listing]:
  shares = shares or shares_lib.SHARES
  split = shares_lib.by_stratum(
    listing.files.tolist(), listing.labels, shares, seed
  )
  found = {
    name: listing.take(np.flatnonzero(split == i))
    for i, name in enumerate(shares)
  }
  return {name: part for name, part in found.items() if len(part)}
