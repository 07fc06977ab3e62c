"""Image files that are decoded once it is known how much of them is needed.

Decoding is most of the cost of ImageNet. An op that draws its crop from the
size in a file's header can have the file decoded at a reduced scale and only
the crop converted. Entropy decoding remains, and it is most of the work: of a
400 x 500 JPEG of 110 kB the half scale saves a fifth of the time, of a
photograph of ten megapixels at an eighth two thirds.
"""

from collections.abc import Callable

import numpy as np

from recog_jax.data.decode import REDUCTIONS, decode_image, jpeg_size
from recog_jax.errors import UserError

# Top, left, height and width, in pixels.
Box = tuple[int, int, int, int]


class Picture:
  """One image file in memory.

  Attributes:
    shape: (h, w, c) as it would be decoded; of a JPEG from its header, of any
      other file by decoding it.
  """

  def __init__(
    self, data: bytes, channels: int, error: Callable[[str], UserError]
  ):
    """Reads the header.

    Args:
      data: the whole file.
      channels: 1 grey, 3 RGB, 4 RGBA.
      error: makes the error to raise of what is wrong with the file.

    Raises:
      UserError: it is no JPEG and cannot be decoded.
    """
    self._data, self._channels, self._error = data, channels, error
    self._pixels: np.ndarray | None = None
    # A JPEG has no fourth channel: decoding says what is wrong.
    size = jpeg_size(data) if channels < 4 else None
    if size is None:
      self._pixels = self._decode()
      size = self._pixels.shape[:2]
    self.shape = (*size, channels)

  def _decode(self, **options) -> np.ndarray:
    try:
      return decode_image(self._data, self._channels, **options)
    except ValueError as e:
      raise self._error(str(e)) from e

  def part(self, box: Box, least: tuple[int, int]) -> np.ndarray:
    """The pixels of a box, smaller than it where the file is read so faster.

    The box is rounded to whole pixels of the reduced picture: its edges move
    by at most half of one, which is less than half a pixel of what is made of
    it, if that is `least`.

    Args:
      box: of the picture in its own size.
      least: height and width that the result has at least, as far as the box
        itself has them.

    Returns:
      uint8 `h w c`.

    Raises:
      UserError: the file cannot be decoded.
    """
    top, left, h, w = box
    if self._pixels is not None:
      return self._pixels[top : top + h, left : left + w]
    by = reduction((h, w), least)
    # Halves go up, so that a part never loses a pixel by where it lies.
    y, x = _rounded(top, by), _rounded(left, by)
    expected = _rounded(top + h, by) - y, _rounded(left + w, by) - x
    pixels = self._decode(reduction=by, box=(y, x, *expected))
    if pixels.shape[:2] != expected:
      raise self._error('the JPEG image is smaller than its header says')
    return pixels


def _rounded(pixels: int, by: int) -> int:
  return (2 * pixels + by) // (2 * by)


def reduction(size: tuple[int, int], least: tuple[int, int]) -> int:
  """The largest of 1, 2, 4 and 8 that leaves `least` of a height and width."""
  return max(
    by
    for by in REDUCTIONS
    if by == 1 or all(s >= by * n for s, n in zip(size, least, strict=True))
  )


def part(
  image: np.ndarray | Picture, box: Box, least: tuple[int, int]
) -> np.ndarray:
  """A box of an image, as `Picture.part`; of an array it is a view."""
  if isinstance(image, Picture):
    return image.part(box, least)
  top, left, h, w = box
  return image[top : top + h, left : left + w]
