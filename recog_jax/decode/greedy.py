"""Best path decoding of CTC (Graves et al., "Connectionist temporal
classification", 2006, section 3.2).
"""

import jax
import jax.numpy as jnp


def greedy(
  logits: jax.Array, lens: jax.Array, *, blank_id: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The most probable token of each frame; repeats merged, blanks removed.

  Args:
    logits: `b t v`, logits or log probabilities.
    lens: int32 `b`, frames that count; what comes after them is ignored.
    blank_id: CTC's blank among the v tokens.

  Returns:
    Token ids int32 `b t`, padded with 0; their number int32 `b`; and float32
    `b`, the natural log of the probability of the best path (one alignment, so
    at most the log probability of its labelling).
  """
  with jax.named_scope('greedy'):
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    inside = jnp.arange(logits.shape[1]) < lens[:, None]
    score = jnp.where(inside, log_probs.max(2), 0).sum(1)
    path = jnp.where(inside, log_probs.argmax(2), blank_id)
    return *collapse(path, blank_id=blank_id), score


def collapse(path: jax.Array, *, blank_id: int) -> tuple[jax.Array, jax.Array]:
  """The labelling of an alignment: repeats merged, then blanks removed.

  Args:
    path: int `b t`, one token a frame; blank where there is no frame.
    blank_id: CTC's blank.

  Returns:
    Token ids int32 `b t`, padded with 0, and their number int32 `b`.
  """
  before = jnp.pad(path, ((0, 0), (1, 0)), constant_values=blank_id)[:, :-1]
  return pack(path, (path != blank_id) & (path != before))


def pack(values: jax.Array, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Moves what is kept to the front.

  Args:
    values: int `... t`.
    kept: bool `... t`.

  Returns:
    int32 `... t`, padded with 0, and the number kept, int32 `...`.
  """
  t = values.shape[-1]
  values, flat = values.reshape(-1, t).astype(jnp.int32), kept.reshape(-1, t)
  # What is not kept is sent beyond the end, where it is dropped.
  place = jnp.where(flat, jnp.cumsum(flat, 1) - 1, t)
  row = jnp.arange(len(values))[:, None]
  packed = jnp.zeros_like(values).at[row, place].set(values, mode='drop')
  return packed.reshape(kept.shape), kept.sum(-1, dtype=jnp.int32)
