"""Weights of torchvision and timm as variables of our image models."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import numpy as np

from recog_jax.errors import UserError, listed
from recog_jax.models.image.torch_names import layout_of

_NORM = {
  'weight': 'params/{}/scale',
  'bias': 'params/{}/bias',
  'running_mean': 'batch_stats/{}/mean',
  'running_var': 'batch_stats/{}/var',
}
# What torch puts around a model: DataParallel and averages, torch.compile.
_WRAPPERS = ('module', '_orig_mod')
_LINEAR = {'weight': 'params/{}/kernel', 'bias': 'params/{}/bias'}


def _as_ours(
  value: np.ndarray, shape: tuple[int, ...], side: int
) -> np.ndarray:
  """A torch tensor in the order of our axes; the shape may still differ.

  Args:
    value: OIHW or OI kernels, or anything that has no such order.
    shape: of our parameter.
    side: of the image that torch flattens in front of a dense layer, or 0.
  """
  if not value.size:
    return value
  if value.ndim == 4:  # OIHW to HWIO; a dense layer may stand for it.
    value = value.transpose(2, 3, 1, 0)
    return value.reshape(-1, value.shape[-1]) if len(shape) == 2 else value
  if value.ndim == 2 and side and value.shape[1] % side**2 == 0:
    value = value.reshape(len(value), -1, side, side).transpose(2, 3, 1, 0)
    return value.reshape(-1, value.shape[-1])
  if value.ndim == 2 and len(shape) == 4:
    return value.T[None, None]
  if value.ndim == 2:
    return value.T
  if value.ndim == 3 and len(shape) == 2:  # torch's positions have a row axis.
    return value[0]
  return value


def _place(layout, key, ours):
  """Our path of a torch tensor, or None."""
  if key in layout.tensors:
    return f'params/{layout.tensors[key]}'
  layer, _, leaf = key.rpartition('.')
  if leaf.startswith('in_proj_'):
    layer, leaf = f'{layer}.in_proj', leaf.removeprefix('in_proj_')
  path = layout.layers.get(layer)
  if path is None:
    return None
  leaves = _NORM if f'params/{path}/scale' in ours else _LINEAR
  return leaves[leaf].format(path) if leaf in leaves else None


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
  rows = _translated(module, shapes, state, what, tell)
  return {path: value for path, _, value in rows}


def _unwrapped(
  keys: Sequence[str], placed: Callable[[Sequence[str]], int]
) -> tuple[list[str], list[str]]:
  """The names that tensors have without the wrappers of their model.

  Args:
    keys: their names.
    placed: how many of some names have a place in our model.

  Returns:
    The names in the same order, and the wrappers.
  """
  names, gone = [*keys], []
  for wrapper in (*_WRAPPERS, None):
    if wrapper:
      inner = [
        '.'.join(p for p in name.split('.') if p != wrapper) or name
        for name in names
      ]
    else:  # A program's own name for its model, if without it more fit.
      first = collections.Counter(n.partition('.')[0] for n in names)
      wrapper = max(first, key=lambda name: first[name], default='')
      inner = [name.removeprefix(f'{wrapper}.') for name in names]
      if placed(inner) <= placed(names):
        continue
    if inner != names and len({*inner}) == len(inner):
      names = inner
      gone.append(f'{wrapper}.')
  return names, gone


def _translated(module, shapes, state, what, tell=lambda _: None):
  """Rows of our path, torch's name and the tensor."""
  keys = sorted(k for k in state if not k.endswith('num_batches_tracked'))

  def placed(names):
    layout = layout_of(module, {*names})
    return sum(_place(layout, name, shapes) in shapes for name in names)

  if layout_of(module, set()) is None:
    raise UserError(
      f'{type(module).__name__} has no torch counterpart, so {what} cannot be '
      'its weights; give a checkpoint of recog_jax.'
    )
  names, gone = _unwrapped(keys, placed)
  if gone:
    tell(f'names without {" and ".join(gone)}')
  layout = layout_of(module, {*names})
  for key, name in zip(keys, names, strict=True):
    path = _place(layout, name, shapes)
    value = np.asarray(state[key])
    if path in shapes:
      side = layout.flattened.get(path.split('/', 1)[1].rpartition('/')[0], 0)
      value = _as_ours(value, shapes[path].shape, side)
      yield path, key, np.asarray(value, np.float32)
    elif name.split('.')[0] not in layout.ignored:
      yield key, key, value


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
  rows = list(_translated(module, ours, state, what))
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
