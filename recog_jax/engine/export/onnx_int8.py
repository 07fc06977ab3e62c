"""Weights and activations of an ONNX program in 8 bits.

Products with a kernel of the model get their inputs rounded to 8 bits
(QuantizeLinear and DequantizeLinear around them), so that onnxruntime runs its
int8 routines; the ranges are the largest and smallest seen on the batches
given. What such routines do not reach (the matrix inside the loop of a
recurrent layer, products of single heads) holds int8 weights that are
multiplied out when the program is opened. The front end stays as it is.
"""

import collections
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recog_jax.engine.export import onnx_compact
from recog_jax.engine.export.extras import quiet, refused, taken

_EXTRA = 'onnx'
_PRODUCTS = ('Conv', 'MatMul', 'Gemm')
# Share of a constant's numbers that are weights; a folded one may differ.
_SAME = 0.9
# Below it, the nodes that multiply it out are larger than what they save.
_LEAST = 128
_LEVELS = 127
Arrays = Mapping[str, np.ndarray]


class Quantized(NamedTuple):
  """A program in 8 bits.

  Attributes:
    content: of the file.
    weights: paths of the parameters that it holds in int8.
    activations: paths of those whose products have inputs of 8 bits too.
    products: number of the latter products.
  """

  content: bytes
  weights: tuple[str, ...]
  activations: tuple[str, ...]
  products: int


def quantize(
  content: bytes,
  kernels: Mapping[str, np.ndarray],
  batches: Sequence[Arrays] | None,
) -> Quantized:
  """A program in 8 bits.

  Args:
    content: of a float32 model of ONNX, with these kernels as constants.
    kernels: by path, those that are quantised.
    batches: inputs of the program by name, for the ranges of activations; None
      leaves activations in float32.

  Raises:
    UserError: the extra is not installed, or onnxruntime refuses the program.
  """
  onnx: Any = taken('onnx', _EXTRA)
  taken('onnxruntime', _EXTRA)
  with quiet(), tempfile.TemporaryDirectory() as folder:
    try:
      model = _simplified(onnx, content, Path(folder))
      _rewrite(onnx, model.graph)
      found = _found(onnx, model.graph, kernels)
      products: list[Any] = []
      if batches is not None:
        products = _products(model.graph, found)
        model = _static(onnx, model, products, batches, Path(folder))
      left = _weights_alone(onnx, model.graph, found)
      onnx_compact.compact(onnx, model)
      onnx.checker.check_model(model)
    except Exception as error:  # Of modules without a common ancestor.
      raise refused('ONNX in int8', error) from error
  inside = {name for node in products for name in node.input}
  both = sorted({p for name in inside & {*found} for p in found[name]})
  alone = {p for name in left for p in found[name]}
  return Quantized(
    model.SerializeToString(),
    tuple(sorted({*both, *alone})),
    tuple(both),
    len(products),
  )


def _simplified(onnx: Any, content: bytes, folder: Path) -> Any:
  """What onnxruntime makes of it: constants computed, neighbours joined."""
  from onnxruntime.quantization.shape_inference import quant_pre_process

  given, made = folder / 'float.onnx', folder / 'simple.onnx'
  given.write_bytes(content)
  quant_pre_process(str(given), str(made), skip_symbolic_shape=True)
  return onnx.load(str(made))


def _constants(onnx: Any, graph: Any) -> dict[str, np.ndarray]:
  return {
    one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer
  }


# ------------------------------------------------- products in one form


def _rewrite(onnx: Any, graph: Any) -> None:
  """`Max` with 0 as `Relu`, and `Einsum` with a matrix as `MatMul`.

  They say the same, and onnxruntime has int8 routines for the second form only.
  """
  constants = _constants(onnx, graph)
  nodes = []
  for node in graph.node:
    nodes.extend(_rewritten(onnx, graph, node, constants) or (node,))
  del graph.node[:]
  graph.node.extend(nodes)


