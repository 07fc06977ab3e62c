"""Resizing images of 8 bits, antialiased and fast."""

import functools
import math

import cv2
import numpy as np

from recog_jax.data.image.base import planes

# Taps of the low-pass filter are multiples of this, so that OpenCV computes
# with integers and a flat image stays as it is.
_UNIT = 1 / 256


@functools.lru_cache(maxsize=1024)
def _low_pass(ratio: float) -> np.ndarray:
  """What to blur an axis with before it shrinks by `ratio`; float32 `taps`.

  A triangle of half width `ratio` (the antialiased bilinear filter of Pillow
  and torchvision) has the variance ratio**2 / 6 in pixels, and the bilinear
  look-up that follows has 1/6 of it already: the filter, symmetric and short,
  has the rest.
  """
  variance = max(0.0, (ratio**2 - 1) / 6)
  count = max(1, math.ceil(2 * variance))
  side = variance / count / 2
  taps = functools.reduce(
    np.convolve, [np.array([side, 1 - 2 * side, side])] * count
  )
  taps = np.rint(taps / _UNIT) * _UNIT
  taps[count] += 1 - taps.sum()
  return taps.astype(np.float32)


def resized(
  image: np.ndarray,
  height: int,
  width: int,
  out: np.ndarray | None = None,
  box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
  """One image in another size.

  Enlarging is bilinear. Shrinking to half or less averages over the area of
  each new pixel. Between those, where crops of JPEG files fall that were
  decoded at a reduced scale, OpenCV's averaging is slow (0.35 to 0.7 ms for
  224 x 224, as much as decoding): there a low-pass filter of three taps and
  bilinear interpolation take a third of that, and come as close to Pillow's
  and torchvision's antialiased filter.

  Args:
    image: uint8 `h w c`.
    height: of the result, in pixels.
    width: of the result, in pixels.
    out: uint8 `height width c`, contiguous, to write the result into.
    box: top, left, height and width of the part of `image` that becomes the
      result, in its pixels and fractions of them.

  Returns:
    `out`, or an array of its shape; without `out` it is `image` itself if that
    has the size.
  """
  c = image.shape[-1]
  box = box or (0, 0, *image.shape[:2])
  top, left, h, w = box
  whole = box == (0, 0, *image.shape[:2])
  if whole and (h, w) == (height, width):
    if out is None:
      return image
    out[...] = image
    return out
  if out is None:
    out = np.empty((height, width, c), np.uint8)
  y, x = h / height, w / width
  if whole and min(x, y) >= 2:
    cv2.resize(image, (width, height), planes(out), 0, 0, cv2.INTER_AREA)
    return out
  if max(x, y) > 1:
    image = cv2.sepFilter2D(
      image, -1, _low_pass(x), _low_pass(y), borderType=cv2.BORDER_REPLICATE
    )
  if whole:
    cv2.resize(image, (width, height), planes(out), 0, 0, cv2.INTER_LINEAR)
    return out
  # Three times slower, but it takes fractions of a pixel.
  matrix = np.array([[x, 0, left + (x - 1) / 2], [0, y, top + (y - 1) / 2]])
  flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
  border = cv2.BORDER_REPLICATE
  cv2.warpAffine(image, matrix, (width, height), planes(out), flags, border)
  return out
