"""Random streams: pure functions of (seed, name, step)."""

import zlib

import jax


def root(seed: int) -> jax.Array:
  """The one root key of a run."""
  return jax.random.key(seed)


def stream(root_key: jax.Array, name: str, step: jax.Array | int) -> jax.Array:
  """The key of a named stream (`params`, `dropout`, `mixup`) at a step.

  The name enters as its CRC-32: Python's `hash` of a string is salted for each
  process.
  """
  named = jax.random.fold_in(root_key, zlib.crc32(name.encode()))
  return jax.random.fold_in(named, step)
