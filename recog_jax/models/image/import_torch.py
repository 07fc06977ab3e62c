"""Weights of torchvision and timm as variables of our image models."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import numpy as np

from recog_jax.errors import UserError, listed
from recog_jax.models.image.torch_names import layout_of
from recog_jax.models.layers import foreign


def translate(
  module: nn.Module,
  shapes: Mapping[str, Any],
  state: Mapping[str, np.ndarray],
  *,
  what: str = 'the weights',
  tell: Callable[[str], None] = lambda _: None,
) -> dict[str, np.ndarray]:
  """A torch state under our paths and in the order of our axes.

  Args:
    module: one of our image models.
    shapes: its variables or their shapes, by path: `params/head/kernel`.
    state: tensors by torchvision's or timm's names.
    what: the weights in error messages.
    tell: is called with what was left out of all names.

  Returns:
    {our path: float32 tensor}, whose shape may be that of other classes or
    another image size; tensors that have no place here by their torch name.

  Raises:
    UserError: no torch library has this model.
  """
  rows = foreign.rows(module, layout_of, shapes, state, what, tell)
  return {path: value for path, _, value in rows}


def from_torch(
  module: nn.Module,
  shapes: Mapping[str, Any],
  state: Mapping[str, np.ndarray],
  *,
  what: str = 'the weights',
  skip_head: bool = False,
) -> dict[str, Any]:
  """Variables of a model from a torch state of the same architecture.

  Args:
    module: one of our image models.
    shapes: its variables, or their shapes as of `jax.eval_shape`.
    state: tensors by torchvision's or timm's names.
    what: the weights in error messages.
    skip_head: leave out the head and auxiliary heads, which belong to other
      classes; they are not in the result then.

  Returns:
    `params` and, where the model has them, `batch_stats`, float32.

  Raises:
    UserError: weights of another architecture or number of classes; says which
      tensors differ.
  """
  ours = flax.traverse_util.flatten_dict(dict(shapes), sep='/')
  rows = list(foreign.rows(module, layout_of, ours, state, what))
  found, names = {p: v for p, _, v in rows}, {p: k for p, k, _ in rows}
  if skip_head:
    ours = {k: v for k, v in ours.items() if not _is_head(k)}
    found = {k: v for k, v in found.items() if k in ours or not _is_head(k)}
  differing = {
    path: f'{names[path]} {found[path].shape} for {path} {leaf.shape}'
    for path, leaf in ours.items()
    if path in found and found[path].shape != leaf.shape
  }
  problems = [
    f'{title}: {listed(sorted(names))}'
    for title, names in (
      ('not in this model', {*found} - {*ours}),
      ('missing', {*ours} - {*found}),
      ('of another shape', differing.values()),
    )
    if names
  ]
  if problems:
    hint = ''
    if differing and all(map(_is_head, differing)):
      hint = ', or leave out the head for other classes'
    raise UserError(
      f'{what} are not those of this {type(module).__name__}. '
      f'Tensors {"; ".join(problems)}. Choose the model that they belong to'
      f'{hint}.'
    )
  return flax.traverse_util.unflatten_dict(found, sep='/')


def _is_head(path: str) -> bool:
  """Whether the parameter depends on the number of classes."""
  parts = path.split('/')
  return len(parts) > 2 and (parts[-2] == 'head' or parts[1].startswith('aux'))
