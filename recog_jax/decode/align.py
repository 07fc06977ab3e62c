"""Forced alignment: the frames of each token of a known labelling.

The best path through the CTC states of the labelling (Viterbi), batched and
jitted; word time stamps follow on the host.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from recog_jax.decode.fusion import SPACE

_NEVER = -jnp.inf


class Alignment(NamedTuple):
  """The best alignment of each row.

  Attributes:
    start: int32 `b u`, the first frame of each token.
    end: int32 `b u`, the frame after its last. Both are -1 for padding, and for
      all tokens of a row that has too few frames.
    score: float32 `b`, natural log of the probability of the best path; -inf
      where there are too few frames.
  """

  start: jax.Array
  end: jax.Array
  score: jax.Array


def align(
  logits: jax.Array,
  lens: jax.Array,
  targets: jax.Array,
  target_lens: jax.Array,
  *,
  blank_id: int,
) -> Alignment:
  """Aligns labellings with the frames.

  CTC emits a token in at least one frame and the blank around it, so that a
  token ends where its frames end, not where the next begins.

  Args:
    logits: `b t v`, logits or log probabilities.
    lens: int32 `b`, frames that count.
    targets: int32 `b u`, token ids.
    target_lens: int32 `b`, tokens that count.
    blank_id: CTC's blank.
  """
  b, u = targets.shape
  # State 2 k is the blank after k tokens, 2 k + 1 the token k.
  labels = jnp.full((b, 2 * u + 1), blank_id, jnp.int32)
  labels = labels.at[:, 1::2].set(targets)
  # Two states at once: from a token to another, never from blank to blank.
  skips = (labels != _shift(labels, 2, blank_id)) & (labels != blank_id)
  scores = jnp.full((b, 2 * u + 1), _NEVER).at[:, 0].set(0)
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))

  def step(scores, frame):
    log_prob, inside = frame
    ways = jnp.stack(
      [
        scores,
        _shift(scores, 1, _NEVER),
        jnp.where(skips, _shift(scores, 2, _NEVER), _NEVER),
      ]
    )
    new = ways.max(0) + jnp.take_along_axis(log_prob, labels, 1)
    inside = inside[:, None]
    way = jnp.where(inside, ways.argmax(0), 0).astype(jnp.int8)
    return jnp.where(inside, new, scores), way

  inside = jnp.arange(logits.shape[1])[:, None] < lens
  scores, ways = lax.scan(step, scores, (log_probs.swapaxes(0, 1), inside))

  def back(state, way):
    came = jnp.take_along_axis(way, state[:, None], 1)[:, 0]
    return state - came, state

  # The path ends in the last token or in the blank after it.
  ends = jnp.stack([2 * target_lens, jnp.maximum(2 * target_lens - 1, 0)], 1)
  last = jnp.take_along_axis(scores, ends, 1)
  state = jnp.take_along_axis(ends, last.argmax(1)[:, None], 1)[:, 0]
  _, states = lax.scan(back, state, ways, reverse=True)
  return _spans(states, inside, target_lens, u, last.max(1))


def _spans(states, inside, target_lens, u: int, score) -> Alignment:
  """The frames of each token, from the states of the frames, `t b`."""
  t, b = states.shape
  # Blanks and frames that do not count go to a place that is dropped.
  token = jnp.where((states % 2 == 1) & inside, states // 2, u)
  row, frame = jnp.arange(b), jnp.arange(t, dtype=jnp.int32)[:, None]
  start = jnp.full((b, u), t, jnp.int32).at[row, token].min(frame, mode='drop')
  end = jnp.zeros((b, u), jnp.int32).at[row, token].max(frame + 1, mode='drop')
  there = (jnp.arange(u) < target_lens[:, None]) & (score > _NEVER)[:, None]
  return Alignment(
    jnp.where(there, start, -1), jnp.where(there, end, -1), score
  )


def frames_inside(start: jax.Array, end: jax.Array, t: int) -> jax.Array:
  """bool `b t u`: which frames are those of each token, see `Alignment`."""
  frames = jnp.arange(t)[None, :, None]
  return (frames >= start[:, None]) & (frames < end[:, None])


def confidence(
  logits: jax.Array, ids: jax.Array, start: jax.Array, end: jax.Array
) -> jax.Array:
  """How sure each aligned token is: its highest probability in its frames.

  Args:
    logits: `b t v`, logits or log probabilities.
    ids: int32 `b u`, the tokens.
    start: int32 `b u`, see `Alignment`.
    end: int32 `b u`.

  Returns:
    float32 `b u`, 0 where a token has no frame.
  """
  probs = jax.nn.softmax(logits.astype(jnp.float32))
  of_token = jnp.take_along_axis(probs, ids[:, None, :], 2)
  inside = frames_inside(start, end, logits.shape[1])
  return jnp.where(inside, of_token, 0).max(1)


def _shift(x: jax.Array, by: int, fill) -> jax.Array:
  """Moves `b n` to the right."""
  return jnp.pad(x, ((0, 0), (by, 0)), constant_values=fill)[:, : x.shape[1]]


def word_times(
  tokens: Sequence[str],
  start: Sequence[int] | np.ndarray,
  end: Sequence[int] | np.ndarray,
  *,
  frame_shift: float,
  confidence: Sequence[float] | np.ndarray | None = None,
) -> list[tuple[str, float, float, float]]:
  """Time stamps of the words of one aligned labelling.

  A word begins where a token has a space in front (a space of its own, or
  SentencePiece's sign), and lasts from its first token's first frame to the end
  of its last token's last.

  Args:
    tokens: the labelling's tokens, as strings.
    start: first frame of each token, as in `Alignment`.
    end: the frame after each token's last.
    frame_shift: seconds from one output frame to the next (hop of the features
      times the model's subsampling).
    confidence: of each token, in 0..1; None: all are sure.

  Returns:
    Word, begin and end in seconds, and the confidence of its least certain
    token, in order; nothing where there is no alignment.

  Raises:
    ValueError: fewer frames than tokens.
  """
  if min(len(start), len(end)) < len(tokens):
    raise ValueError(
      f'{len(tokens)} tokens need as many starts and ends, not {len(start)} '
      f'and {len(end)}'
    )
  words, fresh = [], True
  sure = np.ones(len(tokens)) if confidence is None else confidence
  for token, first, after, c in zip(tokens, start, end, sure, strict=False):
    text = token.replace(SPACE, ' ')
    fresh |= text.startswith(' ')
    text = text.strip(' ')
    if not text or first < 0:
      continue
    if fresh:
      words.append([text, first * frame_shift, after * frame_shift, c])
    else:
      words[-1][0] += text
      words[-1][2] = after * frame_shift
      words[-1][3] = min(words[-1][3], c)
    fresh = False
  return [(w, float(a), float(b), float(c)) for w, a, b, c in words]
