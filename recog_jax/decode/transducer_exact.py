"""Exact probabilities and best alignments of labellings under a transducer.

Graves, "Sequence transduction with recurrent neural networks", 2012, section
2.4, by columns: token after token, with all frames at once. So there are as
many steps as tokens in the longest labelling, though the arrays have room for
more, and any head of `heard` will do. The lattice is that of
`losses.transducer`, which needs the weights of the head, and all its columns
for a gradient.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.decode.heard import Head

_NEVER = -jnp.inf
# Scores at a time; more lie outside of the caches.
_CHUNK = 1 << 20


class Alignment(NamedTuple):
  """The best alignment of each row.

  Attributes:
    frame: int32 `b u`, where each token is emitted; 0 behind the last.
    log_prob: float32 `b u`, natural log of each token's probability there.
  """

  frame: jax.Array
  log_prob: jax.Array


class _Column(NamedTuple):
  """The lattice after some tokens; leading axis `m`.

  Attributes:
    place: int32, number of tokens.
    predicted: `m j`, the predictor's part of the joiner.
    network: the predictor's state.
    came: float32 `m t`, log probability of the alignments that reach a frame
      by the last token.
  """

  place: jax.Array
  predicted: jax.Array
  network: Any
  came: jax.Array


def labelling_log_probs(
  head: Head,
  encoded: jax.Array,
  lens: jax.Array,
  ids: jax.Array,
  num: jax.Array,
  *,
  blank_id: int,
) -> jax.Array:
  """The log probability of several labellings of each row.

  The sum is over all alignments, whatever number of tokens a frame has.

  Args:
    head: of the transducer.
    encoded: `b t j`, what the head's `project` gives.
    lens: int32 `b`, frames that count.
    ids: int32 `b n u`, n labellings a row, none of their tokens the blank.
    num: int32 `b n`, their lengths.
    blank_id: the blank among the symbols.

  Returns:
    float32 `b n`, natural log. Without frames it is 0 for the empty labelling
    and -inf for the others.
  """
  b, n, u = ids.shape
  flat, ends = ids.reshape(b * n, u), num.reshape(-1)
  last = jnp.maximum(jnp.repeat(lens, n), 1) - 1

  def step(column, total, blank, reached):
    here = jnp.take_along_axis(reached + blank, last[:, None], 1)[:, 0]
    return jnp.where(ends == column.place, here, total)

  total = _walk(
    head,
    encoded,
    flat,
    ends,
    blank_id,
    jnp.logaddexp,
    step,
    jnp.full(b * n, _NEVER),
  ).reshape(b, n)
  none = jnp.where(num == 0, 0.0, _NEVER)
  return jnp.where(lens[:, None] > 0, total, none)


def best_alignment(
  head: Head,
  encoded: jax.Array,
  lens: jax.Array,
  ids: jax.Array,
  num: jax.Array,
  *,
  blank_id: int,
) -> Alignment:
  """The most probable alignment of a labelling of each row (Viterbi).

  Args:
    head: of the transducer.
    encoded: `b t j`, what the head's `project` gives.
    lens: int32 `b`, frames that count.
    ids: int32 `b u`, none of the tokens the blank.
    num: int32 `b`, tokens that count; none without frames.
    blank_id: the blank among the symbols.
  """
  b, u = ids.shape
  t = encoded.shape[1]

  def step(column, entered, blank, reached):
    # Whether the best way to a frame comes by the token; one byte each.
    return entered.at[column.place].set(column.came >= reached, mode='drop')

  entered = jnp.zeros((u + 1, b, t), bool)
  entered = _walk(head, encoded, ids, num, blank_id, jnp.maximum, step, entered)
  frames = jnp.arange(t, dtype=jnp.int32)

  def back(frame, now):
    place, entered = now
    came = jnp.where(entered & (frames <= frame[:, None]), frames, 0).max(1)
    frame = jnp.where(place < num, came, frame)
    return frame, jnp.where(place < num, frame, 0)

  last = jnp.maximum(lens, 1).astype(jnp.int32) - 1
  places = jnp.arange(u)
  _, frame = lax.scan(back, last, (places, entered[1:]), reverse=True)
  frame = frame.T

  def read(carry):
    place, predicted, network, found = carry
    token = ids[:, place]
    here = encoded[jnp.arange(b), frame[:, place]]
    log_probs = jax.nn.log_softmax(head('score', here, predicted))
    log_prob = jnp.take_along_axis(log_probs, token[:, None], 1)[:, 0]
    found = found.at[:, place].set(jnp.where(place < num, log_prob, 0))
    return place + 1, *head('advance', network, token), found

  longest = num.max(initial=0)
  *_, log_prob = lax.while_loop(
    lambda carry: carry[0] < longest,
    read,
    (jnp.zeros((), jnp.int32), *head('start', b), jnp.zeros((b, u))),
  )
  return Alignment(frame, log_prob)


def _walk(
  head: Head,
  encoded: jax.Array,
  ids: jax.Array,
  num: jax.Array,
  blank_id: int,
  add: Callable,
  step: Callable,
  found: Any,
) -> Any:
  """Goes through the columns of lattices, one a labelling.

  Args:
    head: of the transducer.
    encoded: `b t j`.
    ids: int32 `b*n u`.
    num: int32 `b*n`.
    blank_id: the blank among the symbols.
    add: of log probabilities: `jnp.logaddexp` sums over alignments,
      `jnp.maximum` takes the best.
    step: (`_Column`, found, blank, reached) -> found, with the log probability
      of the blank, and of reaching each cell of the column, `b*n t`.
    found: before the first column.
  """
  m, (_, t, _) = len(ids), encoded.shape
  padded = jnp.pad(ids, ((0, 0), (0, 1)))
  longest = num.max(initial=0)

  def go_on(carry):
    column, found = carry
    token = padded[:, column.place]
    blank, by_token = _edges(head, encoded, column.predicted, token, blank_id)
    reached = _reached(column.came, blank, add)
    found = step(column, found, blank, reached)
    predicted, network = head('advance', column.network, token)
    came = reached + by_token
    return _Column(column.place + 1, predicted, network, came), found

  first = jnp.full((m, t), _NEVER).at[:, 0].set(0)
  predicted, network = head('start', m)
  column = _Column(jnp.zeros((), jnp.int32), predicted, network, first)
  return lax.while_loop(
    lambda carry: carry[0].place <= longest, go_on, (column, found)
  )[1]


def _edges(head, encoded, predicted, token, blank_id: int):
  """Log probabilities of blank and token in all frames, both `b*n t`."""
  b, t, _ = encoded.shape
  m = len(token)
  score = functools.partial(head, 'score')
  v = jax.eval_shape(score, encoded[:, 0], predicted[:b]).shape[-1]
  frames = max(1, min(t, _CHUNK // (m * max(v, encoded.shape[2]))))
  chunks = -(-t // frames)
  # Frames lead, `t b 1 j`, so that they go by chunks.
  frame = encoded.swapaxes(0, 1)[:, :, None]
  frame = jnp.pad(frame, ((0, chunks * frames - t), *((0, 0),) * 3))
  frame = frame.reshape(chunks, frames, *frame.shape[1:])
  predicted = predicted.reshape(b, m // b, -1)
  token = token.reshape(b, m // b, 1)

  def read(frame):
    log_probs = jax.nn.log_softmax(score(frame, predicted))
    index = jnp.broadcast_to(token, (*log_probs.shape[:3], 1))
    of_token = jnp.take_along_axis(log_probs, index, 3)[..., 0]
    return log_probs[..., blank_id], of_token

  both = lax.map(read, frame)
  return tuple(x.reshape(-1, m)[:t].T for x in both)


def _reached(came: jax.Array, blank: jax.Array, add: Callable) -> jax.Array:
  """Of each cell `m t`: by the token, or by the blank of the frame before.

  The recurrence `x[t] = add(came[t], x[t - 1] + blank[t - 1])` in log t steps.
  """
  before = jnp.pad(blank, ((0, 0), (1, 0)))[:, :-1]

  def join(one, two):
    return one[0] + two[0], add(one[1] + two[0], two[1])

  return lax.associative_scan(join, (before, came), axis=1)[1]
