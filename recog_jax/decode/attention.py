"""Beam search of an attention decoder, alone or jointly with CTC's prefixes.

Symbols come one after another. Hypotheses that end leave the beam and are kept
beside it; the search of a row is over when none in the beam can overtake them,
and at the latest after a bound of symbols, which CTC's greedy text or, without
that head, the number of hidden frames gives: so it never runs away.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.decode import ctc_prefix, fusion
from recog_jax.decode.beam import check_beam, given
from recog_jax.decode.greedy import greedy
from recog_jax.decode.heard import Heard
from recog_jax.decode.lm import LmKeys
from recog_jax.decode.prefixes import take
from recog_jax.ranges import Share, Size

NEVER = ctc_prefix.NEVER
# The bound is so many times the symbols of CTC's greedy text, and some more.
_TIMES, _MORE = 1.2, 5


class Hypotheses(NamedTuple):
  """The best texts of each row, best first.

  Where there are fewer than n, the rest have score `NEVER` and no symbols.

  Attributes:
    ids: int32 `b n u`, padded with 0.
    num: int32 `b n`, their lengths.
    score: float32 `b n`, natural log.
    unfinished: bool `b`, whether the best was ended by the bound.
  """

  ids: jax.Array
  num: jax.Array
  score: jax.Array
  unfinished: jax.Array


class _Beam(NamedTuple):
  """The search between two symbols.

  Attributes:
    place: int32, symbols of each hypothesis in the beam.
    last: int32 `b w`, the last symbol of each.
    attention: float32 `b w`, the decoder's log probability of each.
    bonus: float32 `b w`, what the language model adds.
    total: float32 `b w`, the score by which they are chosen.
    ids: int32 `b w u`.
    state: of the decoder.
    lm: of the language model, or None.
    ctc: `ctc_prefix.Prefixes`, or None.
    ended: `Hypotheses` `b w`.
  """

  place: jax.Array
  last: jax.Array
  attention: jax.Array
  bonus: jax.Array
  total: jax.Array
  ids: jax.Array
  state: Any
  lm: Any
  ctc: Any
  ended: Hypotheses


def bounds(heard: Heard, blank_id: int) -> jax.Array:
  """int32 `b`: symbols that a text may have."""
  out_len = heard.out_len.astype(jnp.int32)
  if heard.most is not None:
    out_len = jnp.minimum(out_len, heard.most)
  if heard.logits is None:
    return out_len
  _, num, _ = greedy(heard.logits, out_len, blank_id=blank_id)
  bound = (num * _TIMES).astype(jnp.int32) + _MORE
  return jnp.minimum(bound, out_len)


def search(
  heard: Heard,
  *,
  blank_id: int,
  width: int,
  n_best: int = 1,
  ctc_weight: float = 0.0,
  top_tokens: int | None = None,
  scorer: fusion.Scorer | None = None,
) -> Hypotheses:
  """Searches the texts with the highest score.

  The score of a text is its log probability by the attention decoder, with
  `ctc_weight` w the sum of (1 - w) of that and w of CTC's, plus what the
  language model adds. A text ends where its end is among the `width` best
  continuations of all.

  Args:
    heard: with the head `attention`, and CTC's where that counts.
    blank_id: CTC's blank, and in its place start and end of the decoder.
    width: hypotheses that are kept; 1 is greedy.
    n_best: of so many the search has to be sure.
    ctc_weight: of CTC in the score, in [0, 1).
    top_tokens: only this many symbols, the most probable by the decoder,
      extend a hypothesis; None for all.
    scorer: the language model, see `fusion`.
  """
  head = heard.heads['attention']
  memory = head('prepare', heard.hidden, heard.out_len)
  b, most = heard.hidden.shape[:2]
  # Symbols and the end.
  most = 1 + (most if heard.most is None else min(most, heard.most))
  if not ctc_weight and scorer is None:
    # No other continuation of a hypothesis can be among the best of all.
    top_tokens = width
  bound = bounds(heard, blank_id)
  log_probs = None
  if ctc_weight:
    assert heard.logits is not None  # The decoder says that it reads it.
    log_probs = jax.nn.log_softmax(heard.logits.astype(jnp.float32))
  first = jnp.full((b, width), NEVER).at[:, 0].set(0.0)
  none = jnp.zeros((b, width), jnp.int32)
  beam = _Beam(
    place=jnp.zeros((), jnp.int32),
    last=jnp.full((b, width), blank_id, jnp.int32),
    attention=first,
    bonus=jnp.zeros((b, width)),
    total=first,
    ids=jnp.zeros((b, width, most - 1), jnp.int32),
    state=head('init_state', memory, width, most),
    lm=scorer.init(b, width) if scorer else None,
    ctc=ctc_prefix.begin(log_probs, width, blank_id=blank_id)
    if log_probs is not None
    else None,
    ended=Hypotheses(
      jnp.zeros((b, width, most - 1), jnp.int32),
      none,
      jnp.full((b, width), NEVER),
      jnp.zeros(b, bool),
    ),
  )
  gain = max(0.0, float(getattr(scorer, 'beta', 0.0)))

  def still_open(beam):
    return (beam.place <= bound) & ~_settled(beam, bound, gain, n_best)

  def step(beam):
    logits, state = head('step', memory, beam.state, beam.last, beam.place)
    steps = jax.nn.log_softmax(logits.astype(jnp.float32))
    end = _ends(beam, steps, heard.out_len, blank_id, ctc_weight, scorer)
    new = _continued(
      beam._replace(state=state),
      steps,
      log_probs,
      heard.out_len,
      blank_id,
      ctc_weight,
      top_tokens,
      scorer,
    )
    # An end counts if fewer than `width` continuations are better than it.
    at_bound = (beam.place >= bound)[:, None]
    kept = (end >= new.total[:, -1:]) | at_bound
    # Of a row that is done nothing changes any more.
    kept &= still_open(beam)[:, None]
    ended = _merge(beam, jnp.where(kept, end, NEVER))
    return new._replace(ended=ended)

  beam = lax.while_loop(lambda x: still_open(x).any(), step, beam)
  found = beam.ended
  some = found.score > NEVER / 2
  return Hypotheses(
    jnp.where(some[..., None], found.ids, 0),
    jnp.where(some, found.num, 0),
    found.score,
    (found.num[:, 0] >= bound) & (bound > 0),
  )


def _settled(
  beam: _Beam, bound: jax.Array, gain: float, n_best: int
) -> jax.Array:
  """bool `b`: whether none in the beam can come before the n best that ended.

  A symbol adds at most `gain` to a score.
  """
  left = jnp.maximum(bound - beam.place, 0) + 1
  possible = beam.total.max(1) + left * gain
  return beam.ended.score[:, n_best - 1] >= possible


def _ends(
  beam: _Beam,
  steps: jax.Array,
  lens: jax.Array,
  blank_id: int,
  ctc_weight: float,
  scorer: fusion.Scorer | None,
) -> jax.Array:
  """float32 `b w`: the scores of the hypotheses as whole texts."""
  score = beam.attention + steps[:, :, blank_id]
  if ctc_weight:
    whole = ctc_prefix.ended(beam.ctc, lens)
    score = (1 - ctc_weight) * score + ctc_weight * whole
  if scorer:
    score = score + beam.bonus + scorer.finish(beam.lm)
  return jnp.where(beam.total > NEVER / 2, score, NEVER)


def _continued(
  beam: _Beam,
  steps: jax.Array,
  log_probs: jax.Array | None,
  lens: jax.Array,
  blank_id: int,
  ctc_weight: float,
  top_tokens: int | None,
  scorer: fusion.Scorer | None,
) -> _Beam:
  """The w best hypotheses with one more symbol."""
  b, w, v = steps.shape
  k = v - 1 if top_tokens is None else min(top_tokens, v - 1)
  values, tokens = lax.top_k(steps.at[:, :, blank_id].set(NEVER), k)
  attention = beam.attention[:, :, None] + values
  total = attention
  grown = None
  if log_probs is not None:
    grown = ctc_prefix.extend(
      log_probs, lens, beam.ctc, tokens, blank_id=blank_id
    )
    whole = grown.score.reshape(b, w, k)
    total = (1 - ctc_weight) * attention + ctc_weight * whole
  bonus = jnp.broadcast_to(beam.bonus[:, :, None], total.shape)
  if scorer:
    bonus = bonus + _extend(scorer, beam.lm, tokens, v)
    total = total + bonus
  alive = (beam.total > NEVER / 2)[:, :, None] & (values > NEVER / 2)
  total = jnp.where(alive, total, NEVER)
  best, chosen = lax.top_k(total.reshape(b, w * k), w)
  parent = chosen // k

  def pick(x):
    return take(x.reshape(b, w * k, *x.shape[3:]), chosen)

  def follow(tree):
    return jax.tree.map(lambda x: take(x, parent), tree)

  token = pick(tokens)
  place = jnp.minimum(beam.place, beam.ids.shape[2] - 1)
  ids = take(beam.ids, parent)
  ids = lax.dynamic_update_slice(ids, token[:, :, None], (0, 0, place))
  lm = follow(beam.lm)
  return beam._replace(
    place=beam.place + 1,
    last=token,
    attention=pick(attention),
    bonus=pick(bonus),
    total=jnp.maximum(best, NEVER),
    ids=ids,
    state=beam.state if w == 1 else follow(beam.state),
    lm=scorer.advance(lm, token) if scorer else None,
    ctc=jax.tree.map(lambda x: take(x, chosen), grown),
  )


def _extend(
  scorer: fusion.Scorer, state: Any, tokens: jax.Array, v: int
) -> jax.Array:
  """float32 `b w k`: what each prefix's own tokens `b w k` add."""
  if tokens.shape[2] >= v - 1:  # All are asked for: once for all prefixes.
    everything = jnp.broadcast_to(jnp.arange(v), (tokens.shape[0], v))
    gain = scorer.extend(state, everything)
    return jnp.take_along_axis(gain, tokens, 2)
  b, w, k = tokens.shape
  wide = jax.tree.map(lambda x: x.reshape(b * w, 1, *x.shape[2:]), state)
  return scorer.extend(wide, tokens.reshape(b * w, k)).reshape(b, w, k)


