"""How sure a recogniser is of each token that it has aligned.

The highest probability of a network that CTC trained is nearly always near 1,
right or wrong; the entropy of all outputs says more (Laptev and Ginsburg, "Fast
entropy-based methods of word-level confidence estimation for end-to-end
automatic speech recognition", SLT 2022, arXiv:2212.08703).
"""

import jax
import jax.numpy as jnp

from recog_jax.decode.align import confidence, frames_inside

# What `measures` has in its last axis.
MEASURES = ('peak', 'posterior', 'entropy')
_ALPHA = 1 / 3
_LEAST = 1e-12


def certainty(logits: jax.Array) -> jax.Array:
  """1 where one output has it all, 0 where all are as probable.

  Tsallis' entropy of order 1/3, normalised exponentially: (exp(-H) - exp(-M))
  / (1 - exp(-M)), where M is the largest H.

  Args:
    logits: `... v`, logits or log probabilities.

  Returns:
    float32 `...`.
  """
  logits = logits.astype(jnp.float32)
  log_probs = jax.nn.log_softmax(logits)
  rest = 1 - _ALPHA
  entropy = (jnp.exp(_ALPHA * log_probs).sum(-1) - 1) / rest
  least = jnp.exp(-(logits.shape[-1] ** rest - 1) / rest)
  return (jnp.exp(-entropy) - least) / (1 - least)


def measures(
  logits: jax.Array, ids: jax.Array, start: jax.Array, end: jax.Array
) -> jax.Array:
  """How sure each aligned token is, in three ways, see `MEASURES`.

  Args:
    logits: `b t v`, logits or log probabilities.
    ids: int32 `b u`, the tokens.
    start: int32 `b u`, see `align.Alignment`.
    end: int32 `b u`.

  Returns:
    float32 `b u 3` in 0..1: the token's highest probability in its frames; the
    geometric mean of its probabilities there, which is its part of the
    alignment's posterior; the mean `certainty` of those frames. All 0 where a
    token has no frame.
  """
  inside = frames_inside(start, end, logits.shape[1])
  count = jnp.maximum(inside.sum(1), 1)
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  of_token = jnp.take_along_axis(log_probs, ids[:, None, :], 2)
  of_token = jnp.maximum(of_token, jnp.log(_LEAST))
  posterior = jnp.exp(jnp.where(inside, of_token, 0).sum(1) / count)
  sure = jnp.where(inside, certainty(logits)[..., None], 0).sum(1) / count
  there = inside.any(1)
  found = [confidence(logits, ids, start, end), posterior, sure]
  return jnp.stack([jnp.where(there, x, 0) for x in found], -1)
