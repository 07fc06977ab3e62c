"""Weights that other programs wrote, under our paths, in our axes' order."""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from recog_jax.errors import UserError

_NORM = {
  'weight': 'params/{}/scale',
  'bias': 'params/{}/bias',
  'gamma': 'params/{}/scale',
  'beta': 'params/{}/bias',
  'running_mean': 'batch_stats/{}/mean',
  'running_var': 'batch_stats/{}/var',
}
# What torch puts around a model: DataParallel and averages, torch.compile.
_WRAPPERS = ('module', '_orig_mod')
_LINEAR = {'weight': 'params/{}/kernel', 'bias': 'params/{}/bias'}


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a file lays out a model.

  Attributes:
    layers: dotted name of a layer there -> path of ours, with slashes.
    tensors: the same for tensors that belong to no layer.
    flattened: path of ours -> side of the image that torch flattens, channels
      first, in front of that layer.
    ignored: names of layers there that ours need not have.
    parts: of layers that are one of ours together, side by side in its outputs:
      dotted name -> path of ours, and the place among them.
  """

  layers: Mapping[str, str]
  tensors: Mapping[str, str] = dataclasses.field(default_factory=dict)
  flattened: Mapping[str, int] = dataclasses.field(default_factory=dict)
  ignored: tuple[str, ...] = ()
  parts: Mapping[str, tuple[str, int]] = dataclasses.field(default_factory=dict)

  def ignores(self, name: str) -> bool:
    """Whether a tensor of that name is none that ours need."""
    return any(f'{name}.'.startswith(f'{i}.') for i in self.ignored)


def _as_ours(
  value: np.ndarray, path: str, shape: tuple[int, ...], side: int
) -> np.ndarray:
  """A torch tensor in the order of our axes; the shape may still differ.

  Args:
    value: OIHW, OIW or OI kernels, or anything that has no such order.
    path: of our parameter.
    shape: of our parameter.
    side: of the image that torch flattens in front of a dense layer, or 0.
  """
  kernel = path.endswith('/kernel')
  if not value.size or (value.ndim == 2 and not kernel):
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
  if value.ndim == 3 and kernel:  # OIW to WIO.
    return value.transpose(2, 1, 0)
  if value.ndim == 3 and len(shape) == 2:  # torch's positions have a row axis.
    return value[0]
  return value


def _place(layout, key, ours):
  """Our path of a torch tensor, or None, and its place in it."""
  if key in layout.tensors:
    return f'params/{layout.tensors[key]}', 0
  layer, _, leaf = key.rpartition('.')
  if leaf.startswith('in_proj_'):
    layer, leaf = f'{layer}.in_proj', leaf.removeprefix('in_proj_')
  path, part = layout.parts.get(layer, (layout.layers.get(layer), 0))
  if path is None:
    return None, 0
  leaves = _NORM if f'params/{path}/scale' in ours else _LINEAR
  return (leaves[leaf].format(path) if leaf in leaves else None), part


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


def rows(
  module: nn.Module,
  layout_of: Callable[[nn.Module, set[str]], Layout | None],
  shapes: Mapping[str, Any],
  state: Mapping[str, np.ndarray],
  what: str,
  tell: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[str, str, np.ndarray]]:
  """Rows of our path, the name there, and the tensor, float32.

  Tensors that have no place here have their own name as path.

  Args:
    module: one of our models.
    layout_of: how a file with those tensors lays out the module; None: no
      other program has that model.
    shapes: its variables or their shapes, by path.
    state: tensors by their names in the file.
    what: the weights in error messages.
    tell: is called with what was left out of all names.

  Raises:
    UserError: no other program has this model; whole numbers, of which nothing
      says how large they are.
  """
  keys = sorted(k for k in state if not k.endswith('num_batches_tracked'))

  def placed(names):
    layout = layout_of(module, {*names})
    return sum(_place(layout, name, shapes)[0] in shapes for name in names)

  if layout_of(module, set()) is None:
    raise UserError(
      f'{type(module).__name__} has no torch counterpart, so {what} cannot be '
      'its weights; give a checkpoint of recog_jax.'
    )
  names, gone = _unwrapped(keys, placed)
  if gone:
    tell(f'names without {" and ".join(gone)}')
  layout = layout_of(module, {*names})
  together: dict[str, list[tuple[int, str, np.ndarray]]] = {}
  for key, name in zip(keys, names, strict=True):
    path, part = _place(layout, name, shapes)
    value = np.asarray(state[key])
    if path in shapes:
      if value.dtype.kind in 'iu':
        raise UserError(
          f'{what} holds {key} as {value.dtype} without a scale: give the '
          'weights before they were quantised, or a file with its scales.'
        )
      side = layout.flattened.get(path.split('/', 1)[1].rpartition('/')[0], 0)
      value = _as_ours(value, path, shapes[path].shape, side)
      if name.rpartition('.')[0] in layout.parts:
        together.setdefault(path, []).append((part, key, value))
      else:
        yield path, key, np.asarray(value, np.float32)
    elif not layout.ignores(name):
      yield key, key, value
  for path, found in together.items():
    found = sorted(found, key=lambda row: row[0])
    values = [np.asarray(value, np.float32) for _, _, value in found]
    # Those that do not fit each other do not fit ours, which is told there.
    fit = len({value.shape[:-1] for value in values}) == 1
    value = np.concatenate(values, -1) if fit and values[0].ndim else values[0]
    yield path, found[0][1], value


def written(
  layout: Layout, values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """A model's tensors by the names of a layout, in torch's order of axes.

  The opposite of `rows`, for dense layers, convolutions over time and norms.
  Where one of a layer's parts has no bias, it is that of keys.

  Args:
    layout: of our model.
    values: its variables by path.
  """
  found: dict[str, np.ndarray] = {}
  taken = set()
  for name, path in layout.tensors.items():
    path = f'params/{path}'
    if path in values and path not in taken:
      found[name] = _as_theirs(values[path], path)
      taken.add(path)
  for name, path in layout.layers.items():
    for leaf, ours in _leaves(path, values):
      if ours not in taken:
        found[f'{name}.{leaf}'] = _as_theirs(values[ours], ours)
  wholes: dict[str, list[tuple[int, str]]] = {}
  for name, (path, place) in layout.parts.items():
    wholes.setdefault(path, []).append((place, name))
  for path, parts in wholes.items():
    names = [name for _, name in sorted(parts)]
    for leaf, ours in _leaves(path, values):
      value = _as_theirs(values[ours], ours)
      size = values[f'params/{path}/kernel'].shape[1] // len(names)
      having = names
      if len(value) < size * len(names):
        having = [n for n in names if not n.rpartition('.')[2].startswith('k')]
      for name, part in zip(having, np.split(value, len(having)), strict=True):
        found[f'{name}.{leaf}'] = part
  return {name: np.ascontiguousarray(value) for name, value in found.items()}


def _leaves(path: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
  """(torch's leaf, our path) of a layer, as far as it has them."""
  seen = set()
  norm = f'params/{path}/scale' in values
  for leaf, form in (_NORM if norm else _LINEAR).items():
    ours = form.format(path)
    if ours in values and ours not in seen:
      seen.add(ours)
      yield leaf, ours


def _as_theirs(value: np.ndarray, path: str) -> np.ndarray:
  if not path.endswith('/kernel'):
    return value
  return value.T if value.ndim == 2 else value.transpose(2, 1, 0)
