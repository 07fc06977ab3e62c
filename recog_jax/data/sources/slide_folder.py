"""Scanned slides of microscopes, cut into tiles, as a source.

  {'name': 'slide_folder', 'root': 'SLIDES', 'tile': 256, 'mpp': 0.5}

Slides lie as split/class/.../slide or class/.../slide, or a table names the
class of each. A tile is a record, of the class of its slide; only tiles with
enough tissue are taken ([slides.py](../image/slides.py)). No slide and no
patient is in two splits. Slides are opened when the source is made, to look for
tissue, which the cache remembers; tiles are read when they are asked for.
"""

import collections
import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data import cache
from recog_jax.data import files as files_lib
from recog_jax.data.image import slides
from recog_jax.data.sources import by_patient, pictures
from recog_jax.data.sources.table_columns import Rows
from recog_jax.data.sources.table_file import find_table, read_table
from recog_jax.errors import UserError, listed, warn
from recog_jax.ranges import Count, NotNegative, Positive, Seed, Share, Size

# A slide: path below the folder, split, class, bytes.
_Row = tuple[str, str, str, int]


@dataclasses.dataclass(frozen=True)
class Tiles(by_patient.Frames):
  """Tiles of slides: what ends a name in `#512,256` is a tile's place.

  Attributes:
    tile: pixels a side.
    level: of the slide, where `mpp` is None.
    mpp: microns a pixel.
  """

  tile: int = 0
  level: int = 0
  mpp: float | None = None

  def read(self, number: int) -> np.ndarray:
    """uint8 `tile tile 3`.

    Raises:
      OSError: there is no such file.
      ValueError: it cannot be read.
    """
    x, y = map(int, bytes(self.files[number]).rpartition(b'#')[2].split(b','))
    slide = slides.open_slide(self.path(number))
    scale = slides.scale_of(slide, self.level, self.mpp)
    return slides.region(slide, x, y, scale, self.tile, self.tile)


@dataclasses.dataclass(frozen=True)
class TileRecords(pictures.PictureRecords):
  """One split of tiles, each read from its slide."""

  def in_files(self) -> np.ndarray:
    """int64 `n`, all numbers, those of one slide together."""
    return np.argsort(self.listing.files, kind='stable')

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    """As `take`: part of a tile costs as much as all of it."""
    taken = self.take(ids)
    return {**taken, 'image': list(taken['image'])}

  def _image(self, number: int) -> np.ndarray:
    listing = self.listing
    assert isinstance(listing, Tiles)
    try:
      return listing.read(number)
    except (OSError, ValueError) as e:
      raise UserError(
        f'{listing.path(number)} (record {number}) cannot be read: {e}. '
        'Replace or remove it.'
      ) from e


class TileSource(pictures.PictureSource):
  """Tiles as a source; see `base.Source`."""

  def _records(self, listing: pictures.Listing) -> TileRecords:
    return TileRecords(listing, self.info.shape)

  def _key(self, listing: pictures.Listing) -> str:
    return f'{super()._key(listing)}|{slides.version()}'


