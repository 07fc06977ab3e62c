"""Phrases of any words, found in what a recogniser with CTC hears.

Open vocabulary: the recogniser has never been told of them. A phrase is
compared with the background, which is whatever the recogniser thinks more
probable; both are Viterbi paths (the filler model of Rose and Paul, "A hidden
Markov model based keyword recognition system", ICASSP 1990, over CTC's frames).
"""

import jax
import jax.numpy as jnp
from jax import lax

_NEVER = -1e9


def phrase_scores(
  logits: jax.Array,
  lens: jax.Array,
  ids: jax.Array,
  num: jax.Array,
  *,
  blank_id: int,
) -> jax.Array:
  """How probable it is that each phrase has just been said.

  Args:
    logits: `b t v`, logits or log probabilities.
    lens: int32 `b`, frames that count.
    ids: int32 `n u`, tokens of the phrases, none of them the blank.
    num: int32 `n`, their lengths, at least 1.
    blank_id: CTC's blank.

  Returns:
    float32 `b t n` in 0..1: of the best stretch of frames that ends here and
    holds exactly the phrase, its probability beside that of the best path
    through the same frames, as the geometric mean over the phrase's tokens. It
    is 1 where greedy decoding reads the phrase, and 0 behind the end.
  """
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  beside = log_probs - log_probs.max(-1, keepdims=True)
  b, t, _ = logits.shape
  n, u = ids.shape
  before = jnp.pad(ids, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
  skips = (ids != before) & (jnp.arange(u) > 0)

  def step(state, frame):
    # labels: in the k-th token; blanks: in the blank behind it.
    blanks, labels = state
    scores, inside = frame
    blank = scores[:, blank_id, None, None]
    label = scores[:, ids]
    # The first token may come at any time, at no cost.
    entered = jnp.pad(blanks, ((0, 0), (0, 0), (1, 0)))[..., :-1]
    came = jnp.pad(labels, ((0, 0), (0, 0), (1, 0)))[..., :-1]
    came = jnp.where(skips, came, _NEVER)
    new_labels = jnp.maximum(jnp.maximum(labels, entered), came) + label
    new_blanks = jnp.maximum(blanks, labels) + blank
    last = jnp.broadcast_to((num - 1)[None, :, None], (b, n, 1))
    said = jnp.take_along_axis(new_labels, last, 2)[..., 0]
    said = jnp.where(inside[:, None], jnp.exp(said / num), 0.0)
    return (new_blanks, new_labels), said

  start = jnp.full((b, n, u), _NEVER), jnp.full((b, n, u), _NEVER)
  inside = jnp.arange(t)[:, None] < lens
  _, said = lax.scan(step, start, (beside.swapaxes(0, 1), inside))
  return said.swapaxes(0, 1)
