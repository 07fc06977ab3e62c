"""RandAugment: a few ops, picked at random, all of one strength.

Cubuk et al., "RandAugment: practical automated data augmentation with a
reduced search space", 2020. The ops and what a magnitude means for each are
those of timm's `rand-m<magnitude>-n<count>-mstd<std>-inc<0|1>`, which came from
TensorFlow's EfficientNet: fifteen ops, without identity and cutout. (timm
applies each picked op with probability 0.5, the paper with 1.)
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image import colour
from recog_jax.data.image.affine import warp
from recog_jax.data.image.base import one_shape
from recog_jax.data.ops import check
from recog_jax.ranges import Count, NotNegative, Share

_VALUES = np.arange(256)
# What lies outside a moved image.
_FILL = 128


@dataclasses.dataclass(frozen=True)
class Strength:
  """How much of an op is applied to one image.

  Attributes:
    level: the magnitude over 10, in [0, 1].
    sign: -1 or 1, for ops that go two ways.
    increasing: every op grows stronger with the level. Otherwise, as in the
      TensorFlow code, factors run from 0.1 to 1.9 (mildest in the middle) and
      posterize and solarize grow weaker.
  """

  level: float
  sign: int
  increasing: bool

  @property
  def factor(self) -> float:
    """Of brightness, contrast, saturation and sharpness."""
    if self.increasing:
      return max(0.1, 1.0 + 0.9 * self.sign * self.level)
    return 0.1 + 1.8 * self.level


def _solarize(image: np.ndarray, strength: Strength) -> np.ndarray:
  threshold = int(strength.level * 256)
  if strength.increasing:
    threshold = 256 - threshold
  table = np.where(threshold > _VALUES, _VALUES, 255 - _VALUES)
  return colour.look_up(image, table.astype(np.uint8))


def _solarize_add(image: np.ndarray, strength: Strength) -> np.ndarray:
  added = np.minimum(_VALUES + int(strength.level * 110), 255)
  table = np.where(_VALUES < 128, added, _VALUES)
  return colour.look_up(image, table.astype(np.uint8))


def _posterize(image: np.ndarray, strength: Strength) -> np.ndarray:
  bits = int(strength.level * 4)
  if strength.increasing:
    bits = 4 - bits
  return image & np.uint8(256 - (1 << (8 - bits)))


COLOURS: dict[str, Callable[[np.ndarray, Strength], np.ndarray]] = {
  'auto_contrast': lambda image, s: colour.auto_contrast(image),
  'equalize': lambda image, s: colour.equalize(image),
  'invert': lambda image, s: 255 - image,
  'posterize': _posterize,
  'solarize': _solarize,
  'solarize_add': _solarize_add,
  'saturation': lambda image, s: colour.saturation(image, s.factor),
  'contrast': lambda image, s: colour.contrast(image, s.factor),
  'brightness': lambda image, s: colour.brightness(image, s.factor),
  'sharpness': lambda image, s: colour.sharpness(image, s.factor),
}

MOVES = ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y')

OPS = (*COLOURS, *MOVES)


def move_matrix(name: str, signed: float, h: int, w: int) -> np.ndarray:
  """float64 `3 3`, as `image_affine.warp` takes it.

  Args:
    name: one of MOVES.
    signed: the level, in [-1, 1].
    h: height of the image.
    w: its width.
  """
  out = np.eye(3)
  if name == 'rotate':
    angle = np.deg2rad(30 * signed)
    out[0, 0] = out[1, 1] = np.cos(angle)
    out[0, 1], out[1, 0] = -np.sin(angle), np.sin(angle)
  elif name == 'shear_x':
    out[0, 1] = 0.3 * signed
  elif name == 'shear_y':
    out[1, 0] = 0.3 * signed
  elif name == 'translate_x':
    out[0, 2] = 0.45 * signed * w
  else:
    out[1, 2] = 0.45 * signed * h
  return out


@dataclasses.dataclass(frozen=True)
class RandomAugment:
  """Applies `count` ops per image, picked uniformly with replacement.

  Deliberate deviations: bilinear resampling only, shears about the image's
  centre instead of its corner. Saturation leaves grey images as they are.

  Attributes:
    count: N, ops per image.
    magnitude: M, in [0, 10].
    magnitude_std: standard deviation of a normal draw about the magnitude for
      each op, cut to [0, 10].
    probability: of applying an op that was picked.
    increasing: see `Strength`.
  """

  count: Count = 2
  magnitude: NotNegative = 9.0
  magnitude_std: NotNegative = 0.0
  probability: Share = 1.0
  increasing: bool = True

  def __post_init__(self):
    check(
      0 <= self.magnitude <= 10,
      'random_augment',
      f'magnitude is in [0, 10], not {self.magnitude}',
    )

  def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
    images = one_shape(images, 'random_augment')
    shape = (self.count,)
    picked = draws.integers('op', len(OPS), shape)
    applied = draws.uniform('apply', shape) < self.probability
    signs = 2 * draws.integers('sign', 2, shape) - 1
    noise = self.magnitude_std * draws.normal('magnitude', shape)
    levels = np.clip(self.magnitude + noise, 0, 10) / 10
    for k in range(self.count):
      chosen = {
        i: (OPS[picked[i, k]], float(levels[i, k]), int(signs[i, k]))
        for i in np.flatnonzero(applied[:, k]).tolist()
      }
      images = self._layer(images, chosen)
    return images

  def _layer(
    self, images: np.ndarray, chosen: dict[int, tuple[str, float, int]]
  ) -> np.ndarray:
    """At most one op for each row: row -> (name, level, sign)."""
    b, h, w, _ = images.shape
    matrices = np.tile(np.eye(3), (b, 1, 1))
    for i, (name, level, sign) in chosen.items():
      if name in MOVES:
        matrices[i] = move_matrix(name, sign * level, h, w)
    out = warp(images, matrices, fill=_FILL)
    for i, (name, level, sign) in chosen.items():
      if name in COLOURS:
        strength = Strength(level, sign, self.increasing)
        out[i] = COLOURS[name](images[i], strength)
    return out
