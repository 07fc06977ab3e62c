"""The prefixes of a beam: known by a hash, written out by following slots."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from recog_jax.decode.greedy import pack

# Odd and random, for each of the two hashes of a prefix.
_MULTIPLIERS = np.array(
  [
    [0x9E3779B1, 0xC2B2AE3D],
    [0x85EBCA77, 0x27D4EB2F],
    [0x165667B1, 0x2C1B3C6D],
  ],
  np.uint32,
)


def hashed(key: jax.Array, token: jax.Array) -> jax.Array:
  """Key of a prefix with one more token; two independent 32-bit hashes.

  Args:
    key: uint32 `... 2`, zeros of the empty prefix.
    token: int32 `...`.
  """
  mixed = (token[..., None] + 1).astype(jnp.uint32) * _MULTIPLIERS[0]
  key = (key ^ mixed) * _MULTIPLIERS[1]
  key = (key ^ (key >> 15)) * _MULTIPLIERS[2]
  return key ^ (key >> 13)


def take(x: jax.Array, index: jax.Array) -> jax.Array:
  """x, `b m ...`, at index, `b n`: `b n ...`."""
  return jnp.take_along_axis(x, like(index, x), 1)


def like(x: jax.Array, other: jax.Array) -> jax.Array:
  """x with trailing axes of size 1, as many as other has axes."""
  return x.reshape(x.shape + (1,) * (other.ndim - x.ndim))


def slots_back(slots: jax.Array, parents: jax.Array) -> jax.Array:
  """The slot at each frame of what ends in `slots`, `b n`: `t b n`.

  Args:
    slots: int, of the last frame.
    parents: int `t b w`, the slot of each prefix in the frame before.
  """

  def step(slots, parent):
    return take(parent, slots), slots

  return lax.scan(step, slots, parents, reverse=True)[1]


def write_out(
  slots: jax.Array, parents: jax.Array, tokens: jax.Array, blank_id: int
) -> tuple[jax.Array, jax.Array]:
  """Follows slots of the last frame, `b n`, back through all frames.

  Args:
    slots: int `b n`.
    parents: int `t b w`, the slot of each prefix in the frame before.
    tokens: int `t b w`, the token it added; the blank for none.
    blank_id: CTC's blank.

  Returns:
    Token ids int32 `b n t`, padded with 0, and their number int32 `b n`.
  """
  path = jax.vmap(take)(tokens, slots_back(slots, parents))
  path = jnp.moveaxis(path, 0, 2)
  return pack(path, path != blank_id)


def same(one: jax.Array, other: jax.Array, alive: jax.Array) -> jax.Array:
  """bool `b w w`: which prefixes of a beam have the same key as which.

  Args:
    one: uint32 `b w 2`, keys for the first axis of w.
    other: likewise, for the second.
    alive: bool `b w`; a slot without a prefix may hold the key of another one.
  """
  found = (one[:, :, None] == other[:, None]).all(3)
  return found & alive[:, :, None] & alive[:, None]
