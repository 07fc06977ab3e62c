"""Seeded images of any shape and number, for tests and trials of speed.

Every class has a smooth pattern of its own and every record adds noise to it,
so that a model's loss falls within a few steps.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image import records
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import Count, Range, Seed, Size

# A record's noise is the sum of two images of a bank of this size: two look-ups
# where fresh noise for 224x224x3 would cost milliseconds a record.
_BANK = 61
_GRID = 4
# Each class has a pattern, and a name.
_Classes = Annotated[int, Range(1, 1 << 20)]


class Fake:
  """Generated images as a source; see `base.Source`."""

  def __init__(
    self,
    shape: tuple[int, int, int],
    num_classes: _Classes,
    sizes: dict[str, int],
    seed: int,
    groups: Mapping[str, int] = {},
  ):
    self.info = records.Info(
      'fake', shape, tuple(f'class_{i}' for i in range(num_classes))
    )
    self._sizes = sizes
    self._seed, self._groups = seed, dict(groups)

  def sizes(self) -> dict[str, int]:
    return dict(self._sizes)

  def records(self, split: str) -> 'FakeRecords':
    if split not in self._sizes:
      raise unknown_name('split', split, self._sizes)
    shape, classes = self.info.shape, len(self.info.label_names)
    return FakeRecords(
      shape, classes, self._sizes[split], self._seed, split, self._groups
    )

  def fingerprint(self) -> str:
    classes = len(self.info.label_names)
    text = f'fake-1-{self.info.shape}-{classes}-{self._sizes}-{self._seed}'
    return f'{text}-{self._groups}' if self._groups else text


class FakeRecords:
  """One split of generated images; pictures are made when they are taken."""

  in_memory: ClassVar[bool] = True
  uniform: ClassVar[bool] = True

  def __init__(
    self,
    shape,
    num_classes: int,
    size: int,
    seed: int,
    split: str,
    groups: Mapping[str, int] = {},
  ):
    self._seed, self._split, self._groups = seed, split, groups
    rng = np.random.default_rng([seed, 0])
    self._pattern = _patterns(rng, shape, num_classes)
    self._bank = rng.integers(-24, 25, (_BANK, *shape), dtype=np.int16)
    # Balanced: each class once in every `num_classes` numbers, then shuffled.
    number = np.arange(size)
    order = np.argsort(self._draws(number).bits('label'), kind='stable')
    self._label = (order % num_classes).astype(np.int32)
    self._number = order // num_classes  # Within its class.

  def __len__(self) -> int:
    return len(self._label)

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    label = self._label[ids]
    first, second = (
      self._draws(np.asarray(ids)).integers('noise', _BANK, (2,)).T
    )
    image = self._bank[first] + self._pattern[label]
    image -= self._bank[second]
    return {'image': np.clip(image, 0, 255).astype(np.uint8), 'label': label}

  def labels(self) -> np.ndarray:
    return self._label

  def fields(self, ids: np.ndarray) -> dict[str, list[str]]:
    pairs = list(zip(self._label[ids], self._number[ids], strict=True))
    return {
      name: [f'{self._split}-{label}-{k // size}' for label, k in pairs]
      for name, size in self._groups.items()
    }

  def _draws(self, ids: np.ndarray) -> Draws:
    split = np.full(ids.shape, zlib.crc32(self._split.encode()))
    return Draws(seed=self._seed, epoch=split, record=ids)


def fake(
  *,
  shape: Sequence[Size],
  num_classes: _Classes,
  sizes: Mapping[str, Count],
  seed: Seed,
  groups: Mapping[str, Size] = {},
  data_dir: Any = None,
) -> Fake:
  """Generated images; the same seed gives the same images everywhere.

  Args:
    shape: (h, w, c) of every image.
    num_classes: number of classes, in equal shares.
    sizes: records of each split, for example {'train': 512, 'test': 128}.
    seed: of patterns, labels and noise.
    groups: {'slide': 4}, for example: fields, and how many records of a class
      share a value.
    data_dir: unused; every source takes it.

  Raises:
    UserError: a size below one, or a shape that is not (h, w, c).
  """
  del data_dir
  shape, sizes = tuple(int(d) for d in shape), dict(sizes)
  if len(shape) != 3 or min(shape) < 1:
    raise UserError(f'source.shape must be (height, width, channels): {shape}')
  if num_classes < 1 or not sizes or min(sizes.values()) < 1:
    raise UserError(
      'source.num_classes and every one of source.sizes must be at least 1; '
      f'they are {num_classes} and {sizes}'
    )
  return Fake(shape, num_classes, sizes, seed, groups)


def _patterns(rng: np.random.Generator, shape, num_classes: int) -> np.ndarray:
  """uint8 `v h w c` in [64, 192): a coarse random grid, made smooth."""
  h, w, c = shape
  grid = rng.uniform(64, 192, (num_classes, _GRID, _GRID, c))

  def weights(size: int) -> np.ndarray:
    """Linear interpolation as a matrix, `size grid`."""
    at = np.linspace(0, _GRID - 1, size)[:, None]
    return np.clip(1 - np.abs(at - np.arange(_GRID)), 0, 1)

  smooth = np.einsum('hi,wj,vijc->vhwc', weights(h), weights(w), grid)
  return smooth.astype(np.uint8)
