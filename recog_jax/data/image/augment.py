"""Chains of image ops from a config.

`[{'name': 'random_crop', 'padding': 4}, {'name': 'horizontal_flip'}]` becomes
one function of a batch. It runs on the host, in uint8, before the device
normalises.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recog_jax.data import ops
from recog_jax.data.draws import Draws, scoped
from recog_jax.data.image.affine import (
  Move,
  Rotation,
  Scaling,
  Translation,
  Warp,
)
from recog_jax.data.image.base import Images
from recog_jax.data.image.colour import ColourJitter
from recog_jax.data.image.erase import RandomErasing
from recog_jax.data.image.geometry import (
  CenterCrop,
  Cutout,
  Empty,
  HorizontalFlip,
  ProgressiveResize,
  RandomCrop,
  RandomResizedCrop,
  Resize,
  ResizeCenterCrop,
)
from recog_jax.data.image.randaugment import RandomAugment

Op = Callable[[Images, Draws], Images]

OPS: dict[str, Callable[..., Op]] = {
  'center_crop': CenterCrop,
  'colour_jitter': ColourJitter,
  'cutout': Cutout,
  'horizontal_flip': HorizontalFlip,
  'progressive_resize': ProgressiveResize,
  'random_augment': RandomAugment,
  'random_crop': RandomCrop,
  'random_erasing': RandomErasing,
  'random_resized_crop': RandomResizedCrop,
  'resize': Resize,
  'resize_center_crop': ResizeCenterCrop,
  'rotation': Rotation,
  'scaling': Scaling,
  'translation': Translation,
}


@dataclasses.dataclass(frozen=True)
class Scoped:
  """An op with draws of its own.

  Attributes:
    scope: no other op of the chain has this one.
    op: draws under that scope.
  """

  scope: str
  op: Op

  def __call__(self, images: Images, draws: Draws) -> Images:
    return self.op(images, scoped(draws, self.scope))


@dataclasses.dataclass(frozen=True)
class Crop:
  """A crop, and flips of it, written once: no image is copied for a flip.

  Attributes:
    crop: of an op that takes `empty`.
    flips: of `HorizontalFlip`.
  """

  crop: Scoped
  flips: tuple[Scoped, ...]

  kinds: ClassVar = (RandomResizedCrop, ResizeCenterCrop)

  def __call__(
    self, images: Images, draws: Draws, empty: Empty = np.empty
  ) -> np.ndarray:
    out = self.crop.op(images, scoped(draws, self.crop.scope), empty)
    rows = np.asarray(out)
    for flip in self.flips:
      flip.op.flip(rows, scoped(draws, flip.scope), rows)
    return out


@dataclasses.dataclass(frozen=True)
class Chain:
  """Ops one after the other; pickles, for worker processes."""

  ops: tuple[Op, ...]

  @property
  def from_files(self) -> bool:
    """Whether it takes a list of `picture.Picture` as images."""
    first = self.ops[0] if self.ops else None
    if isinstance(first, Crop):
      first = first.crop
    return isinstance(first, Scoped) and getattr(first.op, 'from_files', False)

  def __call__(
    self, images: Images, draws: Draws, empty: Empty = np.empty
  ) -> Images:
    """What the config's ops make of some images.

    Args:
      images: see `data.image_geometry`.
      draws: of the same rows.
      empty: makes the array for the result, given shape and dtype; used where
        the chain is a crop and flips, the others allocate for themselves.
    """
    if len(self.ops) == 1 and isinstance(self.ops[0], Crop):
      return self.ops[0](images, draws, empty)
    for op in self.ops:
      images = op(images, draws)
    return images


def make_op(spec: Mapping[str, Any]) -> Op:
  """One op from its name and its keys.

  Raises:
    UserError: an unknown name or key, a missing key, or a bad value.
  """
  example = "{'name': 'random_crop', 'padding': 4}"
  return ops.make_op('augmentation', spec, example)


def make_augment(specs: Sequence[Mapping[str, Any]]) -> Chain:
  """A chain from a config.

  Each op's draws depend on its name and on how often that name came before, so
  adding an op changes nothing for ops of other names: runs with and without it
  stay comparable. Neighbouring rotations, scalings and translations of one
  border mode resample each image once; a flip after a crop is done in place.

  Args:
    specs: `name` and the op's keys, each.

  Returns:
    A function of (images, draws), see `data.image_geometry`.

  Raises:
    UserError: an unknown name or key, a missing key, or a bad value.
  """
  seen = collections.Counter()
  named = []
  for spec in specs:
    op = make_op(spec)
    name = spec['name']
    named.append((f'{name}{seen[name]}', op))
    seen[name] += 1

  chain = []
  for key, group in itertools.groupby(named, _kind):
    group = tuple(group)
    if isinstance(key, tuple):
      chain.append(Warp(group))
      continue
    op = Scoped(*group[0])
    if isinstance(op.op, Crop.kinds):
      chain.append(Crop(op, ()))
    elif isinstance(op.op, HorizontalFlip) and _ends_in_crop(chain):
      chain[-1] = Crop(chain[-1].crop, (*chain[-1].flips, op))
    else:
      chain.append(op)
  return Chain(tuple(chain))


def _ends_in_crop(chain: Sequence[Op]) -> bool:
  return bool(chain) and isinstance(chain[-1], Crop)


def _kind(entry: tuple[str, Op]) -> Any:
  """What neighbours that are done at once have in common."""
  scope, op = entry
  return (op.mode,) if isinstance(op, Move) else scope
