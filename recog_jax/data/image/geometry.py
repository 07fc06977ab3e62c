"""Crops, flips, masks and sizes, on uint8 images in host memory.

An op is made from a config's keys and is called with (images, draws): images
uint8 `b h w c`, or a list of uint8 `h w c` where sizes differ and the op says
that it takes them. Ops that are marked `from_files` also take a list of
`picture.Picture` and have of each file decoded what they show, at the scale at
which they show it. An op never writes into the images it is given. All its
randomness is drawn from `data.draws.Draws`, so what happens to a record
depends on (seed, epoch, record) and not on its place in a batch.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import cv2
import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image.base import Image, Images, one_shape, planes
from recog_jax.data.image.picture import Box, part
from recog_jax.data.image.resize import resized
from recog_jax.data.ops import check
from recog_jax.ranges import Count, NotNegative, Positive, Range, Share, Size

# (shape, dtype) -> array, for the images of a batch.
Empty = Callable[..., np.ndarray]

# torchvision's number of tries before it takes a centre crop.
_TRIES = 10


def _view(
  image: Image, box: Box, height: int, width: int, out: np.ndarray | None = None
) -> np.ndarray:
  """A part of an image in another size, read no larger than that needs."""
  pixels, inside = part(image, box, (height, width))
  return resized(pixels, height, width, out, inside)


def _whole(image: Image) -> Box:
  return (0, 0, *image.shape[:2])


def _resized_all(images: Images, height: int, width: int) -> np.ndarray:
  out = np.empty((len(images), height, width, images[0].shape[-1]), np.uint8)
  for image, row in zip(images, out, strict=True):
    _view(image, _whole(image), height, width, row)
  return out


def _windows(
  images: np.ndarray, top: np.ndarray, left: np.ndarray, h: int, w: int
) -> np.ndarray:
  """Copies `b h w c` out of larger images, each from its own place.

  All windows that there are, as a view, indexed once: 36 us for 128 windows of
  32x32x3, a third of a loop over slices. The last two axes are one, because
  the rows of a window are contiguous.
  """
  images = np.ascontiguousarray(images)
  b, rows, columns, c = images.shape
  per_image, per_row, per_column, _ = images.strides
  view = np.lib.stride_tricks.as_strided(
    images,
    (b, rows - h + 1, columns - w + 1, h, w * c),
    (per_image, per_row, per_column, per_row, 1),
    writeable=False,
  )
  return view[np.arange(b), top, left].reshape(b, h, w, c)


@dataclasses.dataclass(frozen=True)
class RandomCrop:
  """A window at a uniformly random place, after padding.

  With padding=4 this is the usual augmentation of CIFAR (He et al., "Deep
  residual learning for image recognition", CVPR 2016).

  Attributes:
    padding: pixels added on each side.
    size: side of the square window; None keeps the images' own size. With a
      size, a list of differently sized images may come in.
    mode: what is padded: 'constant' (zeros) or 'reflect' (the edge pixel is
      not repeated).
  """

  padding: Count = 0
  size: Size | None = None
  mode: str = 'constant'

  def __post_init__(self):
    check(
      self.mode in ('constant', 'reflect'),
      'random_crop',
      f"mode is 'constant' or 'reflect', not {self.mode!r}",
    )
    check(
      self.padding > 0 or bool(self.size),
      'random_crop',
      'without padding and without a size it would do nothing',
    )

  def __call__(self, images: Images, draws: Draws) -> np.ndarray:
    if self.size is None:
      images = one_shape(images, 'random_crop')
    place = draws.uniform('place', (2,))
    if isinstance(images, list):
      crops = [
        self._crop(image[None], place[i : i + 1])
        for i, image in enumerate(images)
      ]
      return np.concatenate(crops)
    return self._crop(images, place)

  def sides(self, h: int, w: int) -> tuple[int, int]:
    """Height and width of the window in images `h w`."""
    return self.size or h, self.size or w

  def corners(self, h: int, w: int, draws: Draws) -> np.ndarray:
    """int64 `b 2`: top and left of the windows in padded images `h w`."""
    return self._corners(h, w, draws.uniform('place', (2,)))

  def _corners(self, h: int, w: int, place: np.ndarray) -> np.ndarray:
    p = self.padding
    check(
      self.mode == 'constant' or p < min(h, w),
      'random_crop',
      f'an image of {h} x {w} cannot be reflected by {p} pixels',
    )
    h, w = h + 2 * p, w + 2 * p
    free = np.asarray((h, w)) - self.sides(h - 2 * p, w - 2 * p)
    check(
      free.min() >= 0,
      'random_crop',
      f'an image of {h} x {w} is too small for a window of {self.size}',
    )
    return (place * (free + 1)).astype(np.int64)

  def _crop(self, images: np.ndarray, place: np.ndarray) -> np.ndarray:
    b, h, w, c = images.shape
    corner = self._corners(h, w, place)
    p = self.padding
    if p and self.mode == 'constant':
      padded = np.zeros((b, h + 2 * p, w + 2 * p, c), np.uint8)
      padded[:, p:-p, p:-p] = images
      images = padded
    elif p:
      images = np.pad(images, ((0, 0), (p, p), (p, p), (0, 0)), 'reflect')
    return _windows(images, corner[:, 0], corner[:, 1], *self.sides(h, w))


@dataclasses.dataclass(frozen=True)
class HorizontalFlip:
  """Mirrors images left to right.

  Attributes:
    probability: of a flip, where not `alternating`.
    alternating: a record is flipped in every other epoch; which epochs is
      random per record. Within two epochs each record is then seen both ways
      (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024).
  """

  probability: Share = 0.5
  alternating: bool = False

  def __post_init__(self):
    check(
      0.0 <= self.probability <= 1.0,
      'horizontal_flip',
      f'probability is in [0, 1], not {self.probability}',
    )

  def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
    images = one_shape(images, 'horizontal_flip')
    out = images.copy()
    self.flip(images, draws, out)
    return out

  def chosen(self, draws: Draws) -> np.ndarray:
    """bool `b`: which are mirrored."""
    if self.alternating:
      first = dataclasses.replace(draws, epoch=np.zeros_like(draws.epoch))
      return (first.integers('flip', 2) + draws.epoch) % 2 == 1
    return draws.uniform('flip') < self.probability

  def flip(self, images: np.ndarray, draws: Draws, out: np.ndarray) -> None:
    """Writes the mirrored ones of `images` to `out`, which may be `images`."""
    source, target = planes(images), planes(out)
    for i in np.flatnonzero(self.chosen(draws)).tolist():
      cv2.flip(source[i], 1, target[i])


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
  """A random part of the image, stretched to a square ("Inception crop").

  Area and aspect ratio are drawn, the ratio uniformly in its logarithm, until
  the part fits into the image; after ten tries it is the largest centred part
  with an allowed ratio. Szegedy et al., "Going deeper with convolutions",
  CVPR 2015, in torchvision's form. Takes images of different sizes. Of files
  the part is drawn before they are decoded.

  Attributes:
    size: side of the result, in pixels.
    scale: lowest and highest area, as a fraction of the image's.
    ratio: lowest and highest width / height.
  """

  size: Size
  scale: Sequence[Positive] = (0.08, 1.0)
  ratio: Sequence[Positive] = (3 / 4, 4 / 3)

  from_files: ClassVar[bool] = True

  def __post_init__(self):
    check(
      len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] <= 1,
      'random_resized_crop',
      f'scale is (lowest, highest) in (0, 1], not {self.scale}',
    )
    check(
      len(self.ratio) == 2 and 0 < self.ratio[0] <= self.ratio[1],
      'random_resized_crop',
      f'ratio is (lowest, highest), not {self.ratio}',
    )

  def boxes(self, sizes: np.ndarray, draws: Draws) -> np.ndarray:
    """int64 `b 4`: top, left, height, width, for int `b 2` heights, widths."""
    low, high = self.scale
    area = draws.uniform('area', (_TRIES,), low, high).astype(np.float64)
    area = np.minimum(area, high) * sizes.prod(axis=1)[:, None]
    low, high = np.log(self.ratio)
    ratio = draws.uniform('ratio', (_TRIES,), low, high).astype(np.float64)
    ratio = np.exp(ratio)
    tries = np.stack([np.sqrt(area / ratio), np.sqrt(area * ratio)], axis=-1)
    tries = np.rint(tries).astype(np.int64)
    fits = ((tries > 0) & (tries <= sizes[:, None])).all(axis=-1)
    box = tries[np.arange(len(sizes)), fits.argmax(axis=1)]
    room = sizes - box + 1
    corner = (draws.uniform('place', (2,)) * room).astype(np.int64)
    # The largest centred part, where no try fitted.
    h, w = sizes[:, 0], sizes[:, 1]
    widest = np.minimum(w, np.rint(h * max(self.ratio)))
    highest = np.minimum(h, np.rint(w / min(self.ratio)))
    centred = np.stack([highest, widest], axis=1).astype(np.int64)
    fitted = fits.any(axis=1)[:, None]
    box = np.where(fitted, box, centred)
    corner = np.where(fitted, corner, (sizes - centred) // 2)
    return np.concatenate([corner, box], axis=1)

  def __call__(
    self, images: Images, draws: Draws, empty: Empty = np.empty
  ) -> np.ndarray:
    sizes = np.asarray([image.shape[:2] for image in images], np.int64)
    boxes = self.boxes(sizes, draws).tolist()
    out = _square(images, self.size, empty)
    for image, box, row in zip(images, boxes, np.asarray(out), strict=True):
      _view(image, box, self.size, self.size, row)
    return out


def _square(images: Images, size: int, empty: Empty) -> np.ndarray:
  return empty((len(images), size, size, images[0].shape[-1]), np.uint8)


@dataclasses.dataclass(frozen=True)
class Cutout:
  """Squares of one grey, centred on random pixels; part may lie outside.

  DeVries and Taylor, "Improved regularization of convolutional neural
  networks with Cutout", 2017. They mask after normalisation, with zeros, that
  is with the mean colour: hence the middle grey here.

  Attributes:
    size: side of the squares, in pixels.
    count: squares per image.
    fill: their grey value, 0 to 255.
  """

  size: Count
  count: Size = 1
  fill: Annotated[int, Range(0, 255)] = 128

  def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
    out = one_shape(images, 'cutout').copy()
    h, w = out.shape[1:3]
    centre = draws.uniform('centre', (self.count, 2)) * (h, w)
    first = centre.astype(np.int64) - self.size // 2
    first, last = np.maximum(first, 0), np.maximum(first + self.size, 0)
    corners = np.concatenate([first, last], axis=-1).tolist()
    for image, squares in zip(out, corners, strict=True):
      for top, left, bottom, right in squares:
        image[top:bottom, left:right] = self.fill
    return out


@dataclasses.dataclass(frozen=True)
class Resize:
  """Another size, whatever the images' sizes; nothing is random.

  Attributes:
    size: an int is the length of the shorter side (the aspect ratio is kept,
      so a list of images stays a list); (height, width) is the exact size.
  """

  size: Size | Sequence[Size]

  from_files: ClassVar[bool] = True

  def __call__(self, images: Images, draws: Draws) -> Images:
    del draws
    if not isinstance(self.size, int):
      return _resized_all(images, *self.size)
    if isinstance(images, list):
      return [
        _view(image, _whole(image), *_short_side(image.shape, self.size))
        for image in images
      ]
    return _resized_all(images, *_short_side(images.shape[1:], self.size))


def _short_side(shape: Sequence[int], size: int) -> tuple[int, int]:
  """Height and width; the longer side is cut, not rounded, as torchvision's."""
  h, w = shape[:2]
  short = min(h, w)
  return size * h // short, size * w // short


@dataclasses.dataclass(frozen=True)
class CenterCrop:
  """The square in the middle. Takes images of different sizes.

  Attributes:
    size: its side, in pixels.
  """

  size: Size

  def __call__(self, images: Images, draws: Draws) -> np.ndarray:
    del draws
    return np.stack([self.crop(image) for image in images])

  def crop(self, image: np.ndarray) -> np.ndarray:
    h, w, _ = image.shape
    check(
      min(h, w) >= self.size,
      'center_crop',
      f'an image of {h} x {w} is smaller than {self.size}; resize it first',
    )
    top, left = round((h - self.size) / 2), round((w - self.size) / 2)
    return image[top : top + self.size, left : left + self.size]


@dataclasses.dataclass(frozen=True)
class ResizeCenterCrop:
  """Evaluation's view of an image: its shorter side resized, its middle cut.

  Takes images of different sizes. Large JPEG files are decoded at a reduced
  scale here too: the result is closer to Pillow's antialiased resize than that
  of area averaging at full scale (mean difference 0.2 of 255 on smooth pictures
  and 0.7 to 1.4 on noisy ones, where averaging has 0.1 and 1.1 to 1.8).

  Attributes:
    size: side of the result, in pixels.
    fraction: of the shorter side that is seen (timm's crop percentage): the
      shorter side becomes floor(size / fraction), for example 256 for 224 at
      0.875.
  """

  size: Size
  fraction: Annotated[float, Range(0, 1, above=True)] = 0.875

  from_files: ClassVar[bool] = True

  def __post_init__(self):
    check(
      0 < self.fraction <= 1,
      'resize_center_crop',
      f'fraction is in (0, 1], not {self.fraction}',
    )

  def __call__(
    self, images: Images, draws: Draws, empty: Empty = np.empty
  ) -> np.ndarray:
    del draws
    short, crop = math.floor(self.size / self.fraction), CenterCrop(self.size)
    out = _square(images, self.size, empty)
    for image, row in zip(images, np.asarray(out), strict=True):
      size = _short_side(image.shape, short)
      row[...] = crop.crop(_view(image, _whole(image), *size))
    return out


@dataclasses.dataclass(frozen=True)
class ProgressiveResize:
  """Square images whose size depends on how much of the run is done.

  Small images first save time at little cost in accuracy (Howard, fast.ai's
  DAWNBench entry, 2018; Touvron et al., "Fixing the train-test resolution
  discrepancy", NeurIPS 2019). The train step is compiled once per size.

  Attributes:
    sizes: (fraction of the run, side in pixels) pairs: from that fraction on,
      that size. The first fraction is 0.
  """

  sizes: Sequence[Sequence[NotNegative]]

  from_files: ClassVar[bool] = True

  def __post_init__(self):
    starts = [start for start, _ in self.sizes]
    check(
      bool(starts) and starts[0] == 0 and starts == sorted(starts),
      'progressive_resize',
      'sizes are (fraction of the run, pixels) pairs, by rising fraction, the '
      'first of them 0.0',
    )

  def __call__(self, images: Images, draws: Draws) -> np.ndarray:
    reached = [size for start, size in self.sizes if start <= draws.progress]
    size = int(reached[-1])
    return _resized_all(images, size, size)
