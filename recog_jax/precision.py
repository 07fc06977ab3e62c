"""What is computed in more bits than the rest of a model."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def at_least_float32(x: jax.Array) -> jax.Array:
  """x in float32; in float64 if that is what it is in."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def spread(x: jax.Array, like: jax.Array) -> jax.Array:
  """x, broadcast to the shape and in the type of `like`.

  It is rounded after it was spread, so that its gradient is a sum in at least
  float32. Rounded first, it would be summed in bfloat16, which is less exact
  and, by XLA on a CPU, 5 to 10 times slower.
  """
  return jnp.broadcast_to(at_least_float32(x), like.shape).astype(like.dtype)


def dot(
  x: jax.Array,
  y: jax.Array,
  axes: tuple,
  dtype: DTypeLike,
  *,
  batch: tuple = ((), ()),
) -> jax.Array:
  """A product of x and y in `dtype`, summed and given in at least float32.

  Args:
    x: of any type.
    y: of any type.
    axes: those of x and of y that are summed over.
    dtype: of the factors.
    batch: axes of x and of y that belong together.
  """
  return jax.lax.dot_general(
    x.astype(dtype),
    y.astype(dtype),
    (axes, batch),
    preferred_element_type=jnp.promote_types(dtype, jnp.float32),
  )
