"""What is computed in more bits than the rest of a model."""

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
  """x in float32; in float64 if that is what it is in."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))
