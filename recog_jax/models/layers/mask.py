"""Masks of sequences that are padded to one length."""

import jax
import jax.numpy as jnp


def length_mask(lengths: jax.Array, size: int) -> jax.Array:
  """bool `b t`, True at the first `lengths[i]` of `size` positions of row i.

  Args:
    lengths: integers `b`.
    size: t, a Python int.
  """
  return jnp.arange(size) < lengths[:, None]


def zero_padding(x: jax.Array, mask: jax.Array) -> jax.Array:
  """`x` with zeros where the mask is False, whatever stood there (even NaN).

  Args:
    x: `b t ...`.
    mask: bool `b t`.
  """
  mask = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
  return jnp.where(mask, x, jnp.zeros((), x.dtype))
