"""Best path decoding of CTC over a stream: what the next frames add.

Nothing that was decoded changes afterwards: frame by frame the tokens are those
of `greedy` on the whole.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from recog_jax.decode.greedy import pack


class Added(NamedTuple):
  """What some frames add.

  Attributes:
    ids: int32 `b t`, tokens that begin in them, padded with 0.
    frames: int32 `b t`, the frame in which each begins.
    num: int32 `b`, how many there are.
    blanks: float32 `b t`, the blank's probability in each frame.
    sure: float32 `b t`, the token's probability where it begins.
    logits: CTC's `b t v` of all frames; None without that head.
  """

  ids: jax.Array
  frames: jax.Array
  num: jax.Array
  blanks: jax.Array
  sure: jax.Array
  logits: jax.Array | None


def greedy_start(b: int, *, blank_id: int) -> jax.Array:
  """int32 `b`: the symbol of the frame before the first."""
  return jnp.full(b, blank_id, jnp.int32)


def greedy_step(
  last: jax.Array, logits: jax.Array, lens: jax.Array, *, blank_id: int
) -> tuple[Added, jax.Array]:
  """Decodes the next frames.

  Args:
    last: int32 `b`, the symbol of the frame before, which is not said again.
    logits: `b t v`, logits or log probabilities.
    lens: int32 `b`, frames that count.
    blank_id: CTC's blank.

  Returns:
    What they add, and the symbol of the last frame that counts.
  """
  probs = jax.nn.softmax(logits.astype(jnp.float32))
  t = logits.shape[1]
  inside = jnp.arange(t) < lens[:, None]
  path = jnp.where(inside, probs.argmax(2), blank_id).astype(jnp.int32)
  both = jnp.concatenate([last[:, None], path], 1)
  begins = (path != blank_id) & (path != both[:, :-1])
  ids, num = pack(path, begins)
  places, _ = pack(jnp.broadcast_to(jnp.arange(t), path.shape), begins)
  sure = jnp.take_along_axis(probs.max(2), places, 1)
  last = jnp.take_along_axis(both, lens[:, None], 1)[:, 0]
  blanks = jnp.where(inside, probs[:, :, blank_id], 1.0)
  return Added(ids, places, num, blanks, sure, logits), last
