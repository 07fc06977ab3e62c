"""Scanned slides of microscopes: levels, regions of any scale, and tissue.

A slide of some gigapixels is a file of several levels, the largest first; each
further one is smaller by its downsample. Places are given in pixels of level 0,
and a scale is how many of them one pixel stands for. openslide reads the files
of all large makers of scanners (extra `slides`). Without it, or where it does
not know a file, a level is decoded whole by Pillow, which is for small ones.

Tissue is stained and glass is not: what is more saturated than Otsu's threshold
(Otsu, "A threshold selection method from gray-level histograms", 1979) is taken
for tissue, see `tissue`. Pen marks are saturated as well.
"""

import functools
import importlib
import os
import threading
import warnings
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image

EXTRA = 'slides'
SUFFIXES = (
  *('.svs', '.tif', '.tiff', '.ndpi', '.mrxs', '.scn', '.vms', '.vmu', '.bif'),
  *('.svslide', '.png', '.jpg', '.jpeg'),
)
# Changes whenever other tiles may be found.
VERSION = 1
# Of a level that is decoded whole: 200 MB in RGB.
MOST_PIXELS = 1 << 26
_KEPT = 4  # Levels that are kept decoded.
_OPEN = 64  # Slides that are kept open.
_LONGEST = 2048  # Side of the picture in which tissue is looked for.
_BLOCK = 128  # Pixels of it that are read at once, a square.
# Glass has a tint and noise. CLAM (Lu et al., Nature Biomedical Engineering
# 2021) takes the same number, of 255, where it does not ask Otsu.
_LEAST_SATURATION = 8
_DARK = 16  # Of 255: what is darker has a saturation of noise.
_FINEST = 0.9  # Of a slide's own pixels: what is finer is not in the file.
_SAME_SHAPE = 0.02  # By which a level's aspect may differ; a label's does more.
_CENTIMETRE = 3  # TIFF's unit of resolution. In inches it is a screen's.
_X_RESOLUTION, _UNIT = 282, 296


class Slide(Protocol):
  """An open slide; used by several threads at once.

  Attributes:
    sizes: width and height of each level, the largest first.
    downsamples: level-0 pixels that a pixel of each level stands for.
    mpp: microns a pixel of level 0; None if the file does not say.
  """

  sizes: tuple[tuple[int, int], ...]
  downsamples: tuple[float, ...]
  mpp: float | None

  def read(self, x: int, y: int, level: int, w: int, h: int) -> np.ndarray:
    """uint8 `h w 3` from level-0 pixel (x, y) on; white where nothing is.

    Raises:
      ValueError: says in one clause what is wrong with the file.
    """
    ...


def openslide() -> Any | None:
  """The package; None where it is not installed."""
  try:
    return importlib.import_module('openslide')
  except (ImportError, OSError):  # The library in C may be missing as well.
    return None


def version() -> str:
  """Changes whenever pixels may."""
  found = openslide()
  own = getattr(found, '__library_version__', '') if found else ''
  return f'{VERSION} {own} {Image.__version__} {cv2.__version__}'


def open_slide(path: Path) -> Slide:
  """A slide, which this process keeps open.

  Raises:
    OSError: there is no such file.
    ValueError: says in one clause why it cannot be read.
  """
  found = path.stat()
  # Open files are not shared with the processes that are forked off.
  stamp = (found.st_size, found.st_mtime_ns, os.getpid())
  return _opened(os.fspath(path), stamp)


@functools.lru_cache(maxsize=_OPEN)
def _opened(path: str, stamp: tuple[int, ...]) -> Slide:
  del stamp
  package = openslide()
  if package is not None and package.OpenSlide.detect_format(path):
    return _OpenSlide(package, path)
  return _Plain(path)


class _OpenSlide:
  """A slide that openslide reads."""

  def __init__(self, package: Any, path: str):
    self._error = package.OpenSlideError
    try:
      self._slide = package.OpenSlide(path)
    except self._error as error:
      raise ValueError(f'openslide cannot read it: {error}') from error
    self.sizes = tuple(self._slide.level_dimensions)
    self.downsamples = tuple(self._slide.level_downsamples)
    self.mpp = _positive(self._slide.properties.get('openslide.mpp-x'))

  def read(self, x: int, y: int, level: int, w: int, h: int) -> np.ndarray:
    try:
      found = self._slide.read_region((x, y), level, (w, h))
    except self._error as error:
      raise ValueError(f'openslide cannot read it: {error}') from error
    whole = Image.new('RGB', (w, h), 'white')
    whole.paste(found, mask=found.getchannel('A'))
    return np.asarray(whole)


