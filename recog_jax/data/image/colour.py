"""Colours and brightness of uint8 images in host memory.

Functions work on one image, uint8 `h w c`, and return another; whatever maps
each value by itself goes through a table of 256. Where PIL and torchvision cut
fractions off, results are rounded here: they differ by one grey level at most.
"""

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image.base import one_shape
from recog_jax.data.ops import check
from recog_jax.ranges import NotNegative, Range

_VALUES = np.arange(256, dtype=np.float64)
# ITU-R 601-2, as PIL's and OpenCV's conversions to grey.
_LUMA = np.array([0.299, 0.587, 0.114])


def look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
  """Maps each value through uint8 `256`, or `256 c` for a table per channel."""
  table = table.reshape(1, 256, -1)
  return cv2.LUT(image, table).reshape(image.shape)


def _blend(image: np.ndarray, factor: float, value: float) -> np.ndarray:
  """factor * image + (1 - factor) * value, rounded and cut to [0, 255]."""
  added = (1 - factor) * value
  return cv2.addWeighted(image, factor, image, 0, added).reshape(image.shape)


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
  """Blends with black: 0 is black, 1 the image."""
  return _blend(image, factor, 0.0)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
  """Blends with the image's mean grey: 0 is all grey, 1 the image."""
  grey = image
  if image.shape[-1] == 3:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
  return _blend(image, factor, cv2.mean(grey)[0])


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
  """Blends with the grey image: 0 is grey, 1 the image; grey stays as it is."""
  if image.shape[-1] != 3 or factor == 1.0:
    return image
  return cv2.transform(image, factor * np.eye(3) + (1 - factor) * _LUMA)


def hue(image: np.ndarray, shift: float) -> np.ndarray:
  """Turns the hue by a fraction of the circle, in [-0.5, 0.5].

  Through HSV with eight bits, which rounds by a few grey levels; a shift below
  1/512 and a grey image change nothing.
  """
  steps = round(shift * 256)
  if image.shape[-1] != 3 or not steps:
    return image
  hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
  hsv[..., 0] += np.uint8(steps % 256)
  return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
  """Blends with PIL's smoothed image: 0 is smooth, 1 the image.

  The outermost pixels have no neighbours to be smoothed with and stay.
  """
  kernel = np.ones((3, 3))
  kernel[1, 1] = 5
  smooth = cv2.filter2D(image, -1, kernel / kernel.sum()).reshape(image.shape)
  blended = cv2.addWeighted(image, factor, smooth, 1 - factor, 0)
  out = image.copy()
  out[1:-1, 1:-1] = blended.reshape(image.shape)[1:-1, 1:-1]
  return out


def _counts(image: np.ndarray) -> np.ndarray:
  """int64 `256 c`: how often each value occurs in each channel."""
  counts = [
    cv2.calcHist([image], [k], None, [256], [0, 256]).ravel()
    for k in range(image.shape[-1])
  ]
  return np.stack(counts, axis=1).astype(np.int64)


def _occurring(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """int64 `c`: the lowest and the highest value of each channel."""
  occurs = counts > 0
  return occurs.argmax(axis=0), 255 - occurs[::-1].argmax(axis=0)


def auto_contrast(image: np.ndarray) -> np.ndarray:
  """Stretches each channel to the whole range of values, as PIL does."""
  low, high = _occurring(_counts(image))
  scale = 255 / np.maximum(high - low, 1)
  table = np.clip((_VALUES[:, None] - low) * scale, 0, 255)
  table = np.where(high > low, table, _VALUES[:, None])
  return look_up(image, table.astype(np.uint8))


def equalize(image: np.ndarray) -> np.ndarray:
  """Makes each channel's histogram flat, as PIL does."""
  counts = _counts(image)
  below = np.cumsum(counts, axis=0) - counts
  _, high = _occurring(counts)
  # The number of pixels below the highest value spreads over the range.
  step = below[high, np.arange(len(high))] // 255
  table = (step // 2 + below) // np.maximum(step, 1)
  table = np.where(step > 0, np.minimum(table, 255), _VALUES[:, None])
  return look_up(image, table.astype(np.uint8))


_STEPS = (brightness, contrast, saturation, hue)


@dataclasses.dataclass(frozen=True)
class ColourJitter:
  """Random brightness, contrast, saturation and hue, in a random order.

  In torchvision's meaning (ColorJitter), which follows Howard, "Some
  improvements on deep convolutional neural network based image
  classification", 2013. Saturation and hue leave grey images as they are.

  Attributes:
    brightness: the factor is uniform in [max(0, 1 - brightness),
      1 + brightness).
    contrast: likewise.
    saturation: likewise.
    hue: the shift is uniform in [-hue, hue), in turns of the colour circle;
      at most 0.5.
  """

  brightness: NotNegative = 0.0
  contrast: NotNegative = 0.0
  saturation: NotNegative = 0.0
  hue: Annotated[float, Range(0, 0.5)] = 0.0

  def __post_init__(self):
    check(
      min(self.brightness, self.contrast, self.saturation, self.hue) >= 0,
      'colour_jitter',
      'strengths are 0 or more',
    )
    check(self.hue <= 0.5, 'colour_jitter', 'hue is at most 0.5')

  def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
    images = one_shape(images, 'colour_jitter')
    columns = [
      draws.uniform(name, (), max(0.0, 1.0 - strength), 1.0 + strength)
      for name, strength in (
        ('brightness', self.brightness),
        ('contrast', self.contrast),
        ('saturation', self.saturation),
      )
    ]
    columns.append(draws.uniform('hue', (), -self.hue, self.hue))
    amounts = np.stack(columns, axis=1).tolist()
    orders = np.argsort(draws.uniform('order', (4,)), axis=1).tolist()
    out = np.empty_like(images)
    for i, image in enumerate(images):
      for k in orders[i]:
        image = _STEPS[k](image, amounts[i][k])
      out[i] = image
    return out
