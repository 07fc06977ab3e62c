"""Dropout whose random numbers cost nothing beside the layer before it."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def _mix(x: jax.Array) -> jax.Array:
  """Wellons' `lowbias32`, a permutation of the 32-bit numbers that scatters."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
  x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
  return x ^ (x >> 16)


def cheap_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Random uint32 of that shape: a hash of the position, seeded by the key.

  Good enough to choose what is dropped; not for more. It does not depend on how
  the array is laid over devices, and is fused into what it masks. jax's own
  generators draw 60 million numbers a second and core on a CPU, which is half
  of a Conformer's training step; this makes 1.5 billion.
  """
  seed = jax.random.bits(key, (2,), jnp.uint32)
  position = jnp.uint32(0)
  for axis, size in enumerate(shape):
    place = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    position = position * jnp.uint32(size) + place
  return _mix(_mix(position ^ seed[0]) + seed[1])


class Dropout(nn.Module):
  """Dropout (Srivastava et al., 2014), with the rng stream `dropout`.

  Attributes:
    rate: share that is dropped; the rest is divided by what is kept of one.
    broadcast_dims: axes along which all is dropped or nothing, as in flax's
      Dropout. Those but the leading one, on a residual branch, are stochastic
      depth (Huang et al., 2016, arXiv:1603.09382); that of time is the dropout
      of Gal and Ghahramani (2016, arXiv:1512.05287).
  """

  rate: float
  broadcast_dims: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`x` itself unless `train`."""
    if not train or self.rate == 0:
      return x
    shape = list(x.shape)
    for axis in self.broadcast_dims:
      shape[axis] = 1
    bits = cheap_bits(self.make_rng('dropout'), tuple(shape))
    keep = bits >= jnp.uint32(round(self.rate * 2**32))
    return jnp.where(keep, x / (1 - self.rate), jnp.zeros((), x.dtype))