def _rewritten(
  onnx: Any, graph: Any, node: Any, constants: Mapping[str, np.ndarray]
) -> Sequence[Any] | None:
  make = onnx.helper.make_node
  if node.op_type == 'Max' and len(node.input) == 2:
    zeros = [i for i in node.input if _is_zero(constants.get(i))]
    others = [i for i in node.input if i not in zeros]
    if len(zeros) == len(others) == 1:
      return [make('Relu', others, node.output, name=node.name)]
  if node.op_type != 'Einsum' or len(node.input) != 2:
    return None
  equation = node.attribute[0].s.decode()
  (first, second), out = (
    equation.partition('->')[0].split(','),
    equation.partition('->')[2],
  )
  name = node.name or node.output[0]
  if node.input[1] in constants and first[-1] == second[0]:
    kernel = constants[node.input[1]]
    if out != first[:-1] + second[1:] or len(first) < 2:
      return None
    flat = f'{node.input[1]}_matrix'
    _add_constant(onnx, graph, flat, kernel.reshape(len(kernel), -1))
    if kernel.ndim == 2:
      return [make('MatMul', [node.input[0], flat], node.output, name=name)]
    # A 0 is the size that is there.
    shape = np.array([0] * (len(first) - 1) + list(kernel.shape[1:]), np.int64)
    _add_constant(onnx, graph, f'{name}_shape', shape)
    return [
      make('MatMul', [node.input[0], flat], [f'{name}_flat'], name=name),
      make(
        'Reshape',
        [f'{name}_flat', f'{name}_shape'],
        node.output,
        name=f'{name}_reshape',
      ),
    ]
  if node.input[0] in constants and first[-1] == second[0] and len(first) == 2:
    if out != first[0] + second[1:]:
      return None
    # The kernel times columns: columns become rows.
    flat, rank = f'{node.input[0]}_matrix', len(second)
    _add_constant(onnx, graph, flat, constants[node.input[0]].T.copy())
    there = [*range(1, rank), 0]
    back = [rank - 1, *range(rank - 1)]
    return [
      make('Transpose', [node.input[1]], [f'{name}_rows'], perm=there),
      make('MatMul', [f'{name}_rows', flat], [f'{name}_flat'], name=name),
      make('Transpose', [f'{name}_flat'], node.output, perm=back),
    ]
  return None


def _is_zero(constant: np.ndarray | None) -> bool:
  return constant is not None and not np.any(constant)


def _add_constant(onnx: Any, graph: Any, name: str, value: np.ndarray) -> None:
  if all(one.name != name for one in graph.initializer):
    graph.initializer.append(
      onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
    )


# ------------------------------------------------------- which are weights


def _found(
  onnx: Any, graph: Any, kernels: Mapping[str, np.ndarray]
) -> dict[str, tuple[str, ...]]:
  """Constants of a program that hold kernels -> their paths.

  They are found by their numbers: a program has transposed and joined them, and
  has names of its own.
  """
  ordered = {path: np.sort(k, axis=None) for path, k in kernels.items()}
  found = {}
  for name, value in _constants(onnx, graph).items():
    if value.dtype != np.float32 or value.ndim < 2:
      continue
    numbers = np.sort(value, axis=None)
    paths = [
      path
      for path, kernel in ordered.items()
      if kernel.size <= numbers.size and _within(kernel, numbers) >= _SAME
    ]
    if paths and _size(kernels, paths) >= _SAME * value.size:
      found[name] = tuple(paths)
  return found


def _size(kernels: Mapping[str, np.ndarray], paths: Sequence[str]) -> int:
  return sum(kernels[path].size for path in paths)


def _within(some: np.ndarray, ordered: np.ndarray) -> float:
  """Share of some numbers that are among others, which are in order."""
  places = np.searchsorted(ordered, some).clip(max=ordered.size - 1)
  return float(np.mean(ordered[places] == some))


def _products(graph: Any, found: Mapping[str, Any]) -> list[Any]:
  """Nodes that multiply an activation by a kernel."""
  return [
    node
    for node in graph.node
    if node.op_type in _PRODUCTS and node.input[1] in found
  ]


# --------------------------------------------------------------- int8


