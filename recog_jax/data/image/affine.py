"""Rotation, scaling and translation: one affine mechanism, one warp per image.

Each move gives a matrix per image; `Warp` multiplies the matrices of all moves
that follow each other in a chain and resamples once, so three moves blur an
image no more than one does.
"""

import dataclasses
import functools

import cv2
import numpy as np

from recog_jax.data.draws import Draws, scoped
from recog_jax.data.image.base import one_shape, planes
from recog_jax.data.ops import check
from recog_jax.ranges import NotNegative, Positive, Share

_BORDERS = {
  'constant': cv2.BORDER_CONSTANT,
  'reflect': cv2.BORDER_REFLECT_101,
}


def warp(
  images: np.ndarray,
  matrices: np.ndarray,
  mode: str = 'constant',
  fill: int = 0,
) -> np.ndarray:
  """Resamples each image bilinearly through its own affine map.

  Args:
    images: uint8 `b h w c`.
    matrices: float `b 3 3`, from (x, y, 1) of a pixel's centre in the result
      to that in the input, relative to the image's centre.
    mode: what lies outside an image: 'constant' (the grey `fill`) or
      'reflect'.
    fill: 0 to 255.

  Returns:
    uint8 `b h w c`.
  """
  b, h, w, c = images.shape
  centre = np.eye(3)
  centre[:2, 2] = (w - 1) / 2, (h - 1) / 2
  maps = (centre @ matrices @ np.linalg.inv(centre))[:, :2]
  out = images.copy()
  source, target = planes(images), planes(out)
  for i in np.flatnonzero((matrices != np.eye(3)).any(axis=(1, 2))).tolist():
    cv2.warpAffine(
      source[i],
      maps[i],
      (w, h),
      target[i],
      cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
      _BORDERS[mode],
      (fill,) * c,
    )
  return out


def _eye(count: int) -> np.ndarray:
  return np.tile(np.eye(3), (count, 1, 1))


@dataclasses.dataclass(frozen=True)
class Move:
  """A move alone is a warp of one.

  Attributes:
    mode: what lies outside an image: 'constant' (black) or 'reflect'.
  """

  mode: str = dataclasses.field(default='constant', kw_only=True)

  def __post_init__(self):
    check(
      self.mode in _BORDERS,
      type(self).__name__.lower(),
      f"mode is 'constant' or 'reflect', not {self.mode!r}",
    )

  def matrices(self, draws: Draws, h: int, w: int) -> np.ndarray:
    """float64 `b 3 3`, as `warp` takes them."""
    raise NotImplementedError

  def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
    images = one_shape(images, type(self).__name__.lower())
    return warp(images, self.matrices(draws, *images.shape[1:3]), self.mode)


@dataclasses.dataclass(frozen=True)
class Rotation(Move):
  """Turns about the centre by an angle uniform in [-degrees, degrees).

  Attributes:
    degrees: the largest angle; its sign does not matter.
  """

  degrees: NotNegative = 15.0

  def matrices(self, draws: Draws, h: int, w: int) -> np.ndarray:
    angle = np.deg2rad(
      draws.uniform('angle', (), -self.degrees, self.degrees), dtype=np.float64
    )
    out = _eye(len(angle))
    out[:, 0, 0] = out[:, 1, 1] = np.cos(angle)
    out[:, 0, 1], out[:, 1, 0] = -np.sin(angle), np.sin(angle)
    return out


@dataclasses.dataclass(frozen=True)
class Scaling(Move):
  """Enlarges what is seen by a factor uniform in [low, high).

  Attributes:
    low: below 1 the whole image and some border is seen.
    high: above 1 the margins are lost.
  """

  low: Positive = 0.9
  high: Positive = 1.1

  def __post_init__(self):
    super().__post_init__()
    check(0 < self.low <= self.high, 'scaling', '0 < low <= high must hold')

  def matrices(self, draws: Draws, h: int, w: int) -> np.ndarray:
    factor = draws.uniform('factor', (), self.low, self.high)
    out = _eye(len(factor))
    out[:, 0, 0] = out[:, 1, 1] = 1 / factor
    return out


@dataclasses.dataclass(frozen=True)
class Translation(Move):
  """Moves by a distance uniform in [-fraction, fraction) of each side.

  Distances are not rounded to whole pixels.

  Attributes:
    fraction: of the height and of the width.
  """

  fraction: Share = 0.1

  def matrices(self, draws: Draws, h: int, w: int) -> np.ndarray:
    shift = draws.uniform('shift', (2,), -self.fraction, self.fraction)
    out = _eye(len(shift))
    out[:, :2, 2] = -shift * (w, h)
    return out


@dataclasses.dataclass(frozen=True)
class Warp:
  """Moves of one border mode, one after the other, resampled once.

  Attributes:
    moves: (name of its draws, move) in the order of the chain.
  """

  moves: tuple[tuple[str, Move], ...]

  def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
    first = self.moves[0][1]
    images = one_shape(images, type(first).__name__.lower())
    h, w = images.shape[1:3]
    # A matrix leads from the result back to the input: the last move's is
    # applied first.
    product = functools.reduce(
      np.matmul,
      [move.matrices(scoped(draws, name), h, w) for name, move in self.moves],
    )
    return warp(images, product, first.mode)
