"""Scores of prefixes by CTC, for decoders that go symbol by symbol.

Watanabe et al., "Hybrid CTC/attention architecture for end-to-end speech
recognition", 2017, algorithm 2: the probability of all texts that begin with a
prefix. A row costs `w k t` work a symbol, so k is a choice of few symbols.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Not -inf: differences of it are no NaN.
NEVER = -1e30


class Prefixes(NamedTuple):
  """What is known of each prefix; at frame t, after t + 1 frames.

  Attributes:
    label: float32 `b w t`, log probability of the alignments of the frames so
      far that end in the last symbol.
    blank: of those that end in the blank.
    last: int32 `b w`, the last symbol; -1 for none.
    score: float32 `b w`, log probability of the prefix.
  """

  label: jax.Array
  blank: jax.Array
  last: jax.Array
  score: jax.Array


def begin(log_probs: jax.Array, w: int, *, blank_id: int) -> Prefixes:
  """The empty prefix, w times.

  Args:
    log_probs: float32 `b t v`.
    w: prefixes of each row.
    blank_id: CTC's blank.
  """
  b, t, _ = log_probs.shape
  blank = jnp.cumsum(log_probs[:, :, blank_id], 1)[:, None]
  return Prefixes(
    label=jnp.full((b, w, t), NEVER),
    blank=jnp.broadcast_to(blank, (b, w, t)),
    last=jnp.full((b, w), -1, jnp.int32),
    score=jnp.zeros((b, w)),
  )


def extend(
  log_probs: jax.Array,
  lens: jax.Array,
  prefixes: Prefixes,
  tokens: jax.Array,
  *,
  blank_id: int,
) -> Prefixes:
  """All prefixes with one more symbol, by each of k.

  Args:
    log_probs: float32 `b t v`.
    lens: int32 `b`, frames that count.
    prefixes: `b w`.
    tokens: int32 `b w k`, none of them the blank.
    blank_id: CTC's blank.

  Returns:
    Those of `b (w k)`.
  """
  b, w, k = tokens.shape
  t = log_probs.shape[1]
  own = jnp.take_along_axis(
    log_probs[:, :, None], tokens.reshape(b, 1, 1, w * k), 3
  )
  own = own.reshape(b, t, w, k)
  both = jnp.logaddexp(prefixes.label, prefixes.blank)
  # A symbol that is said twice needs a blank between.
  again = tokens == prefixes.last[:, :, None]
  before = jnp.where(
    again[..., None], prefixes.blank[:, :, None], both[:, :, None]
  )
  # Before the first frame only the empty prefix was said.
  start = jnp.where(prefixes.last < 0, 0.0, NEVER)
  start = jnp.broadcast_to(start[:, :, None, None], (b, w, k, 1))
  before = jnp.concatenate([start, before[..., :-1]], 3)
  inside = jnp.arange(t) < lens[:, None]
  enters = jnp.moveaxis(before, 3, 1) + own
  score = jax.nn.logsumexp(
    jnp.where(inside[:, :, None, None], enters, NEVER), axis=1
  )

  def step(carry, now):
    label, blank = carry
    enters, own, silent = now
    new = jnp.logaddexp(label + own, enters)
    blank = jnp.logaddexp(label, blank) + silent[:, None, None]
    return (new, blank), (new, blank)

  none = jnp.full_like(score, NEVER)
  _, (label, blank) = jax.lax.scan(
    step,
    (none, none),
    (
      enters.swapaxes(0, 1),
      own.swapaxes(0, 1),
      log_probs[:, :, blank_id].T,
    ),
  )

  def flat(x):
    return jnp.moveaxis(x, 0, 3).reshape(b, w * k, t)

  return Prefixes(
    flat(label),
    flat(blank),
    tokens.reshape(b, w * k),
    jnp.maximum(score, NEVER).reshape(b, w * k),
  )


def ended(prefixes: Prefixes, lens: jax.Array) -> jax.Array:
  """float32 `b w`: log probabilities of the prefixes as whole texts."""
  both = jnp.logaddexp(prefixes.label, prefixes.blank)
  place = jnp.maximum(lens - 1, 0)[:, None, None]
  found = jnp.take_along_axis(
    both, jnp.broadcast_to(place, (*both.shape[:2], 1)), 2
  )[..., 0]
  # In no frames nothing was said.
  nothing = jnp.where(prefixes.last < 0, 0.0, NEVER)
  return jnp.where(lens[:, None] > 0, found, nothing)