def _static(
  onnx: Any,
  model: Any,
  products: Sequence[Any],
  batches: Sequence[Arrays],
  folder: Path,
) -> Any:
  """The model with the products' inputs and kernels in 8 bits."""
  from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
  )

  class Reader(CalibrationDataReader):
    def __init__(self) -> None:
      self._left: Iterator[Arrays] = iter(batches)

    def get_next(self) -> Any:
      return next(self._left, None)

  given, made = folder / 'given.onnx', folder / 'int8.onnx'
  onnx.save(model, str(given))
  names = [node.name for node in products]
  with_them = _between(model.graph, products)
  quantize_static(
    str(given),
    str(made),
    Reader(),
    quant_format=QuantFormat.QDQ,
    per_channel=True,
    # CPUs without VNNI add two products in 16 bits, which 8 bits times 8 bits
    # overflow: weights are -64 to 64.
    reduce_range=True,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
    calibrate_method=CalibrationMethod.MinMax,
    op_types_to_quantize=[*_PRODUCTS, *_BETWEEN],
    nodes_to_quantize=[*names, *with_them],
  )
  return onnx.load(str(made))


# Elementwise nodes of a convolutional network: left in float32 they would be
# gone through in float32 between two int8 convolutions.
_BETWEEN = ('Relu', 'Add', 'MaxPool', 'GlobalAveragePool', 'Clip')


def _between(graph: Any, products: Sequence[Any]) -> list[str]:
  """Names of the nodes between convolutions that can be in 8 bits as well."""
  made = {o for n in products if n.op_type == 'Conv' for o in n.output}
  found = []
  for node in graph.node:
    inputs = [i for i in node.input if i]
    if node.op_type in _BETWEEN and all(i in made for i in inputs):
      made.update(node.output)
      found.append(node.name)
  return found


def _weights_alone(
  onnx: Any, graph: Any, found: Mapping[str, Sequence[str]]
) -> list[str]:
  """Puts what is left in float32 into int8; the names of these constants."""
  used = collections.defaultdict(list)
  for node in graph.node:
    for place, name in enumerate(node.input):
      used[name].append((node.op_type, place))
  changed, front = [], []
  keep = []
  for one in graph.initializer:
    if one.name not in found or not used[one.name]:
      keep.append(one)
      continue
    value = onnx.numpy_helper.to_array(one)
    if value.size < _LEAST or value.dtype != np.float32:
      keep.append(one)
      continue
    kinds = used[one.name]
    columns = value.ndim == 2 and all(
      kind in ('MatMul', 'Gemm') and place == 1 for kind, place in kinds
    )
    nodes, constants = _multiplied_out(onnx, one.name, value, columns)
    front += nodes
    keep += constants
    changed.append(one.name)
  del graph.initializer[:]
  graph.initializer.extend(keep)
  nodes = [*front, *graph.node]
  del graph.node[:]
  graph.node.extend(nodes)
  return changed


def _multiplied_out(
  onnx: Any, name: str, value: np.ndarray, columns: bool
) -> tuple[list[Any], list[Any]]:
  """Nodes that make a constant of int8, and their own constants.

  Not a DequantizeLinear, which onnxruntime would compute in every call; these
  it computes once, when it opens the file.

  Args:
    onnx: the module.
    name: of the constant.
    value: float32.
    columns: whether output channels are the last axis, else the others (of a
      convolution, `o i h w`, the first).
  """
  make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
  if columns:
    summed: tuple[int, ...] = (0,)
  elif value.ndim > 3:
    summed = tuple(range(1, value.ndim))
  else:
    summed = (value.ndim - 1,)
  most = np.abs(value).max(summed, keepdims=True)
  scale = (np.maximum(most, 1e-12) / _LEVELS).astype(np.float32)
  whole = np.clip(np.rint(value / scale), -_LEVELS, _LEVELS).astype(np.int8)
  constants = [array(whole, f'{name}_int8'), array(scale, f'{name}_scale')]
  kind = onnx.TensorProto.FLOAT
  nodes = [
    make('Cast', [f'{name}_int8'], [f'{name}_whole'], to=kind),
    make('Mul', [f'{name}_whole', f'{name}_scale'], [name]),
  ]
  return nodes, constants