def _merge(beam: _Beam, scores: jax.Array) -> Hypotheses:
  """What has ended, and what ends now with these scores; the w best."""
  old = beam.ended
  w = scores.shape[1]
  score, chosen = lax.top_k(jnp.concatenate([old.score, scores], 1), w)
  num = jnp.broadcast_to(beam.place, scores.shape)
  return Hypotheses(
    take(jnp.concatenate([old.ids, beam.ids], 1), chosen),
    take(jnp.concatenate([old.num, num], 1), chosen),
    score,
    old.unfinished,
  )


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder:
  """A search with its settings; called with a `Heard` in jit.

  Attributes:
    find: `Heard` -> `Hypotheses`.
    n_best: hypotheses that are given beside the best.
    reads: the heads that it needs.
  """

  find: Callable[[Heard], Hypotheses]
  n_best: int
  reads: tuple[str, ...]

  def __call__(self, heard: Heard) -> dict[str, Any]:
    """See `recog_jax.decode.decoder.Decoder`."""
    found = self.find(heard)
    return given(found, self.n_best) | {'unfinished': found.unfinished}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keys(LmKeys):
  """The keys of the decoder `attention`.

  Attributes:
    width: hypotheses that the beam keeps; 1 is greedy.
    n_best: how many come into the records, with their scores.
  """

  width: Size = 1
  n_best: Size = 1

  def make(self, name: str, *, blank_id: int, vocab: Sequence[str]) -> Decoder:
    del name
    check_beam(self.width, None, self.n_best)
    find = functools.partial(
      search,
      blank_id=blank_id,
      width=self.width,
      n_best=self.n_best,
      scorer=self.scorer(blank_id=blank_id, vocab=vocab),
    )
    return Decoder(find, self.n_best, ('attention',))


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointKeys(LmKeys):
  """The keys of the decoder `joint`.

  Attributes:
    width: hypotheses that the beam keeps.
    n_best: how many come into the records, with their scores.
    ctc_weight: of CTC's log probability; the attention decoder's has one minus
      this.
    top_tokens: only this many symbols, the most probable by the attention
      decoder, extend a hypothesis; None for twice the width.
  """

  width: Size = 8
  n_best: Size = 1
  ctc_weight: Share = 0.3
  top_tokens: Size | None = None

  def make(self, name: str, *, blank_id: int, vocab: Sequence[str]) -> Decoder:
    del name
    check_beam(self.width, self.top_tokens, self.n_best)
    find = functools.partial(
      search,
      blank_id=blank_id,
      width=self.width,
      n_best=self.n_best,
      ctc_weight=float(self.ctc_weight),
      top_tokens=self.top_tokens or 2 * self.width,
      scorer=self.scorer(blank_id=blank_id, vocab=vocab),
    )
    return Decoder(find, self.n_best, ('ctc', 'attention'))
