"""Pictures whose patients are known, as a source that never parts a patient.

What lists files (headers of DICOM, names of files) makes a `File` of each; here
they become splits: the folders that they lie in, which are refused where a
patient is in two of them, or shares of the patients.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data import cache, files
from recog_jax.data.image import records
from recog_jax.data.sources import pictures
from recog_jax.data.sources import shares as shares_lib
from recog_jax.data.sources.image_folder import picture_shape
from recog_jax.errors import UserError, listed, warn


@dataclasses.dataclass(frozen=True)
class Frames(pictures.Listing):
  """Frames of files: what ends a name in `#3` is the frame."""

  def path(self, number: int) -> Path:
    name = os.fsdecode(bytes(self.files[number]))
    return self.root / name.rpartition('#')[0]

  def frame(self, number: int) -> int:
    return int(bytes(self.files[number]).rpartition(b'#')[2])


@dataclasses.dataclass(frozen=True)
class File:
  """What is known of one file.

  Attributes:
    name: path below the root.
    split: its folder; '' where classes lie at the top.
    label: its class.
    size: bytes.
    frames: that are taken: numbers, or values of several `parts` of
      `make_source` with commas between; None of a file that has none.
    patient: who it is of, a name or a hash.
    fields: what else is known.
    burnt_in: 'yes', 'no', or 'unknown', whether text is in the picture.
  """

  name: str
  split: str
  label: str
  size: int
  frames: Sequence[int] | Sequence[str] | None
  patient: str
  fields: Mapping[str, str]
  burnt_in: str = 'no'


def folder(root: Any, data_dir: Any) -> Path:
  """Where files lie.

  Raises:
    UserError: it is not named, or no folder.
  """
  place = root or data_dir
  if not place:
    raise UserError('the folder is not named: set source.root or --data_dir')
  place = Path(place).expanduser().absolute()
  if not place.is_dir():
    raise UserError(f'{place} is no folder: set source.root or --data_dir')
  return place


def in_class_folders(
  place: Path, fits: Callable[[Path], bool]
) -> list[tuple[str, str, str, int]]:
  """Name, split, class and bytes of all files that fit.

  Raises:
    UserError: there are none, or they do not lie in class folders.
  """
  paths = [p for p in files.below(place, ('',)) if fits(p)]
  parts = [p.relative_to(place).parts for p in paths]
  splits = any(part[0] == 'train' for part in parts)
  depth = 2 if splits else 1
  rows = [
    ('/'.join(part), part[0] if splits else '', part[depth - 1], size)
    for path, part in zip(paths, parts, strict=True)
    if len(part) > depth and (size := path.stat().st_size) >= 0
  ]
  if not rows:
    raise UserError(
      f'{place} holds no files of this kind as class/file or split/class/file, '
      'for example train/tuberculosis/1.dcm'
    )
  if len(rows) < len(paths):
    warn(
      f'{place}: {len(paths) - len(rows)} files lie in no class folder and are '
      'left out'
    )
  return sorted(rows)


def read_all(
  place: Path,
  names: Sequence[tuple[str, str, str, int]],
  read: Callable[[str], dict[str, Any]],
  max_bad_share: float,
  what: str,
) -> list[File]:
  """Reads all headers, in threads.

  Raises:
    UserError: more cannot be read than may be.
  """
  found: list[File | None] = [None] * len(names)
  bad: dict[int, str] = {}

  def one(number: int) -> None:
    name, split, label, size = names[number]
    try:
      found[number] = File(name, split, label, size, **read(name))
    except (OSError, ValueError) as error:
      bad[number] = f'{place / name}: {error}'

  cache.in_threads(len(names), one)
  if len(bad) > max_bad_share * len(names):
    raise UserError(
      f'{len(bad)} of {len(names)} {what} cannot be read, for example '
      f'{listed([bad[min(bad)]])}: remove them, or set source.max_bad_share'
    )
  if bad:
    warn(f'{place}: {len(bad)} of {len(names)} {what} are left out')
  return [one for one in found if one is not None]


def make_source(
  place: Path,
  found: Sequence[File],
  channels: int,
  shape: tuple[int, int] | None,
  shares: Mapping[str, float] | None,
  seed: int,
  max_bad_share: float,
  *,
  parts: Sequence[str] = ('frame',),
  kind: Callable[..., Frames] = Frames,
  stamp: str = '',
  source: type[pictures.PictureSource] = pictures.PictureSource,
) -> Any:
  """The source of some files.

  Args:
    place: their folder.
    found: the files.
    channels: 1 or 3.
    shape: see `image_folder`.
    shares: of the patients, where files lie in no folders of splits; None: the
      usual ones.
    seed: of that division.
    max_bad_share: see `image_folder`.
    parts: names of the fields that say which frame it is.
    kind: makes a listing of frames.
    stamp: see `pictures.Listing`.
    source: the class of the source.

  Returns:
    A `source`.

  Raises:
    UserError: a patient is in two splits, or a split has none.
  """
  if not found:
    raise UserError(f'{place}: no file is left')
  by_folder = any(one.split for one in found)
  if by_folder and shares:
    raise UserError(
      f'{place} has a folder train, so that source.shares is not for it: leave '
      'it out'
    )
  if by_folder:
    split = [one.split for one in found]
    check_patients(place, [one.patient for one in found], split)
  else:
    split = _divided(place, found, shares, seed)
  names = tuple(sorted({one.label for one in found}))
  number = {name: i for i, name in enumerate(names)}
  listings = {}
  for which in sorted({name for name in split if name}):
    rows = [
      (one, frame)
      for one, own in zip(found, split, strict=True)
      if own == which
      for frame in (one.frames or (None,))
    ]
    framed = any(frame is not None for _, frame in rows)
    which_frame = zip(
      *(str(frame).split(',') for _, frame in rows), strict=True
    )
    keys = sorted({key for one, _ in rows for key in one.fields})
    listings[which] = pictures.make_listing(
      place,
      [
        os.fsencode(one.name if frame is None else f'{one.name}#{frame}')
        for one, frame in rows
      ],
      np.array([number[one.label] for one, _ in rows], np.int32),
      [one.size for one, _ in rows],
      fields={
        'patient': [one.patient for one, _ in rows],
        **(dict(zip(parts, which_frame, strict=True)) if framed else {}),
        **{k: [one.fields.get(k, '') for one, _ in rows] for k in keys},
      },
      stamp=stamp,
      kind=kind if framed else None,
    )
  info = records.Info(
    place.name, picture_shape(channels, shape), names, grouped=True
  )
  return source(info, listings, where=str(place), max_bad_share=max_bad_share)


def check_patients(
  place: Path, patients: Sequence[str], split: Sequence[str]
) -> None:
  """Refuses a patient who is in two splits.

  Raises:
    UserError: how many are, and in which splits.
  """
  seen: dict[str, set[str]] = {}
  for patient, name in zip(patients, split, strict=True):
    seen.setdefault(patient, set()).add(name)
  torn = {who: names for who, names in seen.items() if len(names) > 1}
  if torn:
    named = [f'{who} in {", ".join(sorted(n))}' for who, n in torn.items()]
    raise UserError(
      f'{place}: {len(torn)} of {len(seen)} patients are in two splits '
      f'({listed(named, 3)}; hashes of their identifiers): what is measured so '
      'promises too much. Put each into one split, or take the folders of '
      'splits away, and source.shares divide the patients'
    )


def _divided(
  place: Path,
  found: Sequence[File],
  shares: Mapping[str, float] | None,
  seed: int,
) -> list[str]:
  """The split of each file, by a hash of its patient; '' is none."""
  shares = shares_lib.check_shares(shares or shares_lib.SHARES)
  keys = [one.patient.encode() for one in found]
  names = [*shares, '']
  numbers, empty, help_, _ = shares_lib.divided(keys, shares, seed)
  if empty:
    raise UserError(
      f'{place}: none of {len(set(keys))} patients is in {listed(empty)}: '
      f'{help_}'
    )
  return [names[k] for k in numbers]
