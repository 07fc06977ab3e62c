"""Decoding of transducers, frame by frame, on the device: greedy and beam.

Both read a chunk of frames and carry a state of fixed size, so that a stream
may call them chunk by chunk: tokens are those of the whole utterance at once.
A `head` is that of `heard`, with the methods of a transducer's head: `start`,
`advance` and `score`. The predictor goes on only where a token is emitted.

In a frame at most `max_symbols` tokens are emitted, then comes a blank: else a
search could stay in a frame forever.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.decode.beam import Hypotheses
from recog_jax.decode.fusion import Scorer
from recog_jax.decode.greedy import pack
from recog_jax.decode.heard import Head
from recog_jax.decode.prefixes import hashed, like, same, slots_back, take

_NEVER = -jnp.inf


class GreedyState(NamedTuple):
  """What greedy decoding carries from chunk to chunk; leading axis `b`.

  Attributes:
    predicted: `b j`, the predictor's part of the joiner.
    network: the predictor's state.
    frames: int32 `b`, frames so far.
    score: float32 `b`, natural log of the probability of the alignment.
  """

  predicted: jax.Array
  network: Any
  frames: jax.Array
  score: jax.Array


class Said(NamedTuple):
  """The tokens of a chunk; n is `max_symbols` times its frames.

  Attributes:
    ids: int32 `b n`, padded with 0.
    num: int32 `b`.
    frame: int32 `b n`, when each was emitted, from the first frame of all.
    log_prob: float32 `b n`, natural log of each token's probability there.
  """

  ids: jax.Array
  num: jax.Array
  frame: jax.Array
  log_prob: jax.Array


def greedy_start(head: Head, b: int) -> GreedyState:
  """The state before the first frame of b utterances."""
  predicted, network = head('start', b)
  zeros = jnp.zeros(b, jnp.int32)
  return GreedyState(predicted, network, zeros, jnp.zeros(b))


def greedy_step(
  head: Head,
  state: GreedyState,
  encoded: jax.Array,
  frame_len: jax.Array,
  *,
  blank_id: int,
  max_symbols: int,
) -> tuple[GreedyState, Said]:
  """The most probable symbol at each step of one alignment.

  Each row has a frame of its own: a step takes one row to its next frame and
  another to its next token, so that there are about t + u of them.

  Args:
    head: of the transducer.
    state: before the chunk.
    encoded: `b t j`, what the head's `project` gives.
    frame_len: int32 `b`, frames of the chunk that count.
    blank_id: the blank among the symbols.
    max_symbols: tokens in a frame, at most.

  Returns:
    The state after the chunk, and its tokens.
  """
  b, t, _ = encoded.shape
  row, n = jnp.arange(b), t * max_symbols
  said = Said(
    jnp.zeros((b, n), jnp.int32),
    jnp.zeros(b, jnp.int32),
    jnp.zeros((b, n), jnp.int32),
    jnp.zeros((b, n)),
  )

  def goes_on(carry):
    return (carry[1] < frame_len).any()

  def step(carry):
    state, place, in_frame, said = carry
    frame = encoded[row, jnp.minimum(place, t - 1)]
    log_probs = jax.nn.log_softmax(head('score', frame, state.predicted))
    best = log_probs.argmax(1).astype(jnp.int32)
    best = jnp.where(in_frame < max_symbols, best, blank_id)
    log_prob = log_probs[row, best]
    inside = place < frame_len
    emits = inside & (best != blank_id)
    # Those that emit nothing write behind the end, where it is dropped.
    end = jnp.where(emits, said.num, n)
    said = Said(
      said.ids.at[row, end].set(best, mode='drop'),
      said.num + emits,
      said.frame.at[row, end].set(state.frames + place, mode='drop'),
      said.log_prob.at[row, end].set(log_prob, mode='drop'),
    )
    predicted, network = _advance(
      head, (state.predicted, state.network), best, emits
    )
    score = state.score + jnp.where(inside, log_prob, 0)
    state = GreedyState(predicted, network, state.frames, score)
    place = place + (inside & ~emits)
    return state, place, jnp.where(emits, in_frame + 1, 0), said

  zeros = jnp.zeros(b, jnp.int32)
  state, _, _, said = lax.while_loop(goes_on, step, (state, zeros, zeros, said))
  frames = state.frames + frame_len.astype(jnp.int32)
  return state._replace(frames=frames), said


def _advance(head: Head, before: Any, tokens: jax.Array, emits: jax.Array):
  """The predictor after a token, in the rows that emit one."""

  def go_on():
    after = head('advance', before[1], tokens)
    return jax.tree.map(
      lambda a, x: jnp.where(like(emits, a), a, x).astype(x.dtype),
      after,
      before,
    )

  return lax.cond(emits.any(), go_on, lambda: before)


class BeamState(NamedTuple):
  """What the beam carries from frame to frame; arrays are `b w ...`.

  Attributes:
    score: float32, natural log of the probability of the alignments that the
      search has seen; -inf for a slot without a prefix.
    bonus: what the language model adds.
    key: uint32 `b w 2`, hash of the prefix.
    parent_key: that of the prefix without its last token.
    last: int32, the last token; -1 of the empty prefix.
    predicted: `b w j`, the predictor's part of the joiner.
    network: the predictor's states.
    lm: those of the language model; None without.
  """

  score: jax.Array
  bonus: jax.Array
  key: jax.Array
  parent_key: jax.Array
  last: jax.Array
  predicted: jax.Array
  network: Any
  lm: Any


class Trace(NamedTuple):
  """Where the prefixes of each frame come from; the leading axis is time.

  Those of chunks are joined along it.

  Attributes:
    parent: int32 `t b w`, slot in the frame before.
    tokens: int32 `t b w s`, what was added in this frame; blanks for none.
  """

  parent: jax.Array
  tokens: jax.Array


class _Slots(NamedTuple):
  """Prefixes within a frame; arrays are `b w ...`.

  Attributes:
    state: of the prefixes.
    done: whether the blank of this frame has come.
    origin: int32, slot at the begin of the frame.
    tokens: int32 `b w s`, added since.
  """

  state: BeamState
  done: jax.Array
  origin: jax.Array
  tokens: jax.Array


def beam_start(
  head: Head, b: int, width: int, scorer: Scorer | None = None
) -> BeamState:
  """The empty prefix in the first slot, and nothing in the others."""

  def split(x):
    return x.reshape(b, width, *x.shape[1:])

  predicted, network = jax.tree.map(split, head('start', b * width))
  key = jnp.zeros((b, width, 2), jnp.uint32)
  return BeamState(
    score=jnp.full((b, width), _NEVER).at[:, 0].set(0),
    bonus=jnp.zeros((b, width)),
    key=key,
    parent_key=key,
    last=jnp.full((b, width), -1, jnp.int32),
    predicted=predicted,
    network=network,
    lm=scorer.init(b, width) if scorer else None,
  )


def beam_step(
  head: Head,
  state: BeamState,
  encoded: jax.Array,
  frame_len: jax.Array,
  *,
  blank_id: int,
  max_symbols: int,
  top_tokens: int | None = None,
  scorer: Scorer | None = None,
) -> tuple[BeamState, Trace]:
  """Searches the labellings with the highest score, a chunk further.

  In a frame there are `max_symbols` rounds and a last one. In each, prefixes
  whose blank has not come get it, or one more token; the best of all stay.
  Equal prefixes become one, with the probability of both, and a prefix whose
  continuation is in the beam goes on to it before the first round. So a beam of
  width 1 is greedy decoding, and a wide one sums over all alignments but those
  with too many tokens in a frame: be generous with `max_symbols`, as what it
  forbids is lost. The idea is that
  of one-step constrained search (Kim et al., 2020, arXiv:2002.03577) and of
  icefall's modified beam search, with several tokens a frame.

  Args:
    head: of the transducer.
    state: before the chunk.
    encoded: `b t j`, what the head's `project` gives.
    frame_len: int32 `b`, frames of the chunk that count.
    blank_id: the blank among the symbols.
    max_symbols: tokens in a frame, at most.
    top_tokens: only this many tokens, the most probable of a round after any
      prefix of the beam, extend prefixes; None for all.
    scorer: the language model, see `fusion`; the one of `beam_start`.
  """
  b, width = state.score.shape

  def read(state, now):
    frame, inside = now

    def scores(state):
      return jax.nn.log_softmax(head('score', frame[:, None], state.predicted))

    round_of = functools.partial(
      _round,
      head,
      max_symbols=max_symbols,
      blank_id=blank_id,
      top_tokens=top_tokens,
      scorer=scorer,
    )
    log_probs = scores(state)
    grown, known = _along(state, log_probs, max_symbols)
    slots = _Slots(
      grown,
      jnp.zeros((b, width), bool),
      jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), (b, width)),
      jnp.full((b, width, max_symbols), blank_id, jnp.int32),
    )
    slots, _ = lax.scan(
      lambda slots, n: (round_of(slots, scores(slots.state), n), None),
      round_of(slots, log_probs, 0, known),
      jnp.arange(1, max_symbols + 1),
    )
    new, keep = slots.state, inside
    new = jax.tree.map(lambda a, x: jnp.where(like(keep, a), a, x), new, state)
    stay = jnp.arange(width, dtype=jnp.int32)
    keep = keep[:, None]
    return new, Trace(
      jnp.where(keep, slots.origin, stay),
      jnp.where(keep[..., None], slots.tokens, blank_id),
    )

  inside = jnp.arange(encoded.shape[1])[:, None] < frame_len
  return lax.scan(read, state, (encoded.swapaxes(0, 1), inside))


def _along(state: BeamState, log_probs: jax.Array, max_symbols: int):
  """Prefixes of the beam that go on to others of it, in a frame.

  Else they would compete with what they add to, and be pruned (Graves, 2012,
  section 2.6). Such alignments may go on by `max_symbols` further tokens.

  Returns:
    The state, with their alignments; and bool `b w v`, tokens by which each
    prefix has gone on.
  """
  child = same(state.key, state.parent_key, state.score > _NEVER)
  child &= (state.last >= 0)[:, None]
  last = jnp.broadcast_to(state.last[:, None], child.shape)
  edge = jnp.take_along_axis(log_probs, jnp.maximum(last, 0), 2)
  edge = jnp.where(child, edge, _NEVER)
  total = flow = state.score
  for _ in range(max_symbols):
    flow = (flow[..., None] + edge).max(1)
    total = jnp.logaddexp(total, flow)
  tokens = jax.nn.one_hot(state.last, log_probs.shape[2])
  known = jnp.einsum('bpc,bcv->bpv', child.astype(tokens.dtype), tokens) > 0
  return state._replace(score=total), known


def _round(
  head,
  slots,
  log_probs,
  number,
  known=None,
  *,
  max_symbols,
  blank_id,
  top_tokens,
  scorer,
) -> _Slots:
  """One more symbol of each prefix whose blank has not come."""
  state, done = slots.state, slots.done
  width = done.shape[1]
  stay = state.score + jnp.where(done, 0, log_probs[..., blank_id])
  stay = _merge(stay, state.key)

  tokens, values = _candidates(log_probs, blank_id, top_tokens)
  n = tokens.shape[1]
  may = ~done & (number < max_symbols)
  if known is not None:
    known = jnp.take_along_axis(known, tokens[:, None], 2)
    values = jnp.where(known, _NEVER, values)
  new = jnp.where(may[..., None], state.score[..., None] + values, _NEVER)
  gain = scorer.extend(state.lm, tokens) if scorer else jnp.zeros(new.shape)
  scores = jnp.concatenate(
    [
      stay + state.bonus,
      (new + gain + state.bonus[..., None]).reshape(-1, width * n),
    ],
    1,
  )
  _, chosen = lax.top_k(scores, width)

  stays = chosen < width
  parent = jnp.where(stays, chosen, (chosen - width) // n)
  place = jnp.where(stays, 0, chosen - width)
  token = jnp.take_along_axis(tokens, place % n, 1)
  old = jax.tree.map(lambda x: take(x, parent), slots)
  grown = old.state._replace(
    score=take(new.reshape(-1, width * n), place),
    bonus=old.state.bonus + take(gain.reshape(-1, width * n), place),
    key=hashed(old.state.key, token),
    parent_key=old.state.key,
    last=token,
    lm=scorer.advance(old.state.lm, token) if scorer else None,
  )
  predicted, network = _advance_all(head, old.state, token, ~stays)
  stayed = old.state._replace(score=take(stay, parent))
  state = jax.tree.map(
    lambda a, x: jnp.where(like(stays, a), a, x), stayed, grown
  )._replace(predicted=predicted, network=network)
  added = jnp.where(stays, blank_id, token)
  here = jnp.arange(max_symbols) == number
  written = jnp.where(here, added[..., None], old.tokens)
  return _Slots(state, stays, old.origin, written)


def _advance_all(head, state: BeamState, token, emits):
  """The predictor after a token, in the slots that emit one."""
  b, width = token.shape

  def join(x):
    return x.reshape(b * width, *x.shape[2:])

  def split(x):
    return x.reshape(b, width, *x.shape[1:])

  before = jax.tree.map(join, (state.predicted, state.network))
  after = _advance(head, before, join(token), join(emits))
  return jax.tree.map(split, after)


def _merge(score: jax.Array, key: jax.Array) -> jax.Array:
  """Equal prefixes become one, in the first slot of them: `b w`."""
  there = score > _NEVER
  equal = same(key, key, there)
  total = jax.nn.logsumexp(jnp.where(equal, score[:, None, :], _NEVER), axis=2)
  first = equal.argmax(2) == jnp.arange(score.shape[1])
  return jnp.where(there & first, total, _NEVER)


def _candidates(log_probs, blank_id: int, top_tokens: int | None):
  """Tokens `b n` that may follow, and their log probabilities `b w n`."""
  b, _, v = log_probs.shape
  labels = log_probs.at[..., blank_id].set(_NEVER)
  if top_tokens is None or top_tokens >= v:
    return jnp.broadcast_to(jnp.arange(v, dtype=jnp.int32), (b, v)), labels
  _, tokens = lax.top_k(labels.max(1), top_tokens)
  return tokens, jnp.take_along_axis(labels, tokens[:, None], 2)


def best_of(
  state: BeamState,
  trace: Trace,
  *,
  blank_id: int,
  n_best: int,
  scorer: Scorer | None = None,
) -> Hypotheses:
  """The best labellings of a beam, best first.

  Args:
    state: after the last frame.
    trace: of all frames since the beam's start.
    blank_id: the blank among the symbols.
    n_best: labellings that are returned, at most the beam's width.
    scorer: the language model, which also scores the end of the sentence.

  Returns:
    Those whose `log_prob` is of the alignments that the search has seen; see
    `transducer_exact` for all.
  """
  bonus = state.bonus + (scorer.finish(state.lm) if scorer else 0)
  score, slots = lax.top_k(state.score + bonus, n_best)
  tokens = jax.vmap(take)(trace.tokens, slots_back(slots, trace.parent))
  t, b, n, s = tokens.shape
  tokens = jnp.moveaxis(tokens, 0, 2).reshape(b, n, t * s)
  some = score > _NEVER
  ids, num = pack(tokens, (tokens != blank_id) & some[..., None])
  log_prob = jnp.where(some, take(state.score, slots), _NEVER)
  return Hypotheses(ids, num, score, log_prob)