def slide_folder(
  *,
  root: str | os.PathLike | None = None,
  tile: Size = 256,
  level: Count = 0,
  mpp: Positive | None = None,
  min_tissue: Share = 0.5,
  patient_pattern: str = '',
  table: str | os.PathLike | None = None,
  slide_column: str = 'slide',
  label_column: str = 'label',
  patient_column: str | None = None,
  split_column: str | None = None,
  shares: Mapping[str, NotNegative] | None = None,
  split_seed: Seed = 0,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> TileSource:
  """Tiles of slides below root/split/class/ or root/class/ (extra `slides`).

  Fields are `slide`, the name of its file, `patient`, and `x` and `y`, where
  the tile begins in pixels of level 0. Without openslide TIFF, PNG and JPEG are
  read, up to 67 million pixels a level.

  Args:
    root: the folder; `data_dir` if left out.
    tile: pixels a side.
    level: of the slide, 0 the finest. Scanners differ in what a level is: `mpp`
      does not.
    mpp: microns that a pixel of a tile has, in place of `level`; 0.5 is about a
      magnification of 20.
    min_tissue: share of a tile that must be tissue; 0 takes glass as well.
    patient_pattern: a regular expression that is looked for in each slide's
      path: what its first group matches, or all of it, is the patient. Without
      it, or where it matches nothing, each slide is of a patient of its own.
    table: a CSV, TSV or JSON lines file, absolute or below the folder, which
      says of each slide its class; folders then say nothing, and slides that it
      does not name are left out.
    slide_column: of the table: a file's name or path, with or without suffix.
    label_column: of the table.
    patient_column: of the table; None: see `patient_pattern`.
    split_column: of the table, train, val or test of each slide.
    shares: of the patients in each split, where nothing else says it; by
      default {'train': 0.8, 'val': 0.1, 'test': 0.1}.
    split_seed: another one is another division.
    max_bad_share: share of the slides that may be bad: damaged, smaller than a
      tile, without the level. They are left out; at 0 the first one stops.
    data_dir: stands for a missing `root`.

  Raises:
    UserError: no such folder, table or slide, or a patient in two splits.
  """
  place = by_patient.folder(root, data_dir)
  try:
    patient = re.compile(patient_pattern)
  except re.error as error:
    raise UserError(
      f'source.patient_pattern is no regular expression: {error}'
    ) from error
  who: Mapping[str, str] = {}
  if table:
    columns = (slide_column, label_column, patient_column, split_column)
    rows, who = _in_table(place, table, *columns)
  else:
    rows = by_patient.in_class_folders(
      place, lambda path: path.name.lower().endswith(slides.SUFFIXES)
    )
  names = _short([name for name, *_ in rows])

  def read(name: str) -> dict[str, Any]:
    found = _tiles(place / name, tile, level, mpp, min_tissue)
    match = patient.search(name) if patient_pattern else None
    own = match[1 if patient.groups else 0] if match else None
    return {
      'frames': [f'{x},{y}' for x, y in found.tolist()],
      'patient': who.get(name) or own or name,
      'fields': {'slide': names[name]},
    }

  found = by_patient.read_all(place, rows, read, max_bad_share, 'slides')
  empty = [one for one in found if not one.frames]
  if empty:
    warn(
      f'{place}: {len(empty)} of {len(found)} slides have no tile with '
      f'source.min_tissue={min_tissue:g} of tissue and are left out '
      f'({listed([one.name for one in empty], 3)})'
    )
  return by_patient.make_source(
    place,
    [one for one in found if one.frames],
    3,
    (tile, tile),
    shares,
    split_seed,
    0.0,  # To try all tiles would be to decode all slides.
    parts=('x', 'y'),
    kind=functools.partial(Tiles, tile=tile, level=level, mpp=mpp),
    stamp=f'{tile} {level} {mpp}',
    source=TileSource,
  )


def _tiles(
  path: Path, tile: int, level: int, mpp: float | None, min_tissue: float
) -> np.ndarray:
  """int64 `n 2`, see `slides.tiles`; from the cache where it has them.

  Raises:
    OSError: there is no such file.
    ValueError: it cannot be read, or has no such tiles.
  """
  stat = files_lib.check_regular(path)
  slide = slides.open_slide(path)
  scale = slides.scale_of(slide, level, mpp)
  key = f'{path}|{stat.st_size}|{stat.st_mtime_ns}|{slides.version()}'
  folder = cache.folder_for(
    'tiles', path.stem, 'all', f'{key}|{scale}|{tile}|{min_tissue}'
  )

  def look() -> dict[str, np.ndarray]:
    return {'tiles': slides.tiles(slide, scale, tile, min_tissue)}

  return np.asarray(cache.made_once(folder, ('tiles',), look)['tiles'][...])


def _short(paths: Sequence[str]) -> dict[str, str]:
  """Names of files without folders, where no two have the same."""
  count = collections.Counter(path.rpartition('/')[2] for path in paths)
  return {
    path: name if count[name := path.rpartition('/')[2]] == 1 else path
    for path in paths
  }


def _in_table(
  place: Path,
  file: str | os.PathLike,
  slide_column: str,
  label_column: str,
  patient_column: str | None,
  split_column: str | None,
) -> tuple[list[_Row], dict[str, str]]:
  """The slides that a table names, and the patients of their paths.

  Raises:
    UserError: a row is bad, names no slide, or one that another row names.
  """
  sheet = read_table(find_table(file, place))
  rows = Rows(sheet)
  labels = rows.texts(label_column)
  wanted = rows.texts(slide_column)
  patients = rows.texts(patient_column) if patient_column else None
  splits = rows.splits(split_column) if split_column else None
  known: dict[str, set[str]] = collections.defaultdict(set)
  for path in files_lib.below(place, slides.SUFFIXES):
    name = path.relative_to(place).as_posix()
    for key in (name, path.name, os.path.splitext(name)[0], path.stem):  # noqa: PTH122, keeps the folders
      known[key].add(name)
  found: dict[str, _Row] = {}
  who = {}
  for i in rows.good:
    slide = wanted[i].replace('\\', '/')
    fits = known.get(slide, set())
    if len(fits) != 1:
      rows.bad(
        i,
        f"'{slide}' is {'one of several slides' if fits else 'no slide'} "
        f'below {place}',
      )
      continue
    (name,) = fits
    if name in found:
      rows.bad(i, f"'{slide}' is named twice")
      continue
    size = (place / name).stat().st_size
    found[name] = (name, splits[i] if splits else '', labels[i], size)
    if patients:
      who[name] = patients[i]
  bad = [*sheet.bad, *rows.reasons.values()]
  if bad:
    raise UserError(f'{len(bad)} rows are bad: {listed(bad, 2)}')
  return sorted(found.values()), who
