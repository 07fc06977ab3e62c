"""A model of ONNX in fewer bytes that computes the same."""

from collections.abc import Iterator
from typing import Any

import numpy as np

# Bytes from which on a regular constant is written as nodes.
_LONG = 4096


def compact(onnx: Any, model: Any) -> None:
  """Short names for all inside, and nothing that only people read."""
  graph = model.graph
  _regular(onnx, graph)
  del graph.value_info[:]
  del model.metadata_props[:]
  kept = {one.name for one in (*graph.input, *graph.output)}
  used = {name for node in graph.node for name in _inputs(node)} | kept
  left = [one for one in graph.initializer if one.name in used]
  del graph.initializer[:]
  graph.initializer.extend(left)
  _rename(graph, {name: name for name in kept}, [0])


def _regular(onnx: Any, graph: Any) -> None:
  """Long constants that count up, or are one number, as nodes that say so.

  onnxruntime's preparation computed them; it does so again when it opens the
  file.
  """
  make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
  keep, nodes = [], []
  for one in graph.initializer:
    value = onnx.numpy_helper.to_array(one)
    if value.nbytes < _LONG:
      keep.append(one)
      continue
    flat, name = value.reshape(-1), one.name
    shape = array(np.array(value.shape, np.int64), f'{name}_long')
    if np.array_equal(flat, np.broadcast_to(flat[:1], flat.shape)):
      keep += [shape, array(flat[0], f'{name}_one')]
      nodes.append(make('Expand', [f'{name}_one', f'{name}_long'], [name]))
    elif value.dtype in (np.int32, np.int64) and np.all(np.diff(flat) == 1):
      ends = {'from': flat[0], 'to': flat[-1] + 1, 'by': 1}
      keep.append(shape)
      keep += [
        array(np.asarray(end, value.dtype), f'{name}_{word}')
        for word, end in ends.items()
      ]
      bounds = [f'{name}_{word}' for word in ends]
      nodes.append(make('Range', bounds, [f'{name}_all']))
      nodes.append(make('Reshape', [f'{name}_all', f'{name}_long'], [name]))
    else:
      keep.append(one)
  del graph.initializer[:]
  graph.initializer.extend(keep)
  nodes += graph.node
  del graph.node[:]
  graph.node.extend(nodes)


def _inputs(node: Any) -> Iterator[str]:
  yield from node.input
  for attribute in node.attribute:
    if attribute.HasField('g'):
      for inner in attribute.g.node:
        yield from _inputs(inner)
      yield from (one.name for one in attribute.g.output)


def _rename(graph: Any, names: dict[str, str], count: list[int]) -> None:
  def short(name: str) -> str:
    if not name:
      return name
    if name not in names:
      names[name] = f'{count[0]:x}'
      count[0] += 1
    return names[name]

  for one in (*graph.initializer, *graph.input, *graph.output):
    one.name = short(one.name)
    one.doc_string = ''
  del graph.value_info[:]
  del graph.metadata_props[:]
  for node in graph.node:
    node.name = node.doc_string = ''
    del node.metadata_props[:]
    for names_of in (node.input, node.output):
      renamed = [short(name) for name in names_of]
      del names_of[:]
      names_of.extend(renamed)
    for attribute in node.attribute:
      if attribute.HasField('g'):
        _rename(attribute.g, names, count)
