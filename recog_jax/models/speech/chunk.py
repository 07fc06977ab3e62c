"""What an attention encoder sees at once when it works in chunks.

Training on several sizes of chunks makes one model for several delays (Zhang et
al., "Unified streaming and non-streaming two-pass end-to-end model for speech
recognition", 2020, arXiv:2012.05481).
"""

import dataclasses

import jax
import jax.numpy as jnp

from recog_jax.models.layers.dropout import cheap_bits
from recog_jax.ranges import Count, Size

# More frames than any utterance has.
_ALL = 2**30


@dataclasses.dataclass(frozen=True)
class Chunk:
  """The keys of `config.model.chunk`; frames are those of the encoder.

  Attributes:
    frames: of a chunk. A frame sees its own chunk to the end.
    left: frames before its chunk that a frame sees in each layer.
    sizes: frames of the chunks in training, one of them for each step, drawn
      with equal chances; 0 is the whole utterance. Empty: `frames` always.
  """

  frames: Size
  left: Count
  sizes: tuple[Count, ...] = ()

  def draw(self, key: jax.Array) -> jax.Array:
    """One of `sizes`, an int32 scalar: one program serves all of them."""
    sizes = jnp.array([size or _ALL for size in self.sizes], jnp.int32)
    return sizes[cheap_bits(key, ())[()] % len(self.sizes)]


def seen(t: int, size: int | jax.Array, left: int) -> jax.Array:
  """bool `t t`: which frames each frame sees, in chunks of that size.

  Args:
    t: number of frames.
    size: of a chunk.
    left: frames before the chunk that are seen.
  """
  place = jnp.arange(t)
  start = (place // size * size)[:, None]
  # Differences: the sum with a size of all frames would be too large.
  return (place - start < size) & (place - start >= -left)
