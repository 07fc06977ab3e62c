"""Which axes of which weights are one channel, read from a model's jaxpr.

A channel that leaves a network leaves several weights at once: a filter, its
BatchNorm, the inputs of all that read it; and what a residual addition or a
depthwise convolution ties to it. Nothing of that is written down for a model:
every value of the trace is followed with the number of the channel that each of
its entries belongs to. What moves data moves the numbers; what adds two values
ties their channels; a kernel takes those of its input and begins new ones. What
is not known here keeps its channels.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from recog_jax import tracing

# The number of all channels that stay: inputs, outputs, what is not known.
FIXED = 0
# Of entries that belong to none, such as the zeros of padding.
_NONE = -1
_KERNEL = '/kernel'
# fmt: off
_ELEMENTWISE = frozenset((
  'abs', 'add', 'and', 'clamp', 'convert_element_type', 'copy', 'copy_p',
  'cos', 'div', 'eq', 'erf', 'exp', 'exp2', 'expm1', 'floor', 'ge', 'gt',
  'integer_pow', 'is_finite', 'le', 'log', 'log1p', 'logistic', 'lt', 'max',
  'min', 'mul', 'ne', 'neg', 'not', 'or', 'pow', 'reduce_precision',
  'rsqrt', 'select_n', 'sign', 'sin', 'sqrt', 'square', 'stop_gradient',
  'sub', 'tanh',
))
# fmt: on
_REDUCTIONS = ('reduce_sum', 'reduce_max', 'reduce_min', 'reduce_prod')
_WINDOWS = ('reduce_window_max', 'reduce_window_min', 'reduce_window_sum')


@dataclasses.dataclass(frozen=True)
class Product:
  """A convolution or a dense layer.

  Attributes:
    path: of its kernel.
    cost: multiply-adds for one channel in and one channel out.
    ins: channels of its input; of a depthwise convolution none.
    outs: channels of its output.
  """

  path: str
  cost: int
  ins: np.ndarray | None
  outs: np.ndarray


@dataclasses.dataclass(frozen=True)
class Graph:
  """Channels of a model.

  Attributes:
    axes: (path of a weight, axis) -> the channel of each of its indices.
    products: all of them, from the input on.
    free: channels that may leave: begun by a convolution, and not `FIXED`.
  """

  axes: Mapping[tuple[str, int], np.ndarray]
  products: Sequence[Product]
  free: np.ndarray

  def multiply_adds(self, kept: np.ndarray) -> int:
    """Those of one image.

    Args:
      kept: bool, by channel.
    """
    total = 0
    for product in self.products:
      ins = 1 if product.ins is None else int(kept[product.ins].sum())
      total += product.cost * ins * int(kept[product.outs].sum())
    return total

  @property
  def filters(self) -> dict[str, np.ndarray]:
    """{path of a kernel: channels that its convolution begins or continues}."""
    return {
      path: ids
      for (path, axis), ids in self.axes.items()
      if path.endswith(_KERNEL) and axis == 3
    }


@dataclasses.dataclass
class _Value:
  """Of a variable of the jaxpr.

  Attributes:
    ids: the channel of each entry, in the variable's shape.
    kernel: the path of the weight that it is.
    const: whether it depends on no input and no weight.
  """

  ids: np.ndarray
  kernel: str | None = None
  const: bool = False


def read(
  function: Callable[..., jax.Array], variables: Mapping[str, Any], x: Any
) -> Graph:
  """Follows the channels of a model.

  Args:
    function: ({path: array}, images `1 h w c`) -> outputs; nothing is computed.
    variables: arrays or shapes, by path, as `params/stem_conv/kernel`.
    x: shape and dtype of the images.
  """
  names = sorted(variables)
  shapes = [
    jax.ShapeDtypeStruct(variables[k].shape, variables[k].dtype) for k in names
  ]

  def call(leaves: list[Any], images: Any) -> Any:
    return function(dict(zip(names, leaves, strict=True)), images)

  with tracing.target_backend('tpu'):  # Plain convolutions.
    closed = jax.make_jaxpr(call)(shapes, x)
  walk = _Walk()
  values = [
    walk.weight(name, leaf.shape)
    for name, leaf in zip(names, shapes, strict=True)
  ]
  values.append(_Value(walk.fixed(x.shape)))
  for value in walk.run(closed.jaxpr, closed.consts, values):
    walk.tie(value.ids, walk.fixed(value.ids.shape))
  return walk.graph()


class _Walk:
  """Goes through a jaxpr once."""

  def __init__(self):
    self._parent = [FIXED]
    self._axes: dict[tuple[str, int], np.ndarray] = {}
    self._products: list[Product] = []

  # -- channels ----------------------------------------------------------------

  def _new(self, count: int) -> np.ndarray:
    first = len(self._parent)
    self._parent.extend(range(first, first + count))
    return np.arange(first, first + count)

  def _find(self, unit: int) -> int:
    while self._parent[unit] != unit:
      self._parent[unit] = self._parent[self._parent[unit]]
      unit = self._parent[unit]
    return unit

  def fixed(self, shape: Sequence[int]) -> np.ndarray:
    return np.broadcast_to(np.asarray(FIXED), tuple(shape))

  def tie(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Makes the channels of two arrays of one shape the same."""
    shape = a.shape
    a, b = np.broadcast_arrays(_core(a), _core(b))
    both = (a != _NONE) & (b != _NONE) & (a != b)
    for pair in np.unique(np.stack([a[both], b[both]]), axis=1).T:
      one, other = sorted(map(self._find, pair.tolist()))
      self._parent[other] = one
    return np.broadcast_to(np.where(a == _NONE, b, a), shape)

  def weight(self, path: str, shape: Sequence[int]) -> _Value:
    """A weight: a kernel waits for its product, a vector has channels."""
    if len(shape) == 1:
      ids = self._axes[path, 0] = self._new(shape[0])
      return _Value(ids)
    return _Value(self.fixed(shape), kernel=path)

  def graph(self) -> Graph:
    roots = np.array([self._find(unit) for unit in range(len(self._parent))])
    found = Graph(
      axes={key: roots[ids] for key, ids in self._axes.items()},
      products=[
        dataclasses.replace(
          p,
          ins=None if p.ins is None else roots[p.ins],
          outs=roots[p.outs],
        )
        for p in self._products
      ],
      free=np.zeros(len(roots), bool),
    )
    for ids in found.filters.values():
      found.free[ids] = True
    found.free[FIXED] = False
    return found

  # -- the jaxpr ---------------------------------------------------------------

  def run(
    self, jaxpr: Any, consts: Sequence[Any], values: Sequence[_Value]
  ) -> list[_Value]:
    known: dict[Any, _Value] = {}
    for var, const in zip(jaxpr.constvars, consts, strict=True):
      known[var] = self._constant(np.shape(const))
    known.update(zip(jaxpr.invars, values, strict=True))

    def value(atom: Any) -> _Value:
      if isinstance(atom, core.Literal):
        return self._constant(np.shape(atom.val))
      return known[atom]

    for eqn in jaxpr.eqns:
      given = [value(atom) for atom in eqn.invars]
      found = self._apply(eqn, given)
      known.update(zip(eqn.outvars, found, strict=True))
    return [value(atom) for atom in jaxpr.outvars]

  def _constant(self, shape: Sequence[int]) -> _Value:
    """One number, which goes with all channels, or several, which do not."""
    unit = FIXED if math.prod(shape) > 1 else _NONE
    return _Value(np.broadcast_to(np.asarray(unit), shape), const=True)

  def _apply(self, eqn: Any, given: list[_Value]) -> list[_Value]:
    name = eqn.primitive.name
    if (inner := _inner(eqn)) is not None:
      return self.run(inner.jaxpr, inner.consts, given)
    if name in ('convert_element_type', 'stop_gradient', 'copy'):
      return [given[0]]
    kernel = given[1].kernel if len(given) > 1 else None
    if name == 'conv_general_dilated' and kernel:
      return [self._convolution(eqn, given[0].ids, kernel)]
    if name == 'dot_general':
      return [self._product(eqn, *given)]
    shape = eqn.outvars[0].aval.shape if len(eqn.outvars) == 1 else None
    ids = None
    if shape is not None and not any(value.kernel for value in given):
      ids = self._moved(eqn, name, [value.ids for value in given], shape)
    if ids is not None:
      return [_Value(ids, const=all(value.const for value in given))]
    return self._unknown(eqn, given)

  def _unknown(self, eqn: Any, given: list[_Value]) -> list[_Value]:
    const = all(value.const for value in given)
    if not const:
      for value in given:
        self.tie(value.ids, self.fixed(value.ids.shape))
    return [
      self._constant(v.aval.shape)
      if const
      else _Value(self.fixed(v.aval.shape))
      for v in eqn.outvars
    ]

  def _moved(
    self, eqn: Any, name: str, ids: list[np.ndarray], shape: Sequence[int]
  ) -> np.ndarray | None:
    """The channels of what moves, adds or compares entries; None: unknown."""
    keys = eqn.params
    if name in _ELEMENTWISE:
      found = np.broadcast_to(np.asarray(_NONE), shape)
      for one in ids:
        found = self.tie(found, np.broadcast_to(one, shape))
      return found
    if name in _REDUCTIONS:
      return _flat_along(ids[0], keys['axes'])
    if name in _WINDOWS and keys['window_dimensions'][-1] == 1:
      spatial = tuple(range(ids[0].ndim - 1))
      flat = _flat_along(ids[0], spatial, keep=True)
      return None if flat is None else np.broadcast_to(flat, shape)
    if name == 'broadcast_in_dim':
      places = keys['broadcast_dimensions']
      axes = tuple(i for i in range(len(shape)) if i not in places)
      return np.broadcast_to(np.expand_dims(ids[0], axes), shape)
    if name in ('reshape', 'squeeze', 'expand_dims'):
      return ids[0].reshape(shape)
    if name == 'transpose':
      return ids[0].transpose(keys['permutation'])
    if name == 'rev':
      return np.flip(ids[0], keys['dimensions'])
    if name == 'slice':
      begin, end = keys['start_indices'], keys['limit_indices']
      steps = keys['strides'] or (1,) * len(begin)
      return ids[0][tuple(map(slice, begin, end, steps))]
    if name == 'concatenate':
      return np.concatenate(ids, keys['dimension'])
    if name == 'pad':
      return _padded(ids[0], keys['padding_config'])
    return None

  # -- products ----------------------------------------------------------------

  def _convolution(self, eqn: Any, ids: np.ndarray, path: str) -> _Value:
    keys, shape = eqn.params, eqn.outvars[0].aval.shape
    kh, kw, each, outputs = eqn.invars[1].aval.shape
    groups = keys['feature_group_count']
    numbers = keys['dimension_numbers']
    usual = numbers.lhs_spec == (0, 3, 1, 2) == numbers.out_spec
    usual = usual and numbers.rhs_spec == (3, 2, 0, 1)
    ins = _flat_along(ids, (0, 1, 2))
    depthwise = usual and each == 1 and groups == outputs > 1
    if ins is None or not usual or (groups > 1 and not depthwise):
      self.tie(ids, self.fixed(ids.shape))
      return _Value(self.fixed(shape))
    positions = math.prod(shape[1:3]) * kh * kw
    outs = ins if depthwise else self._begun(path, outputs)
    self._take(path, 3, outs)
    if not depthwise:
      self._take(path, 2, ins)
    self._products.append(
      Product(path, positions, None if depthwise else ins, outs)
    )
    return _Value(np.broadcast_to(outs, shape))

  def _begun(self, path: str, count: int) -> np.ndarray:
    """New channels; of what is no layer, such as whitening, they stay."""
    if path.endswith(_KERNEL):
      return self._new(count)
    return np.full(count, FIXED)

  def _product(self, eqn: Any, x: _Value, other: _Value) -> _Value:
    """A dense layer, whose outputs stay, or a sum with numbers of the model."""
    (left, right), (batch, _) = eqn.params['dimension_numbers']
    shape = eqn.outvars[0].aval.shape
    last = (x.ids.ndim - 1,)
    if other.kernel and other.ids.ndim == 2 and (left, right) == (last, (0,)):
      ins = _flat_along(x.ids, tuple(range(x.ids.ndim - 1)))
      if ins is not None:
        outs = np.full(other.ids.shape[1], FIXED)
        self._take(other.kernel, 0, ins)
        cost = math.prod(shape[1:-1])
        self._products.append(Product(other.kernel, cost, ins, outs))
        return _Value(self.fixed(shape))
    if other.const and not batch:
      flat = _flat_along(x.ids, left)
      if flat is not None:
        new = len(shape) - flat.ndim
        flat = flat.reshape(flat.shape + (1,) * new)
        return _Value(np.broadcast_to(flat, shape), const=x.const)
    (found,) = self._unknown(eqn, [x, other])
    return found

  def _take(self, path: str, axis: int, ids: np.ndarray) -> None:
    """An axis of a kernel has these channels, also where it is used twice."""
    known = self._axes.setdefault((path, axis), ids)
    self.tie(known, ids)


