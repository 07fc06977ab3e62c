"""Structured pruning: whole channels leave a network, which becomes smaller.

Li et al., "Pruning filters for efficient ConvNets", ICLR 2017
(arXiv:1608.08710) remove the filters of least weight, layer by layer; Liu et
al., "Learning efficient convolutional networks through network slimming", ICCV
2017 (arXiv:1708.06519) those of the least BatchNorm scale. What is left is a
dense model of other widths, which its factory builds.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.compress import channel_graph
from recog_jax.compress.channel_graph import Graph
from recog_jax.errors import UserError

Importance = Literal['magnitude', 'scale']
Scope = Literal['global', 'layer']
# Of the channels of a group that are pruned together so many stay, at least.
_LEAST = 1 / 8
_STEPS = 400


@dataclasses.dataclass(frozen=True)
class Plan:
  """Which channels stay.

  Attributes:
    graph: of the model.
    kept: bool, by channel.
  """

  graph: Graph
  kept: np.ndarray

  @property
  def channels(self) -> dict[str, int]:
    """{path of a convolution: its outputs}, of those that lost some.

    A depthwise one has as many as its input.
    """
    return {
      _place(p.path): int(self.kept[p.outs].sum())
      for p in sorted(self.graph.products, key=lambda p: p.path)
      if p.ins is not None and not self.kept[p.outs].all()
    }

  @property
  def share(self) -> float:
    """Of the multiply-adds, that is left."""
    everything = np.ones_like(self.kept)
    graph = self.graph
    return graph.multiply_adds(self.kept) / graph.multiply_adds(everything)

  def narrow(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of the smaller model, in the order that they had."""
    found = {path: np.asarray(value) for path, value in tensors.items()}
    for (path, axis), ids in self.graph.axes.items():
      found[path] = np.compress(self.kept[ids], found[path], axis)
    return found


def plan_of(
  module: nn.Module,
  shape: Sequence[int],
  tensors: Mapping[str, np.ndarray],
  *,
  macs: float,
  importance: Importance,
  scope: Scope,
) -> Plan:
  """Chooses the channels of an image model that stay; see `plan`.

  Args:
    module: the model.
    shape: of its images, `h w c`.
    tensors: its weights, by path.
    macs: see `plan`.
    importance: see `plan`.
    scope: see `plan`.
  """

  def logits(variables: Mapping[str, Any], x: Any) -> jax.Array:
    tree = flax.traverse_util.unflatten_dict(dict(variables), sep='/')
    return module.apply(tree, x, train=False)[0]

  x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
  graph = channel_graph.read(logits, tensors, x)
  return plan(graph, tensors, macs=macs, importance=importance, scope=scope)


def plan(
  graph: Graph,
  tensors: Mapping[str, np.ndarray],
  *,
  macs: float,
  importance: Importance = 'magnitude',
  scope: Scope = 'layer',
) -> Plan:
  """Chooses the channels that stay.

  Args:
    graph: of the model.
    tensors: its weights, by path.
    macs: the share of the multiply-adds that is left, at most.
    importance: see `scores`.
    scope: 'layer' keeps the same share of every group of channels that are
      pruned together; 'global' removes the least important of all groups.

  Raises:
    UserError: nothing can be removed, or not so much.
  """
  groups = _groups(graph)
  if not groups:
    raise UserError(
      'config.init_from.macs: no channel of this model can be removed: all of '
      'them are inputs, outputs, or in layers that are not followed'
    )
  importances = scores(graph, tensors, importance)
  ordered = [g[np.argsort(-importances[g], kind='stable')] for g in groups]
  least = [max(1, int(np.ceil(_LEAST * len(g)))) for g in groups]
  if scope == 'layer':
    choices = _by_layer(graph, ordered, least)
  else:
    choices = _global(graph, ordered, least, importances)
  kept = everything = np.ones(len(graph.free), bool)
  bound = macs * graph.multiply_adds(everything)
  for kept in choices:
    if graph.multiply_adds(kept) <= bound:
      return Plan(graph, kept)
  left = graph.multiply_adds(kept) / graph.multiply_adds(everything)
  raise UserError(
    f'config.init_from.macs={macs:g}: with an eighth of every layer left, '
    f'{left:.2f} of the multiply-adds are: take a larger share'
  )


def _groups(graph: Graph) -> list[np.ndarray]:
  """Free channels by the axes that they stand in."""
  where: dict[int, set[tuple[str, int]]] = {}
  for key, ids in graph.axes.items():
    for unit in np.unique(ids[graph.free[ids]]).tolist():
      where.setdefault(unit, set()).add(key)
  groups: dict[frozenset, list[int]] = {}
  for unit, keys in sorted(where.items()):
    groups.setdefault(frozenset(keys), []).append(unit)
  return [np.array(units) for units in groups.values()]


def _by_layer(
  graph: Graph, ordered: list[np.ndarray], least: list[int]
) -> Iterator[np.ndarray]:
  for step in range(_STEPS, -1, -1):
    kept = np.ones(len(graph.free), bool)
    for units, few in zip(ordered, least, strict=True):
      kept[units[max(few, round(step / _STEPS * len(units))) :]] = False
    yield kept


def _global(
  graph: Graph,
  ordered: list[np.ndarray],
  least: list[int],
  importances: np.ndarray,
) -> Iterator[np.ndarray]:
  pairs = zip(ordered, least, strict=True)
  units = np.concatenate([units[few:] for units, few in pairs])
  units = units[np.argsort(importances[units], kind='stable')]
  kept = np.ones(len(graph.free), bool)
  yield kept
  for start in range(len(units)):
    kept[units[start]] = False
    yield kept


def scores(
  graph: Graph, tensors: Mapping[str, np.ndarray], importance: Importance
) -> np.ndarray:
  """How much each channel matters; of one that several layers make, the mean.

  Of each layer the mean is 1, so that layers can be compared.

  Args:
    graph: of the model.
    tensors: its weights, by path.
    importance: 'magnitude' is the sum of the absolute weights of the filter (Li
      et al.), 'scale' the size of its BatchNorm's scale (Liu et al.), or 1
      where there is none. The first left more accuracy on both networks that
      were tried (experiments/RESULTS.md).

  Returns:
    float, by channel.
  """
  size = len(graph.free)
  total, count = np.zeros(size), np.zeros(size)
  for path, ids in graph.filters.items():
    if importance == 'scale':
      found = _scale(tensors, path)
    else:
      kernel = np.asarray(tensors[path], np.float64)
      found = np.abs(kernel).sum((0, 1, 2))
    found = np.broadcast_to(found, ids.shape)
    mean = found.mean()
    np.add.at(total, ids, found / mean if mean > 0 else found)
    np.add.at(count, ids, 1)
  return total / np.maximum(count, 1)


def _scale(tensors: Mapping[str, np.ndarray], path: str) -> Any:
  """The size of the scale of the BatchNorm after a convolution, else 1."""
  norm = _norm_after(_place(path), tensors)
  if norm is None:
    return 1.0
  return np.abs(np.asarray(tensors[f'params/{norm}/scale'], np.float64))


def _place(path: str) -> str:
  """The layer of a kernel."""
  return path.removeprefix('params/').removesuffix('/kernel')


def _norm_after(place: str, tensors: Mapping[str, Any]) -> str | None:
  """The BatchNorm of a convolution: `norm1` of `conv1`, `x_norm` of `x`."""
  head, _, last = place.rpartition('/')
  names = (last.replace('conv', 'norm'), f'{last}_norm')
  for name in names:
    norm = f'{head}/{name}' if head else name
    if norm != place and f'params/{norm}/scale' in tensors:
      return norm
  return None
