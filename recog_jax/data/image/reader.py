"""Reads pictures that people give a trained model; see `data.base.Reader`."""

import dataclasses
import io
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from PIL import Image, ImageOps

from recog_jax.data import files
from recog_jax.data.base import Batch, Kept, Piece
from recog_jax.data.draws import Draws
from recog_jax.data.image import codecs, medical
from recog_jax.data.image.augment import Chain, make_augment
from recog_jax.data.image.picture import Picture
from recog_jax.data.image.records import Info
from recog_jax.data.image.resize import resized
from recog_jax.data.sources.pictures import SUFFIXES
from recog_jax.errors import UserError

# Of pictures that only Pillow reads, in any case.
_ALSO = ('.tga', '.ico', '.pcx', '.xbm', '.icns', '.dds', '.psd', '.apng')
# Pixels of a picture that is decoded; a camera of today has 100 million.
MOST_PIXELS = 1 << 28
# Of a batch.
_BATCH_BYTES = 1 << 28
_TOO_MANY = (
  f'it has more than {MOST_PIXELS / 1e6:.0f} million pixels: make it smaller'
)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageReader:
  """Pictures as evaluation sees them.

  Attributes:
    info: of the data that the model was trained on.
    augment: the ops of evaluation.
    shape: (h, w, c) of the model's inputs; None where they have any size.
    most_rows: of a batch.
  """

  info: Info
  augment: Chain
  shape: tuple[int, int, int] | None
  most_rows: int

  modality: ClassVar[str] = 'images'
  suffixes: ClassVar[tuple[str, ...]] = tuple(
    dict.fromkeys((*SUFFIXES, *_ALSO, *medical.SUFFIXES))
  )

  @property
  def channels(self) -> int:
    return self.info.shape[-1] or 3

  def read(self, thing: Any) -> Iterator[Piece]:
    """The one piece of a path, bytes, an open file, or uint8 `h w [c]`."""
    if isinstance(thing, np.ndarray) or hasattr(thing, '__array__'):
      image: Any = self._of_array(np.asarray(thing))
    else:
      image = self._opened(thing)
    yield Piece(self._fitted(self._seen(image)))

  def group(self, piece: Piece) -> tuple[int, ...]:
    return piece.data.shape

  def rows(self, group: tuple[int, ...]) -> int:
    return max(1, min(self.most_rows, _BATCH_BYTES // math.prod(group)))

  def batch(self, pieces: Sequence[Piece], group: Any) -> Batch:
    del group
    n = len(pieces)
    return {
      'inputs': np.stack([piece.data for piece in pieces]),
      'index': np.arange(n, dtype=np.int32),
      'valid': np.ones(n, bool),
    }

  # -- one picture ------------------------------------------------------------

  def _opened(self, thing: Any) -> np.ndarray | Picture:
    name, data = _content(thing)
    wrong = _wrong(name)
    if _pixels(data) > MOST_PIXELS:
      raise wrong(_TOO_MANY)
    try:
      picture = Picture(data, self.channels, wrong, upright=True)
    except UserError:
      image = _by_pillow(data, self.channels)
      if image is None:
        raise
      return image
    if self.augment.from_files:
      return picture
    size = picture.shape[:2]
    return picture.part((0, 0, *size), size)[0]

  def _of_array(self, image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
      image = image[..., None]
    known = image.ndim == 3 and image.shape[-1] in (1, 3, 4)
    if image.dtype != np.uint8 or not known or not image.size:
      raise UserError(
        f'a picture is uint8 of shape (h, w, c), 0..255, and this is '
        f'{image.dtype} of shape {image.shape}'
      )
    if image.shape[-1] == self.channels:
      return image
    return _in_channels(image, self.channels)

  def _seen(self, image: np.ndarray | Picture) -> np.ndarray:
    """What the ops of evaluation make of it."""
    images: Any = [image]
    if not isinstance(image, Picture):
      images = image[None]
    zero = np.zeros(1, np.int64)
    found = self.augment(images, Draws(0, zero, zero))
    return np.asarray(found[0])

  def _fitted(self, image: np.ndarray) -> np.ndarray:
    """In the size of the model's inputs: the largest part of that form."""
    if self.shape is None or image.shape == self.shape:
      return image
    (h, w), (height, width) = image.shape[:2], self.shape[:2]
    scale = min(h / height, w / width)
    size = scale * height, scale * width
    box = ((h - size[0]) / 2, (w - size[1]) / 2, *size)
    if box[:2] == (0, 0):
      box = (0, 0, h, w)
    return resized(np.ascontiguousarray(image), height, width, box=box)


def _content(thing: Any) -> tuple[str, bytes]:
  """The name and the bytes of a path, bytes or an open file."""
  if isinstance(thing, bytes | bytearray | memoryview):
    return 'the picture', bytes(thing)
  if hasattr(thing, 'read'):
    data = thing.read()
    if not isinstance(data, bytes):
      raise UserError('open the file in binary mode, as open(path, "rb")')
    return str(getattr(thing, 'name', 'the picture')), data
  if isinstance(thing, str | os.PathLike):
    path = Path(thing)
    try:
      return str(path), files.read_bytes(path)
    except (OSError, ValueError) as error:
      reason = getattr(error, 'strerror', None) or error
      raise UserError(f'{path} cannot be read: {reason}') from error
  raise UserError(
    'a picture is a path, an array uint8 `h w c` or an open file, not '
    f'{type(thing).__name__}'
  )


def _wrong(name: str) -> Callable[[str], UserError]:
  return lambda reason: UserError(f'{name} cannot be read: {reason}')


def _pixels(data: bytes) -> int:
  """How many a file's header says there are; 0 where nothing reads it."""
  size = codecs.jpeg_size(data)
  if size is None:
    try:
      image = _pillow(data)
    except Image.DecompressionBombError:
      return MOST_PIXELS + 1
    size = (0, 0) if image is None else image.size
  return size[0] * size[1]


def _pillow(data: bytes) -> Image.Image | None:
  """The picture as Pillow opens it, nothing decoded; None: it cannot."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      return Image.open(io.BytesIO(data))
  except Image.DecompressionBombError:
    raise
  except Exception:  # Whatever a decoder of fifty formats raises.
    return None


def _by_pillow(data: bytes, channels: int) -> np.ndarray | None:
  """What OpenCV cannot read; None where Pillow cannot either."""
  # Of a JPEG that ends early Pillow would make up the rest.
  image = None if data.startswith(b'\xff\xd8') else _pillow(data)
  if image is None:
    return None
  try:
    image = ImageOps.exif_transpose(image)
    found = np.asarray(image.convert('L' if channels == 1 else 'RGB'))
  except Exception:  # See `_pillow`.
    return None
  return found[..., None] if found.ndim == 2 else found


def _in_channels(image: np.ndarray, channels: int) -> np.ndarray:
  """uint8 `h w 1|3|4` with another number of channels."""
  image = np.ascontiguousarray(image)
  if image.shape[-1] == 1:
    return np.repeat(image, channels, 2)
  if image.shape[-1] == 4 and channels == 3:
    return np.ascontiguousarray(image[..., :3])
  grey = cv2.COLOR_RGBA2GRAY if image.shape[-1] == 4 else cv2.COLOR_RGB2GRAY
  return cv2.cvtColor(image, grey)[..., None]


# -- what is kept of the data --------------------------------------------------


def kept(
  info: Info, augment: Chain, first: Callable[[], tuple[int, ...]]
) -> Kept:
  """What `make_reader` needs to know of the data.

  Args:
    info: of the data.
    augment: the ops of evaluation.
    first: gives the shape of some picture behind these.
  """
  shape = input_shape(info, augment) or first()
  return Kept({'name': info.name, 'shape': info.shape, 'input': shape})


def input_shape(info: Info, augment: Chain) -> tuple[int, int, int] | None:
  """What evaluation makes of pictures; None: their size stays theirs."""
  c = info.shape[-1] or 3
  sizes = [info.shape[:2]]
  if None in info.shape[:2]:
    sizes = [(311, 257), (200, 300)]
  zero, found = np.zeros(1, np.int64), set()
  for h, w in sizes:
    try:
      image = np.zeros((1, h, w, c), np.uint8)
      found.add(np.asarray(augment(image, Draws(0, zero, zero))[0]).shape)
    except UserError:  # A crop that is larger than this.
      return None
  return found.pop() if len(found) == 1 else None


def make_reader(keys: Mapping[str, Any], kept: Kept) -> ImageReader:
  """The reader of `config.data` and what a workdir keeps of it.

  Raises:
    UserError: the workdir keeps nothing that says how pictures are read.
  """
  facts = kept.facts
  if 'shape' not in facts:
    raise UserError(
      'it keeps nothing that says how pictures are read: it was written by an '
      'earlier version; start its training again, which ends at once, with its '
      'data'
    )
  info = Info(
    name=facts['name'],
    shape=tuple(facts['shape']),
    label_names=tuple(facts.get('classes') or ()),
    target_names=tuple(facts.get('numbers') or ()),
  )
  shape = facts.get('input')
  return ImageReader(
    info=info,
    augment=make_augment(keys.get('augment_eval') or ()),
    shape=shape and tuple(shape),
    most_rows=int(keys['eval_batch_size']),
  )