class _Plain:
  """A TIFF or another picture, of which whole levels are decoded."""

  def __init__(self, path: str):
    self._path = path
    with _image(path) as image:
      tags = getattr(image, 'tag_v2', {})
      self.mpp = None
      if tags.get(_UNIT) == _CENTIMETRE:
        per_cm = _positive(tags.get(_X_RESOLUTION))
        self.mpp = 1e4 / per_cm if per_cm else None
      width, height = image.size
      sizes, frames = [image.size], [0]
      for number in range(1, getattr(image, 'n_frames', 1)):
        image.seek(number)
        w, h = image.size
        alike = abs(w * height / (h * width) - 1) < _SAME_SHAPE
        if alike and w < sizes[-1][0]:
          sizes.append((w, h))
          frames.append(number)
    self.sizes, self._frames = tuple(sizes), frames
    self.downsamples = tuple(
      (width / w + height / h) / 2 for w, h in self.sizes
    )

  def read(self, x: int, y: int, level: int, w: int, h: int) -> np.ndarray:
    width, height = self.sizes[level]
    if width * height > MOST_PIXELS:
      raise ValueError(
        f'level {level} has {width}x{height} pixels, and without openslide at '
        f"most {MOST_PIXELS:,} are read: pip install 'recog_jax[{EXTRA}]', or "
        'take a further level'
      )
    with _LOCK:  # Threads wait for one decoding instead of doing it again.
      pixels = _decoded(self._path, self._frames[level])
    left, top = (round(v / self.downsamples[level]) for v in (x, y))
    part = pixels[top : top + h, left : left + w]
    missing = ((0, h - part.shape[0]), (0, w - part.shape[1]), (0, 0))
    return np.pad(part, missing, constant_values=255)


_LOCK = threading.Lock()


@functools.lru_cache(maxsize=_KEPT)
def _decoded(path: str, frame: int) -> np.ndarray:
  with _image(path) as image:
    try:
      if frame:
        image.seek(frame)
      return np.asarray(image.convert('RGB'))
    except Exception as error:  # Whatever a damaged file makes it raise.
      raise ValueError('the slide is truncated or damaged') from error


def _image(path: str) -> Any:
  """Raises ValueError where Pillow knows no such file."""
  try:
    with warnings.catch_warnings():
      # Of its size: that of a level is looked at before it is decoded.
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      return Image.open(path)
  except Image.DecompressionBombError as error:
    raise ValueError(
      f"it is too large to be read without openslide: pip install 'recog_jax"
      f"[{EXTRA}]'"
    ) from error
  except Exception as error:  # As above.
    if openslide() is None:
      raise ValueError(
        'without openslide only TIFF, PNG and JPEG are read, and it is none, '
        f"or damaged: pip install 'recog_jax[{EXTRA}]'"
      ) from error
    raise ValueError('it is no slide that openslide knows, or damaged') from (
      error
    )


def _positive(value: Any) -> float | None:
  try:
    found = float(value)
  except (TypeError, ValueError, ZeroDivisionError):
    return None
  return found if found > 0 and np.isfinite(found) else None


# -- regions ------------------------------------------------------------------


def scale_of(slide: Slide, level: int, mpp: float | None) -> float:
  """The scale of a level, or of so many microns a pixel.

  Args:
    slide: an open slide.
    level: its number from 0, if `mpp` is None.
    mpp: microns a pixel.

  Raises:
    ValueError: there is no such level, or nothing as fine.
  """
  if mpp is None:
    count = len(slide.sizes)
    if level >= count:
      raise ValueError(
        f'it has no level {level}, but {count} (0 to {count - 1}): set '
        'source.level, or source.mpp, which any level serves'
      )
    return slide.downsamples[level]
  if slide.mpp is None:
    raise ValueError(
      'it does not say how many microns a pixel has: set source.level in place '
      'of source.mpp'
    )
  if mpp < _FINEST * slide.mpp:
    raise ValueError(
      f'it has {slide.mpp:.4g} microns a pixel, and nothing as fine as '
      f'source.mpp={mpp:g}'
    )
  return mpp / slide.mpp


