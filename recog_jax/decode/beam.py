"""CTC prefix beam search on the device, with or without a language model.

Hannun et al., "First-pass large vocabulary continuous speech recognition using
bi-directional recurrent DNNs", 2014, algorithm 1, for a whole batch: one
`lax.scan` over time. Prefixes are known by a hash, and written out in the end
by following each back to its parents.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.decode import fusion
from recog_jax.decode.forward import labelling_log_probs
from recog_jax.decode.greedy import greedy
from recog_jax.decode.prefixes import hashed, like, same, take, write_out

_NEVER = -jnp.inf


class Hypotheses(NamedTuple):
  """The best labellings of each row, best first.

  Where there are fewer than n, the rest have score -inf and no tokens.

  Attributes:
    ids: int32 `b n t`, padded with 0.
    num: int32 `b n`, their lengths.
    score: float32 `b n`: `log_prob`, and what the language model adds.
    log_prob: float32 `b n`, natural log of the labelling's probability under
      CTC, summed over all alignments.
  """

  ids: jax.Array
  num: jax.Array
  score: jax.Array
  log_prob: jax.Array


class _Beam(NamedTuple):
  """The prefixes of each row; all arrays `b w`.

  Attributes:
    blank: log probability of the alignments that end in the blank.
    label: of those that end in the last token.
    last: the last token; the blank for the empty prefix.
    num: number of tokens.
    key: uint32 `b w 2`, hash of the prefix.
    parent_key: of the prefix without its last token.
    bonus: what the language model adds.
    lm: state of the language model; None without.
  """

  blank: jax.Array
  label: jax.Array
  last: jax.Array
  num: jax.Array
  key: jax.Array
  parent_key: jax.Array
  bonus: jax.Array
  lm: Any

  @property
  def total(self) -> jax.Array:
    return jnp.logaddexp(self.blank, self.label)


class _Frame(NamedTuple):
  """What a step reads; time leads inside the scan's input.

  Attributes:
    log_probs: float32 `b v`.
    tokens: int32 `b n`, those that may extend a prefix.
    token_log_probs: float32 `b n`; -inf for the blank.
    inside: bool `b`, whether the row has this frame.
  """

  log_probs: jax.Array
  tokens: jax.Array
  token_log_probs: jax.Array
  inside: jax.Array


def beam_search(
  logits: jax.Array,
  lens: jax.Array,
  *,
  blank_id: int,
  width: int,
  top_tokens: int | None = None,
  n_best: int = 1,
  scorer: fusion.Scorer | None = None,
) -> Hypotheses:
  """Searches the labellings with the highest score.

  The score of a labelling is its log probability under CTC, summed over all
  alignments, plus what the language model adds. The search keeps `width`
  prefixes a frame by the alignments that it has seen; in the end the n best and
  the labelling of the best path are scored exactly. So the first never scores
  less than the labelling of greedy decoding.

  Args:
    logits: `b t v`, logits or log probabilities.
    lens: int32 `b`, frames that count; what comes after them is ignored.
    blank_id: CTC's blank among the v tokens.
    width: prefixes that are kept.
    top_tokens: only this many tokens, the most probable of each frame, extend
      prefixes; None for all of them.
    n_best: labellings that are returned, at most `width`.
    scorer: the language model, see `fusion`.

  Raises:
    ValueError: numbers out of range.
  """
  check_beam(width, top_tokens, n_best)
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  frames = _frames(log_probs, lens, blank_id, top_tokens)
  beam = _empty_beam(logits.shape[0], width, blank_id, scorer)

  def step(beam, frame):
    new, parent, token = _step(beam, frame, blank_id, scorer)
    keep = frame.inside
    new = jax.tree.map(lambda a, b: jnp.where(like(keep, a), a, b), new, beam)
    parent = jnp.where(keep[:, None], parent, jnp.arange(width))
    return new, (parent, jnp.where(keep[:, None], token, blank_id))

  beam, trace = lax.scan(step, beam, frames)
  bonus = beam.bonus + (scorer.finish(beam.lm) if scorer else 0)
  score, slots = lax.top_k(beam.total + bonus, n_best)
  ids, num = write_out(slots, *trace, blank_id)
  bonus = jnp.take_along_axis(bonus, slots, 1)
  # A slot that no prefix has come to holds no hypothesis.
  bonus = jnp.where(score > _NEVER, bonus, _NEVER)

  def exact(ids, num):
    return labelling_log_probs(log_probs, lens, ids, num, blank_id=blank_id)

  best_ids, best_num, _ = greedy(log_probs, lens, blank_id=blank_id)
  return with_greedy(
    ids, num, bonus, best_ids, best_num, exact, n_best=n_best, scorer=scorer
  )


def with_greedy(
  ids: jax.Array,
  num: jax.Array,
  bonus: jax.Array,
  best_ids: jax.Array,
  best_num: jax.Array,
  exact: Callable[[jax.Array, jax.Array], jax.Array],
  *,
  n_best: int,
  scorer: fusion.Scorer | None = None,
) -> Hypotheses:
  """The best of a beam's labellings and greedy's, all scored exactly.

  Args:
    ids: int32 `b n u`, of the beam, which differ.
    num: int32 `b n`, their lengths.
    bonus: float32 `b n`, what the language model adds; -inf for none.
    best_ids: int32 `b u`, of greedy decoding.
    best_num: int32 `b`.
    exact: ids `b m u` and their lengths to log probabilities, `b m`.
    n_best: labellings that are returned, at most n.
    scorer: the language model, see `fusion`.
  """
  best_bonus = fusion.score(scorer, best_ids, best_num) if scorer else 0.0
  again = (ids == best_ids[:, None]).all(2) & (num == best_num[:, None])
  again = (again & (bonus > _NEVER)).any(1)
  best_bonus = jnp.where(again, _NEVER, best_bonus)
  ids = jnp.concatenate([ids, best_ids[:, None]], 1)
  num = jnp.concatenate([num, best_num[:, None]], 1)
  bonus = jnp.concatenate([bonus, best_bonus[:, None]], 1)
  return _best(ids, num, exact(ids, num), bonus, n_best)


def given(found: Any, n_best: int) -> dict[str, jax.Array]:
  """What a decoder gives of a search; more than the best where asked for.

  Args:
    found: `Hypotheses`, or what has `ids`, `num` and `score` as those do.
    n_best: how many.
  """
  rows = {
    'ids': found.ids[:, 0],
    'num': found.num[:, 0],
    'score': found.score[:, 0],
  }
  if n_best > 1:
    rows |= {
      'n_best_ids': found.ids[:, :n_best],
      'n_best_num': found.num[:, :n_best],
      'n_best_score': found.score[:, :n_best],
    }
  return rows


def check_beam(width: int, top_tokens: int | None, n_best: int = 1) -> None:
  """Raises ValueError where a number of `beam_search` is out of range."""
  if width < 1:
    raise ValueError(f'the width of a beam is 1 or more, not {width}')
  if top_tokens is not None and top_tokens < 1:
    raise ValueError(
      f'top_tokens is 1 or more, or None for all tokens, not {top_tokens}'
    )
  if not 1 <= n_best <= width:
    raise ValueError(
      f'{n_best} best hypotheses of a beam of width {width}: ask for 1 to width'
    )


def _frames(log_probs, lens, blank_id: int, top_tokens: int | None) -> _Frame:
  """All frames, with time in front."""
  b, t, v = log_probs.shape
  labels = log_probs.at[:, :, blank_id].set(_NEVER)
  if top_tokens is None or top_tokens >= v:
    values = labels
    tokens = jnp.broadcast_to(jnp.arange(v, dtype=jnp.int32), (b, t, v))
  else:
    values, tokens = lax.top_k(labels, top_tokens)
  inside = jnp.arange(t) < lens[:, None]
  frames = _Frame(log_probs, tokens, values, inside)
  return jax.tree.map(lambda x: x.swapaxes(0, 1), frames)


def _empty_beam(b: int, w: int, blank_id: int, scorer) -> _Beam:
  """The empty prefix in the first slot, and nothing in the others."""
  never = jnp.full((b, w), _NEVER)
  key = jnp.zeros((b, w, 2), jnp.uint32)
  return _Beam(
    blank=never.at[:, 0].set(0),
    label=never,
    last=jnp.full((b, w), blank_id, jnp.int32),
    num=jnp.zeros((b, w), jnp.int32),
    key=key,
    parent_key=key,
    bonus=jnp.zeros((b, w)),
    lm=scorer.init(b, w) if scorer else None,
  )


def _step(beam: _Beam, frame: _Frame, blank_id: int, scorer):
  """One frame: the new beam, each prefix's parent slot, the token it added.

  A prefix comes from itself (one more blank, or its last token again) or from
  its parent, one token shorter. Where both are in the beam the two meet; new
  prefixes never do, as those of a beam differ.
  """
  w, n = beam.last.shape[1], frame.tokens.shape[1]
  total = beam.total
  blank = total + frame.log_probs[:, blank_id, None]
  again = jnp.take_along_axis(frame.log_probs, beam.last, 1)
  is_child = _is_child(beam, total)
  # A token that is said twice needs a blank between: then only the alignments
  # that end in the blank go on.
  same = beam.last[:, :, None] == beam.last[:, None, :]
  source = jnp.where(same, beam.blank[:, None, :], total[:, None, :])
  source = jnp.where(is_child, source, _NEVER).max(2)
  label = jnp.logaddexp(beam.label, source) + again

  same = frame.tokens[:, None, :] == beam.last[:, :, None]
  source = jnp.where(same, beam.blank[:, :, None], total[:, :, None])
  new = source + frame.token_log_probs[:, None, :]
  # What is in the beam already was counted there.
  there = jnp.einsum(
    'bji,bjn->bin', is_child.astype(jnp.float32), same.astype(jnp.float32)
  )
  new = jnp.where(there > 0, _NEVER, new)
  gain = scorer.extend(beam.lm, frame.tokens) if scorer else 0.0
  scores = jnp.concatenate(
    [
      jnp.logaddexp(blank, label) + beam.bonus,
      (new + gain + beam.bonus[:, :, None]).reshape(-1, w * n),
    ],
    1,
  )
  _, chosen = lax.top_k(scores, w)

  stays = chosen < w
  parent = jnp.where(stays, chosen, (chosen - w) // n)
  place = jnp.where(stays, 0, chosen - w)
  token = jnp.take_along_axis(frame.tokens, place % n, 1)
  old = jax.tree.map(lambda x: take(x, parent), beam)
  grown = old._replace(
    blank=jnp.full_like(old.blank, _NEVER),
    label=take(new.reshape(-1, w * n), place),
    last=token,
    num=old.num + 1,
    key=hashed(old.key, token),
    parent_key=old.key,
  )
  if scorer:
    grown = grown._replace(
      bonus=old.bonus + take(gain.reshape(-1, w * n), place),
      lm=scorer.advance(old.lm, token),
    )
  stayed = old._replace(blank=take(blank, parent), label=take(label, parent))
  beam = jax.tree.map(
    lambda a, b: jnp.where(like(stays, a), a, b), stayed, grown
  )
  return beam, parent, jnp.where(stays, blank_id, token)


def _is_child(beam: _Beam, total: jax.Array) -> jax.Array:
  """bool `b w w`: whether the first prefix is the second and one token more."""
  # The empty prefix has no parent, whatever its key.
  longer = beam.num[:, :, None] == beam.num[:, None] + 1
  return longer & same(beam.parent_key, beam.key, total > _NEVER)


def _best(ids, num, log_prob, bonus, n: int) -> Hypotheses:
  """The n best of hypotheses `b m`; a bonus of -inf says that there is none."""
  score, best = lax.top_k(log_prob + bonus, n)
  some = score > _NEVER
  return Hypotheses(
    ids=jnp.where(some[..., None], take(ids, best), 0),
    num=jnp.where(some, take(num, best), 0),
    score=score,
    log_prob=jnp.where(some, take(log_prob, best), _NEVER),
  )
