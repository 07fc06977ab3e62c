"""Image files that are decoded once it is known how much of them is needed.

Decoding is most of the cost of ImageNet. An op that draws its crop from the
size in a file's header can have the file decoded at a reduced scale and only
the crop's pixels touched. Entropy decoding remains, and it is most of the work:
half the scale saves a sixth of the decoding time of a 375 x 500 JPEG of 70 kB.
Of a photograph of three megapixels, decoded at a quarter and then resized, half
to four fifths of the whole are saved.
"""

from collections.abc import Callable

import numpy as np

from recog_jax.data.image import exif
from recog_jax.data.image.codecs import REDUCTIONS, decode_image, jpeg_size
from recog_jax.errors import UserError

# Top, left, height and width, in pixels.
Box = tuple[int, int, int, int]
# uint8 `h w c`, and the box in pixels of that: the outermost may lie partly
# outside of the box.
Part = tuple[np.ndarray, tuple[float, float, float, float]]


class Picture:
  """One image file in memory.

  Attributes:
    shape: (h, w, c) as it would be decoded; of a JPEG from its header, of any
      other file by decoding it.
  """

  def __init__(
    self,
    data: bytes,
    channels: int,
    error: Callable[[str], UserError],
    *,
    upright: bool = False,
    frame: int = 0,
  ):
    """Reads the header.

    Args:
      data: the whole file.
      channels: 1 grey, 3 RGB, 4 RGBA.
      error: makes the error to raise of what is wrong with the file.
      upright: obey an orientation in EXIF; such a picture is decoded whole.
      frame: see `decode_image`.

    Raises:
      UserError: it is no JPEG and cannot be decoded.
    """
    self._data, self._channels, self._error = data, channels, error
    self._frame = frame
    self._pixels: np.ndarray | None = None
    # A JPEG has no fourth channel: decoding says what is wrong.
    size = jpeg_size(data) if channels < 4 else None
    turn = exif.orientation(data) if upright else 1
    if size is None or turn != 1:
      self._pixels = exif.turned(self._decode(), turn)
      size = self._pixels.shape[:2]
    self.shape = (*size, channels)

  def _decode(self, **options) -> np.ndarray:
    try:
      return decode_image(
        self._data, self._channels, frame=self._frame, **options
      )
    except ValueError as e:
      raise self._error(str(e)) from e

  def part(self, box: Box, least: tuple[int, int]) -> Part:
    """The pixels of a box, at a reduced scale where the file is read so faster.

    Args:
      box: of the picture in its own size.
      least: height and width that the box has at least in the result, as far
        as it has them in the picture.

    Raises:
      UserError: the file cannot be decoded.
    """
    top, left, h, w = box
    if self._pixels is not None:
      return part(self._pixels, box, least)
    by = reduction((h, w), least)
    y, x = top // by, left // by
    size = (-(-(top + h) // by) - y, -(-(left + w) // by) - x)
    pixels = self._decode(reduction=by, box=(y, x, *size))
    if pixels.shape[:2] != size:
      raise self._error('the JPEG image is smaller than its header says')
    return pixels, (top / by - y, left / by - x, h / by, w / by)


def reduction(size: tuple[int, int], least: tuple[int, int]) -> int:
  """The largest of 1, 2, 4 and 8 that leaves `least` of a height and width."""
  return max(
    by
    for by in REDUCTIONS
    if by == 1 or all(s >= by * n for s, n in zip(size, least, strict=True))
  )


def part(image: np.ndarray | Picture, box: Box, least: tuple[int, int]) -> Part:
  """A box of an image, as `Picture.part`; of an array it is a view."""
  if isinstance(image, Picture):
    return image.part(box, least)
  top, left, h, w = box
  return image[top : top + h, left : left + w], (0, 0, h, w)