def region(
  slide: Slide, x: int, y: int, scale: float, w: int, h: int
) -> np.ndarray:
  """uint8 `h w 3` from level-0 pixel (x, y) on, at any scale.

  It is read from the next finer level, and shrunk by the means of areas.

  Args:
    slide: an open slide.
    x: to the right.
    y: downwards.
    scale: level-0 pixels that a pixel of the result stands for.
    w: pixels of the result.
    h: the same.

  Raises:
    ValueError: says in one clause what is wrong with the file.
  """
  fits = [k for k, d in enumerate(slide.downsamples) if d <= scale * 1.001]
  level = max(fits, default=0)
  by = scale / slide.downsamples[level]
  size = max(1, round(w * by)), max(1, round(h * by))
  found = slide.read(x, y, level, *size)
  if size == (w, h):
    return found
  return cv2.resize(found, (w, h), interpolation=cv2.INTER_AREA)


# -- tissue -------------------------------------------------------------------


def tissue(image: np.ndarray) -> np.ndarray:
  """bool `h w`: where a picture of stained tissue on glass, uint8 `h w 3`, is
  more saturated than Otsu's threshold, and than glass is.

  Of a picture without glass about half is called tissue, since Otsu's threshold
  parts any picture.
  """
  hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
  saturation = np.where(hsv[..., 2] < _DARK, 0, hsv[..., 1])
  otsu, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_OTSU)
  return saturation > max(otsu, _LEAST_SATURATION)


def overview(slide: Slide) -> tuple[np.ndarray, float]:
  """The whole slide in at most 2048 pixels a side, and the scale of that."""
  width, height = slide.sizes[0]
  scale = max(1.0, max(width, height) / _LONGEST)
  w, h = (max(1, int(side / scale)) for side in (width, height))
  result = np.empty((h, w, 3), np.uint8)
  for top in range(0, h, _BLOCK):
    for left in range(0, w, _BLOCK):
      size = min(_BLOCK, w - left), min(_BLOCK, h - top)
      x, y = int(left * scale), int(top * scale)
      part = region(slide, x, y, scale, *size)
      result[top : top + size[1], left : left + size[0]] = part
  return result, scale


def tiles(
  slide: Slide, scale: float, side: int, min_tissue: float
) -> np.ndarray:
  """Where tiles with enough tissue lie: int64 `n 2`, x and y in level 0.

  Tiles touch, do not overlap, and lie in the slide whole.

  Args:
    slide: an open slide.
    scale: of the tiles.
    side: of a tile in its own pixels.
    min_tissue: the share of a tile that is tissue at least; with 0 tiles of
      glass are taken too, and no overview is made.

  Raises:
    ValueError: the slide is smaller than a tile, or cannot be read.
  """
  # A level's sides are rounded: half a pixel more is no missing column.
  own = [length / scale + 0.5 for length in slide.sizes[0]]
  columns, rows = (int(length // side) for length in own)
  if not columns or not rows:
    raise ValueError(
      f'it is {own[0]:.0f}x{own[1]:.0f} pixels at this level, smaller than a '
      f'tile of {side}: set a smaller source.tile, or a finer level'
    )
  step = side * scale
  grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)
  grid = grid.reshape(-1, 2)
  if min_tissue > 0:
    image, by = overview(slide)
    shares = _shares(tissue(image), grid * step / by, step / by)
    grid = grid[shares >= min_tissue]
  return np.rint(grid * step).astype(np.int64)


def _shares(mask: np.ndarray, corners: np.ndarray, side: float) -> np.ndarray:
  """float64 `n`: the share of a mask that is True in some squares.

  Args:
    mask: bool `h w`.
    corners: float `n 2`, x and y of each square's upper left corner.
    side: of the squares; a square has one pixel at least.
  """
  sums = cv2.integral(mask.astype(np.uint8))
  ends = np.array(mask.shape[::-1])
  low = np.minimum(np.rint(corners).astype(int), ends - 1)
  high = np.clip(np.rint(corners + side).astype(int), low + 1, ends)
  (left, top), (right, bottom) = low.T, high.T
  inside = sums[bottom, right] - sums[top, right]
  inside = inside - sums[bottom, left] + sums[top, left]
  return inside / ((right - left) * (bottom - top))
