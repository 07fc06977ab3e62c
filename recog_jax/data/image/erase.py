"""Random erasing of uint8 images in host memory."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image.base import one_shape
from recog_jax.data.ops import check
from recog_jax.ranges import Positive, Range, Share

# As torchvision: an image in which no rectangle fitted so often stays whole.
_TRIES = 10


@dataclasses.dataclass(frozen=True)
class RandomErasing:
  """Replaces a random rectangle of some images.

  Zhong et al., "Random erasing data augmentation", AAAI 2020 (arXiv
  1708.04896). Area and aspect ratio are drawn, the ratio uniformly in its
  logarithm as torchvision and timm have it, until the rectangle is smaller
  than the image.

  Attributes:
    probability: share of the images with a rectangle.
    area: smallest and largest, as a fraction of the image's; the paper's are
      0.02 and 0.4, torchvision's and timm's 0.02 and 1/3.
    ratio: lowest and highest height / width.
    fill: grey value, 0 to 255, of the rectangle. torchvision and timm fill
      with zeros after normalisation, that is with the mean colour: hence the
      middle grey here.
    noise: fill with random values instead, one for each pixel and channel, the
      paper's best.
  """

  probability: Share = 0.5
  area: Sequence[Positive] = (0.02, 1 / 3)
  ratio: Sequence[Positive] = (0.3, 1 / 0.3)
  fill: Annotated[int, Range(0, 255)] = 128
  noise: bool = False

  def __post_init__(self):
    check(
      0.0 <= self.probability <= 1.0,
      'random_erasing',
      f'probability is in [0, 1], not {self.probability}',
    )
    check(
      len(self.area) == 2 and 0 < self.area[0] <= self.area[1] < 1,
      'random_erasing',
      f'area is (smallest, largest) in (0, 1), not {self.area}',
    )
    check(
      len(self.ratio) == 2 and 0 < self.ratio[0] <= self.ratio[1],
      'random_erasing',
      f'ratio is (lowest, highest), not {self.ratio}',
    )
    check(
      0 <= self.fill <= 255,
      'random_erasing',
      f'fill is in 0 to 255, not {self.fill}',
    )

  def boxes(self, h: int, w: int, draws: Draws) -> np.ndarray:
    """int64 `b 4`: top, left, height, width; height 0 where none is erased."""
    area = draws.uniform('area', (_TRIES,), *self.area).astype(np.float64)
    ratio = np.exp(draws.uniform('ratio', (_TRIES,), *np.log(self.ratio)))
    sides = np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=-1)
    tries = np.rint(sides * np.sqrt(h * w)).astype(np.int64)
    fits = ((tries > 0) & (tries < (h, w))).all(axis=-1)
    box = tries[np.arange(len(tries)), fits.argmax(axis=1)]
    erased = draws.uniform('apply') < self.probability
    box[~(erased & fits.any(axis=1))] = 0
    room = np.array([h, w]) - box + 1
    corner = (draws.uniform('place', (2,)) * room).astype(np.int64)
    return np.concatenate([corner, box], axis=1)

  def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
    out = one_shape(images, 'random_erasing').copy()
    boxes = self.boxes(*out.shape[1:3], draws)
    for i in np.flatnonzero(boxes[:, 2]).tolist():
      top, left, h, w = boxes[i].tolist()
      part = out[i, top : top + h, left : left + w]
      part[...] = self._noise(draws, i, part.shape) if self.noise else self.fill
    return out

  def _noise(
    self, draws: Draws, row: int, shape: tuple[int, ...]
  ) -> np.ndarray:
    """uint8 of that shape, of one row's own draws."""
    one = slice(row, row + 1)
    own = dataclasses.replace(
      draws, epoch=draws.epoch[one], record=draws.record[one]
    )
    return own.integers('noise', 256, shape)[0].astype(np.uint8)
