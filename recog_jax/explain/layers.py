"""What a layer of a Linen network gives, and the score's gradient there.

Every submodule of our models has a name, so that a path such as
`stage3_block1` or `block4/attention_norm` names a layer of any of them. Outputs
are taken on their way (`nn.intercept_methods`): no model has to hand them out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# Runs a network under what is intercepted.
Apply = Callable[[Any], Any]


def _path(module: nn.Module) -> str:
  return '/'.join(module.path)


def outputs(
  apply: Apply, x: Any, wanted: Callable[[str], bool]
) -> tuple[Any, dict[str, Any]]:
  """What a network gives, and what layers on its way give, in their order.

  Args:
    apply: of x.
    x: the input.
    wanted: whether a layer's output is kept, by its path.
  """
  found: dict[str, Any] = {}

  def take(call, args, kwargs, context):
    output = call(*args, **kwargs)
    path = _path(context.module)
    if context.method_name == '__call__' and path and wanted(path):
      found.pop(path, None)  # A layer that is called again is of its last call.
      found[path] = output
    return output

  with nn.intercept_methods(take):
    result = apply(x)
  return result, found


def shapes(apply: Apply, x: Any) -> dict[str, tuple[int, ...] | None]:
  """The shape of what each layer gives, in the order of computation.

  None where it gives more than one array.
  """
  found: dict[str, Any] = {}

  def trace(x):
    # Beside the result, which would have them in the order of their names.
    found.update(outputs(apply, x, lambda _: True)[1])

  jax.eval_shape(trace, x)
  return {
    path: tuple(output.shape) if hasattr(output, 'shape') else None
    for path, output in found.items()
  }


def with_gradients(
  score: Callable[[Any], jax.Array],
  x: Any,
  paths: Sequence[str],
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  """Outputs of layers and the score's gradients by them.

  Args:
    score: of x, by a network; float `b`.
    x: the input.
    paths: of the layers.

  Returns:
    {path: output}, and {path: gradient}, each in the layer's shape.
  """
  wanted = set(paths)

  def shifted(zeros: Mapping[str, jax.Array]) -> tuple[jax.Array, Any]:
    found: dict[str, jax.Array] = {}

    def add(call, args, kwargs, context):
      output = call(*args, **kwargs)
      path = _path(context.module)
      if context.method_name != '__call__' or path not in wanted:
        return output
      found[path] = output
      return output + zeros[path]

    with nn.intercept_methods(add):
      total = score(x).sum()
    return total, found

  like = jax.eval_shape(lambda x: outputs(score, x, wanted.__contains__)[1], x)
  zeros = {path: jnp.zeros(s.shape, s.dtype) for path, s in like.items()}
  gradients, found = jax.grad(shifted, has_aux=True)(zeros)
  return found, gradients
