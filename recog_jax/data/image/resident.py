"""Crops and flips as numbers, for images that lie on the devices already.

What is drawn, and from what, is what the chain itself draws: `windows` only
leaves the pixels to whom has them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws, scoped
from recog_jax.data.image.augment import Chain, Scoped
from recog_jax.data.image.geometry import HorizontalFlip, RandomCrop


@dataclasses.dataclass(frozen=True)
class Windows:
  """A crop, or none, and flips of it.

  Attributes:
    crop: of a `RandomCrop`.
    flips: of `HorizontalFlip`s.
    shape: `h w c` of the images.
  """

  crop: Scoped | None
  flips: tuple[Scoped, ...]
  shape: tuple[int, int, int]

  @property
  def padding(self) -> tuple[int, str]:
    """Pixels on each side, and what they are: 'constant' (0) or 'reflect'."""
    return (self.crop.op.padding, self.crop.op.mode) if self.crop else (0, '')

  @property
  def size(self) -> tuple[int, int]:
    """Height and width of what is cut out."""
    if self.crop is None:
      return self.shape[:2]
    return self.crop.op.sides(*self.shape[:2])

  def __call__(self, draws: Draws) -> np.ndarray:
    """int32 `b 3`: top and left in the padded image, and whether mirrored."""
    corner = np.zeros((len(draws.record), 2), np.int64)
    if self.crop is not None:
      own = scoped(draws, self.crop.scope)
      corner = self.crop.op.corners(*self.shape[:2], own)
    mirrored = np.zeros(len(corner), bool)
    for flip in self.flips:
      mirrored ^= flip.op.chosen(scoped(draws, flip.scope))
    return np.concatenate([corner, mirrored[:, None]], 1).astype(np.int32)


def windows(chain: Chain, shape: tuple[int, ...]) -> Windows | None:
  """The chain as windows of images `h w c`; None if it does anything else."""
  ops = list(chain.ops)
  if not all(isinstance(op, Scoped) for op in ops):
    return None
  crop = None
  if ops and isinstance(ops[0].op, RandomCrop):
    crop = ops.pop(0)
  if not all(isinstance(op.op, HorizontalFlip) for op in ops):
    return None
  return Windows(crop, tuple(ops), tuple(shape))


@dataclasses.dataclass(frozen=True)
class Resident:
  """Training data whose images are sent to the devices once.

  Attributes:
    images: uint8 `n h w c`.
    windows: what is cut out of them.
    train: as `Data.train`, of batches whose `inputs` are int32 `b 4`: the
      number of the image, then what `windows` gives.
  """

  images: np.ndarray
  windows: Windows
  train: Callable[..., Any]
