"""Weights in 8 bits: a number for each output channel, and int8 beside it.

Symmetric: zero stays zero, and a weight is `scale * q`, q in -127..127. In the
layout of every kernel here (`kh kw c features`, `d features`, `r gates`, `k c`)
the last axis is that of the output channels, so that one rule, by the path of
a parameter, is good for convolutions, depthwise ones, dense layers, projections
of attention and both matrices of recurrent layers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

# Whole paths of the parameters that multiply something: kernels of all layers,
# and the whitening convolution of airbench.
KERNELS = r'(.*/)?((\w+_)?kernel|whitening)'
LEVELS = 127
_LEAST = 1e-12


class Int8(flax.struct.PyTreeNode):
  """A weight in 8 bits.

  Attributes:
    values: int8, of the weight's shape.
    scale: float32 `c`, of the last axis.
  """

  values: Any
  scale: Any

  def dequantized(self) -> jax.Array:
    """float32, as exact as it was rounded."""
    return jnp.asarray(self.values).astype(jnp.float32) * jnp.asarray(
      self.scale
    )


def scales(kernel: Any, levels: int = LEVELS) -> jax.Array:
  """float32 `c`: what one step of each output channel is worth."""
  kernel = jnp.asarray(kernel, jnp.float32)
  most = jnp.abs(kernel).max(tuple(range(kernel.ndim - 1)))
  return jnp.maximum(most, _LEAST) / levels


def rounded(kernel: jax.Array, levels: int = LEVELS) -> jax.Array:
  """A kernel on its grid of int8, still in its own type."""
  scale = scales(kernel, levels)
  # The largest weight is a whole number of steps, so that nothing is cut.
  return (jnp.round(kernel / scale) * scale).astype(kernel.dtype)


def quantized(kernel: Any) -> Int8:
  """A kernel in 8 bits; numpy arrays."""
  scale = np.asarray(scales(kernel))
  values = np.rint(np.asarray(kernel, np.float32) / scale)
  return Int8(np.clip(values, -LEVELS, LEVELS).astype(np.int8), scale)


def is_int8(leaf: Any) -> bool:
  return isinstance(leaf, Int8)


def dequantized(tree: Any) -> Any:
  """A tree of weights in float32, whatever of it is `Int8`."""
  return jax.tree.map(
    lambda leaf: leaf.dequantized() if is_int8(leaf) else leaf,
    tree,
    is_leaf=is_int8,
  )


def kernels(params: Any, pattern: str = KERNELS) -> dict[str, Any]:
  """The parameters that are quantised, by path.

  Args:
    params: a tree.
    pattern: for whole paths.
  """
  flat = flax.traverse_util.flatten_dict(params, sep='/')
  chosen = re.compile(pattern)
  return {k: v for k, v in flat.items() if chosen.fullmatch(k)}


def in_int8(params: Any, paths: Sequence[str]) -> Any:
  """The parameters, those of some paths as `Int8`."""
  flat: dict[str, Any] = dict(flax.traverse_util.flatten_dict(params, sep='/'))
  for path in paths:
    flat[path] = quantized(flat[path])
  return flax.traverse_util.unflatten_dict(flat, sep='/')


# ---------------------------------------------------- batch normalisation


def fold_batch_norm(
  apply: Callable[..., Any],
  variables: Mapping[str, Any],
) -> tuple[dict[str, Any], list[str]]:
  """Puts the gain of every BatchNorm into the kernel before it.

  What is left of it adds a bias: a mean of 0, a variance and a scale that
  multiply by 1. Where something lies between kernel and norm (pooling), or the
  kernel's output goes elsewhere too, nothing is done.

  Args:
    apply: variables -> what the model gives in evaluation; it is traced once.
    variables: `params` and, where a module has running statistics (and is a
      BatchNorm, with `epsilon`), `batch_stats`.

  Returns:
    The new variables, which give the same up to rounding; and the paths of the
    kernels that were changed.
  """
  pairs: list[tuple[str, str, float, int]] = []
  made: dict[int, str] = {}
  taken: dict[int, int] = {}
  kept: list[Any] = []  # Or another array may get the same id.

  def watch(call, args, kwargs, context):
    given = args[0] if args else None
    found = call(*args, **kwargs)
    if context.method_name != '__call__':
      return found
    module = context.module
    path = '/'.join(module.path)
    taken[id(given)] = taken.get(id(given), 0) + 1
    if f'batch_stats/{path}/var' in flat and id(given) in made:
      pairs.append((made[id(given)], path, float(module.epsilon), id(given)))
    elif f'params/{path}/kernel' in flat:
      made[id(found)] = path
    kept.extend((given, found))
    return found

  def traced(variables):
    with nn.intercept_methods(watch):
      return apply(variables)

  flat = flax.traverse_util.flatten_dict(dict(variables), sep='/')
  flat = {path: np.asarray(leaf) for path, leaf in flat.items()}
  jax.eval_shape(traced, variables)
  changed = []
  for kernel, norm, epsilon, given in pairs:
    if taken[given] == 1:
      _fold(flat, kernel, norm, epsilon)
      changed.append(f'{kernel}/kernel')
  return flax.traverse_util.unflatten_dict(flat, sep='/'), changed


def _fold(
  flat: dict[str, np.ndarray], kernel: str, norm: str, epsilon: float
) -> None:
  params, stats = f'params/{norm}', f'batch_stats/{norm}'
  gain = flat[f'{params}/scale'].astype(np.float64) / np.sqrt(
    flat[f'{stats}/var'].astype(np.float64) + epsilon
  )
  shift = flat[f'{params}/bias'] - flat[f'{stats}/mean'] * gain
  flat[f'params/{kernel}/kernel'] = (
    flat[f'params/{kernel}/kernel'] * gain
  ).astype(np.float32)
  bias = f'params/{kernel}/bias'
  if bias in flat:
    flat[bias] = (flat[bias] * gain).astype(np.float32)
  ones = np.ones(gain.shape, np.float32)
  flat[f'{params}/scale'] = ones
  flat[f'{params}/bias'] = shift.astype(np.float32)
  flat[f'{stats}/mean'] = np.zeros_like(ones)
  flat[f'{stats}/var'] = ones * _below_one(np.float32(epsilon))


def _below_one(epsilon: np.float32) -> np.float32:
  """v with v + epsilon = 1 in float32."""
  value = np.float32(1) - epsilon
  for _ in range(4):
    total = np.float32(value + epsilon)
    if total == 1:
      break
    value = np.nextafter(value, np.float32(0 if total > 1 else 2))
  return value
