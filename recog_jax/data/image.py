"""Chains of image ops from a config.

`[{'name': 'random_crop', 'padding': 4}, {'name': 'horizontal_flip'}]` becomes
one function of a batch. It runs on the host, in uint8, before the device
normalises.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recog_jax.data import ops
from recog_jax.data.image_affine import (
  Move,
  Rotation,
  Scaling,
  Translation,
  Warp,
)
from recog_jax.data.image_base import Images, scoped
from recog_jax.data.image_colour import ColourJitter
from recog_jax.data.image_erase import RandomErasing
from recog_jax.data.image_geometry import (
  CenterCrop,
  Cutout,
  HorizontalFlip,
  ProgressiveResize,
  RandomCrop,
  RandomResizedCrop,
  Resize,
  ResizeCenterCrop,
)
from recog_jax.data.randaugment import RandomAugment
from recog_jax.data.random import Draws

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
class Chain:
  """Ops one after the other; pickles, for worker processes."""

  ops: tuple[Op, ...]

  def __call__(self, images: Images, draws: Draws) -> Images:
    for op in self.ops:
      images = op(images, draws)
    return images


def make_op(spec: Mapping[str, Any]) -> Op:
  """One op from its name and its keys.

  Raises:
    UserError: an unknown name or key, a missing key, or a bad value.
  """
  return ops.make_op(spec, OPS, "{'name': 'random_crop', 'padding': 4}", {})


def make_augment(specs: Sequence[Mapping[str, Any]]) -> Chain:
  """A chain from a config.

  Each op's draws depend on its name and on how often that name came before, so
  adding an op changes nothing for ops of other names: runs with and without it
  stay comparable. Neighbouring rotations, scalings and translations of one
  border mode resample each image once.

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

  def kind(entry: tuple[str, Op]) -> Any:
    scope, op = entry
    return (op.mode,) if isinstance(op, Move) else scope

  chain = []
  for key, group in itertools.groupby(named, kind):
    group = tuple(group)
    moved = isinstance(key, tuple)
    chain.append(Warp(group) if moved else Scoped(*group[0]))
  return Chain(tuple(chain))
