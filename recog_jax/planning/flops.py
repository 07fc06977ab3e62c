"""Multiply-adds of a function, read from its jaxpr."""

import math
from collections.abc import Callable
from typing import Any

import jax

from recog_jax import tracing
from recog_jax.engine import jaxprs


def _of(jaxpr: Any) -> int:
  total = 0
  for eqn in jaxpr.eqns:
    kind = eqn.primitive.name
    if kind == 'dot_general':
      (contracted, _), _ = eqn.params['dimension_numbers']
      shape = eqn.invars[0].aval.shape
      summed = math.prod(shape[axis] for axis in contracted)
      total += eqn.outvars[0].aval.size * summed
    elif kind == 'conv_general_dilated':
      total += _of_convolution(eqn)
    elif kind == 'while':
      inner = sum(map(_of, jaxprs.inner(eqn)))
      if inner:
        raise ValueError('how often a while loop runs is not known')
    elif kind == 'cond':
      total += max(map(_of, jaxprs.inner(eqn)))
    else:
      times = eqn.params['length'] if kind == 'scan' else 1
      if kind == 'shard_map':  # Inside is what one device does.
        times = eqn.params['mesh'].size
      total += times * sum(map(_of, jaxprs.inner(eqn)))
  return total


def _of_convolution(eqn: Any) -> int:
  kernel = eqn.invars[1].aval
  outputs = kernel.shape[eqn.params['dimension_numbers'].rhs_spec[0]]
  count = eqn.outvars[0].aval.size * kernel.size // outputs
  # The gradient of a stride: what it has put between is zero, and is skipped.
  return count // math.prod(eqn.params['lhs_dilation'])


def multiply_adds(function: Callable, *args: Any) -> int:
  """Multiply-adds of the convolutions and matrix products of a function.

  What is counted: for each output of a convolution the size of its kernel times
  the input channels of its group, padding included; for each output of a matrix
  product (dense layers, attention) the length of the sum. What is not: pooling,
  normalisation, activations, biases, softmax. Nothing is computed, and layers
  are traced as for an accelerator: the CPU's forms of a convolution, such as
  shifted sums, would hide it.

  Args:
    function: of the arguments.
    *args: arrays, or their shapes as of `jax.eval_shape`.

  Raises:
    ValueError: a while loop with products in it.
  """
  with tracing.target_backend('tpu'):
    return _of(jax.make_jaxpr(function)(*args).jaxpr)
