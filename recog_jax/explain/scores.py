"""What is explained: how sure a model is of one answer, float32 `b`.

The log odds of an answer, log p - log (1 - p), do not level off where a model
is sure, and do not change where all logits do.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def class_score(logits: jax.Array, index: jax.Array, kind: str) -> jax.Array:
  """Of one output.

  Args:
    logits: `b v`.
    index: int, the output's number.
    kind: 'softmax': log odds of a class; 'sigmoid': of a label, its logit;
      'number': the output itself.

  Returns:
    float32 `b`.
  """
  logits = logits.astype(jnp.float32)
  own = jnp.take(logits, index, axis=1)
  if kind != 'softmax' or logits.shape[1] == 1:
    return own
  others = jnp.where(jnp.arange(logits.shape[1]) == index, -jnp.inf, logits)
  return own - jax.nn.logsumexp(others, axis=1)


def probability(score: jax.Array) -> jax.Array:
  """What log odds are the log odds of, in 0..1."""
  return jax.nn.sigmoid(score)


def ctc_score(
  logits: jax.Array,
  ids: jax.Array,
  start: jax.Array,
  end: jax.Array,
  chosen: jax.Array,
) -> jax.Array:
  """Of a word in an alignment by CTC: the mean over its tokens.

  Of each token the mean of its log odds over the frames that it is aligned
  with; neither the blanks around it nor other tokens count.

  Args:
    logits: `b t v`.
    ids: int32 `u`, tokens of the text.
    start: int32 `u`, the first frame of each; see `decode.align`.
    end: int32 `u`, the frame after its last.
    chosen: bool `u`, the tokens of the word.

  Returns:
    float32 `b`.
  """
  logits = logits.astype(jnp.float32)
  v = logits.shape[-1]
  # Of each token, at every frame: log p - log (1 - p).
  own = jnp.take(logits, ids, axis=2)
  others = jnp.where(
    jnp.arange(v) == ids[:, None], -jnp.inf, logits[:, :, None, :]
  )
  odds = own - jax.nn.logsumexp(others, axis=-1)
  frames = jnp.arange(logits.shape[1])[:, None]
  inside = (frames >= start) & (frames < end) & chosen
  by_token = jnp.where(inside, odds, 0).sum(1) / jnp.maximum(inside.sum(0), 1)
  return by_token.sum(1) / jnp.maximum(chosen.sum(), 1)


def attention_score(
  logits: jax.Array, ids: jax.Array, chosen: jax.Array
) -> jax.Array:
  """Of a word of an attention decoder: the mean log odds of its tokens.

  Args:
    logits: `b (u+1) v`, those of token i after the tokens before it.
    ids: int32 `u`.
    chosen: bool `u`, the tokens of the word.
  """
  logits = logits[:, : len(ids)].astype(jnp.float32)
  own = jnp.take_along_axis(logits, ids[None, :, None], 2)[..., 0]
  others = jnp.where(
    jnp.arange(logits.shape[-1]) == ids[:, None], -jnp.inf, logits
  )
  odds = own - jax.nn.logsumexp(others, axis=-1)
  return jnp.where(chosen, odds, 0).sum(1) / jnp.maximum(chosen.sum(), 1)


def share_near(
  profile: Sequence[float], begin: float, end: float, step: float, slack: float
) -> float:
  """The share of saliency that lies near a word.

  Args:
    profile: 0 or more, of each frame.
    begin: of the word, in seconds.
    end: of the word.
    step: seconds from frame to frame.
    slack: seconds before and after that count as near.
  """
  total = float(sum(profile))
  near = sum(
    value
    for i, value in enumerate(profile)
    if begin - slack <= (i + 0.5) * step <= end + slack
  )
  return float(near) / total if total > 0 else 0.0
