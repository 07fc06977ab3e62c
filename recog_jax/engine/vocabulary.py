"""Weights of a recogniser for another vocabulary: tokens that both have."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Leaves of the heads of speech with an axis of tokens, and which one that is.
_AXES = (
  (re.compile(r'params/(ctc|attention|transducer)_head/.*embedding'), 0),
  (re.compile(r'params/ctc_head/(kernel|bias)'), -1),
  (re.compile(r'params/attention_head/(.*/)?output/(kernel|bias)'), -1),
  (re.compile(r'params/transducer_head/(.*/)?output/(kernel|bias)'), -1),
)


def fitted(
  found: Mapping[str, np.ndarray],
  fresh: Mapping[str, Any],
  theirs: Sequence[str],
  mine: Sequence[str],
) -> tuple[dict[str, np.ndarray], list[str]]:
  """The weights with the tokens of another run.

  Args:
    found: {path: tensor} of a run with the tokens `theirs`.
    fresh: {path: tensor} of fresh variables with the tokens `mine`, or shapes.
    theirs: in the order of their ids.
    mine: the same.

  Returns:
    The tensors; where one has an axis of tokens, with the values of tokens that
    both have, and fresh ones for the others. And what to say of it.
  """
  found = dict(found)
  ids = {token: i for i, token in enumerate(theirs)}
  pairs = [(ids[token], i) for i, token in enumerate(mine) if token in ids]
  there, here = np.array(pairs, int).reshape(-1, 2).T
  paths = []
  for path, value in found.items():
    axis = next((a for p, a in _AXES if p.fullmatch(path)), None)
    leaf = fresh.get(path)
    if axis is None or leaf is None or value.shape[axis] != len(theirs):
      continue
    wanted = list(value.shape)
    wanted[axis] = len(mine)
    known = len(pairs) == len(mine) or hasattr(leaf, '__array__')
    if list(leaf.shape) != wanted or not known:
      continue
    new = np.zeros(leaf.shape, value.dtype)
    if len(pairs) < len(mine):
      new[...] = np.asarray(leaf)
    np.moveaxis(new, axis, 0)[here] = np.moveaxis(value, axis, 0)[there]
    found[path] = new
    paths.append(path)
  if not paths:
    return found, []
  return found, [
    f'of {len(mine)} tokens {len(pairs)} are those of the weights, others are '
    'newly initialised'
  ]