def _core(ids: np.ndarray) -> np.ndarray:
  """Without the repetitions of `np.broadcast_to`."""
  return ids[tuple(slice(0, 1) if s == 0 else slice(None) for s in ids.strides)]


def _flat_along(
  ids: np.ndarray, axes: Sequence[int], keep: bool = False
) -> np.ndarray | None:
  """Without some axes, along which the channels must not differ."""
  small = _core(ids)
  first = small[tuple(slice(0, 1) if i in axes else slice(None)
                      for i in range(ids.ndim))]  # fmt: skip
  if not np.array_equal(np.broadcast_to(first, small.shape), small):
    return None
  whole = tuple(1 if i in axes else n for i, n in enumerate(ids.shape))
  first = np.broadcast_to(first, whole)
  return (
    first
    if keep
    else first.reshape([n for i, n in enumerate(ids.shape) if i not in axes])
  )


def _padded(ids: np.ndarray, config: Any) -> np.ndarray | None:
  if any(low < 0 or high < 0 or inner for low, high, inner in config):
    return None
  pads = [(low, high) for low, high, _ in config]
  return np.pad(ids, pads, constant_values=_NONE)


def _inner(eqn: Any) -> Any:
  """The jaxpr of a call."""
  if eqn.primitive.name in ('scan', 'while', 'cond'):
    return None
  for key in ('jaxpr', 'call_jaxpr', 'fun_jaxpr'):
    found = eqn.params.get(key)
    if isinstance(found, core.ClosedJaxpr):
      return found
    if isinstance(found, core.Jaxpr):
      return core.ClosedJaxpr(found, ())
  return None
