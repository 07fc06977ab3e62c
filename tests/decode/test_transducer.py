"""Greedy and beam search of transducers, against enumeration."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.decode import fusion
from recog_jax.decode.heard import Heard
from recog_jax.decode.transducer import (
  BeamState,
  GreedyState,
  beam_start,
  beam_step,
  best_of,
  greedy_start,
  greedy_step,
)
from recog_jax.decode.transducer_decoder import TransducerKeys
from recog_jax.decode.transducer_exact import labelling_log_probs
from tests.decode import toy_lm
from tests.decode.toy_transducer import ToyHead, encoded, labellings

_BLANK, _MOST = 1, 2
_B, _T, _V = 6, 5, 5
_LENS = np.array([5, 4, 0, 5, 2, 1], np.int32)
_HEAD = ToyHead(_V)
_KEYS = {'blank_id': _BLANK, 'max_symbols': _MOST}


@jax.jit
def _greedy(x, lens):
  return greedy_step(_HEAD, greedy_start(_HEAD, len(x)), x, lens, **_KEYS)


@functools.partial(jax.jit, static_argnames=('width', 'n_best', 'top_tokens'))
def _beam(x, lens, *, width, n_best=1, scorer=None, top_tokens=None):
  state = beam_start(_HEAD, len(x), width, scorer)
  state, trace = beam_step(
    _HEAD, state, x, lens, **_KEYS, scorer=scorer, top_tokens=top_tokens
  )
  return best_of(state, trace, blank_id=_BLANK, n_best=n_best, scorer=scorer)


def _by_hand(frames):
  """Tokens, the frame of each, and the log probability of the alignment."""
  ids, when, total = [], [], 0.0
  for place, frame in enumerate(frames):
    for _ in range(_MOST + 1):
      log_probs = _HEAD.log_probs(frame, ids)
      full = len([w for w in when if w == place]) == _MOST
      best = _BLANK if full else int(log_probs.argmax())
      total += log_probs[best]
      if best == _BLANK:
        break
      ids.append(best)
      when.append(place)
  return ids, when, total


@pytest.mark.smoke
def test_greedy_takes_the_best_symbol_at_each_step():
  x = encoded(_B, _T)
  state, said = _greedy(x, _LENS)
  longest = 0
  for row, length in enumerate(_LENS):
    ids, when, total = _by_hand(x[row, :length])
    num = int(said.num[row])
    assert said.ids[row, :num].tolist() == ids
    assert said.frame[row, :num].tolist() == when
    assert not said.ids[row, num:].any()
    np.testing.assert_allclose(state.score[row], total, atol=1e-5)
    longest = max(longest, *np.bincount(when), 0) if when else longest
  assert longest == _MOST  # The bound was reached.
  assert state.frames.tolist() == _LENS.tolist()


def test_a_beam_of_width_one_is_greedy():
  x = encoded(12, 9, seed=3)
  lens = np.resize(np.arange(10), 12).astype(np.int32)
  state, said = _greedy(x, lens)
  found = _beam(x, lens, width=1)
  np.testing.assert_array_equal(found.ids[:, 0], said.ids)
  np.testing.assert_array_equal(found.num[:, 0], said.num)
  np.testing.assert_allclose(found.score[:, 0], state.score, atol=1e-4)


def test_a_wide_beam_finds_the_best_sums_over_all_alignments():
  x, lens = encoded(4, 3, seed=5), np.array([3, 2, 1, 0], np.int32)
  head = ToyHead(3, seed=5)

  @jax.jit
  def search(x, lens):
    state = beam_start(head, len(x), 256)
    state, trace = beam_step(head, state, x, lens, **_KEYS)
    found = best_of(state, trace, blank_id=_BLANK, n_best=5)
    return found, labelling_log_probs(
      head, x, lens, found.ids, found.num, blank_id=_BLANK
    )

  found, exact = search(x, lens)
  for row, length in enumerate(lens):
    every = labellings(head, x[row, :length], **_KEYS)
    best = sorted(every.items(), key=lambda item: -item[1])[:5]
    for n, (labelling, log_prob) in enumerate(best):
      num = int(found.num[row, n])
      assert tuple(found.ids[row, n, :num].tolist()) == labelling
      # Some alignments with more tokens in a frame count as well.
      assert log_prob - 1e-5 <= found.log_prob[row, n] <= exact[row, n] + 1e-5
    for n in range(len(best), 5):
      assert found.score[row, n] == -np.inf
      assert found.num[row, n] == 0


def test_prefixes_of_the_beam_add_to_each_other_before_they_compete():
  head, x, lens = ToyHead(2), encoded(16, 6), np.full(16, 6, np.int32)

  @jax.jit
  def search(x, lens):
    state = beam_start(head, len(x), 3)
    state, trace = beam_step(head, state, x, lens, **_KEYS)
    found = best_of(state, trace, blank_id=_BLANK, n_best=1)
    return found.log_prob, labelling_log_probs(
      head, x, lens, found.ids, found.num, blank_id=_BLANK
    )

  own, exact = search(x, lens)
  lost = np.asarray(exact - own)
  assert (lost > -1e-5).all()
  assert lost.mean() < 1  # 2.6 where they compete.


@pytest.mark.slow
def test_the_decoder_is_never_below_greedy():
  x = np.asarray(encoded(24, 9, seed=3))
  lens = np.resize(np.arange(10), 24).astype(np.int32)
  keys = TransducerKeys(max_symbols=_MOST, width=2, n_best=2)
  decoder = keys.make('transducer_beam', blank_id=_BLANK, vocab=())

  def head(method, *args):
    return args[0] if method == 'project' else _HEAD(method, *args)

  @jax.jit
  def both(x, lens):
    _, said = greedy_step(_HEAD, greedy_start(_HEAD, len(x)), x, lens, **_KEYS)
    exact = functools.partial(
      labelling_log_probs, _HEAD, x, lens, blank_id=_BLANK
    )
    found = decoder(Heard(None, lens, x, {'transducer': head}))
    own = exact(found['n_best_ids'], found['n_best_num'])
    return found, own, said, exact(said.ids[:, None], said.num[:, None])[:, 0]

  found, own, said, greedy = both(x, lens)
  score = found['score']
  assert (score >= greedy - 1e-5).all()
  assert (score > greedy + 1e-3).any()
  # Greedy's text is the best of some rows only by being looked at.
  lost = _beam(x, lens, width=2, n_best=2).ids != said.ids[:, None]
  same = (found['ids'] == said.ids).all(1)
  assert (lost.any(2).all(1) & same).any()
  some = np.isfinite(found['n_best_score'])
  np.testing.assert_allclose(found['n_best_score'][some], own[some], atol=1e-4)
  assert (np.diff(np.where(some, own, -1e9)) <= 1e-5).all()
  there = np.arange(found['ids'].shape[1]) < found['num'][:, None]
  sure = np.asarray(found['confidence'])
  assert (sure[there] > 0).all()
  assert (sure[there] < 1).all()
  assert not sure[~there].any()
  assert (found['start'][there] < np.repeat(lens, found['num'])).all()


@pytest.mark.slow
def test_chunks_give_what_the_whole_gives():
  x = encoded(_B, _T)
  whole_state, whole = _greedy(x, _LENS)
  want = _beam(x, _LENS, width=4, n_best=4)
  state, beam = greedy_start(_HEAD, _B), beam_start(_HEAD, _B, 4)
  greedy = jax.jit(functools.partial(greedy_step, _HEAD, **_KEYS))
  search = jax.jit(functools.partial(beam_step, _HEAD, **_KEYS))
  sizes = jax.tree.map(jnp.shape, (state, beam))
  ids, frames, traces = [[] for _ in x], [[] for _ in x], []
  for begin in (0, 2, 4):
    chunk = np.zeros((_B, 2, x.shape[2]), np.float32)
    part = x[:, begin : begin + 2]
    chunk[:, : part.shape[1]] = part
    lens = np.clip(_LENS - begin, 0, part.shape[1])
    state, said = greedy(state, chunk, lens)
    beam, trace = search(beam, chunk, lens)
    traces.append(trace)
    for row, num in enumerate(said.num):
      ids[row] += said.ids[row, :num].tolist()
      frames[row] += said.frame[row, :num].tolist()
  assert isinstance(state, GreedyState)
  assert isinstance(beam, BeamState)
  assert jax.tree.map(jnp.shape, (state, beam)) == sizes
  for row, num in enumerate(whole.num):
    assert ids[row] == whole.ids[row, :num].tolist()
    assert frames[row] == whole.frame[row, :num].tolist()
  np.testing.assert_allclose(state.score, whole_state.score, atol=1e-5)
  trace = jax.tree.map(lambda *parts: jnp.concatenate(parts), *traces)
  found = best_of(beam, trace, blank_id=_BLANK, n_best=4)
  n = want.ids.shape[2]
  np.testing.assert_array_equal(found.ids[..., :n], want.ids)
  np.testing.assert_allclose(found.score, want.score, atol=1e-5)


def test_rows_and_padding_do_not_matter():
  x = encoded(_B, _T)
  _, said = _greedy(x, _LENS)
  found = _beam(x, _LENS, width=4, n_best=2)
  order = np.array([3, 0, 5, 1, 4, 2])
  wider = np.full((_B, _T + 2, x.shape[2]), 9.0, np.float32)
  inside = np.arange(_T)[:, None] < _LENS[order, None, None]
  wider[:, :_T] = np.where(inside, x[order], 9.0)
  _, other = _greedy(wider, _LENS[order])
  other_found = _beam(wider, _LENS[order], width=4, n_best=2)
  n = said.ids.shape[1]
  for one, two in ((said.ids, other.ids), (said.frame, other.frame)):
    np.testing.assert_array_equal(one[order], two[:, :n])
    assert not two[:, n:].any()
  np.testing.assert_array_equal(found.ids[order], other_found.ids[..., :n])
  assert not other_found.ids[..., n:].any()
  np.testing.assert_allclose(found.score[order], other_found.score, atol=1e-5)


@pytest.mark.slow
def test_a_language_model_is_in_the_score():
  vocab = ['w0', '<blank>', 'w1', 'w2', 'w3']
  scorer = fusion.make_token_scorer(
    toy_lm.model(3), vocab, blank_id=_BLANK, alpha=0.7, beta=0.3
  )
  x = encoded(_B, _T)
  plain = _beam(x, _LENS, width=16, n_best=4)
  found = _beam(x, _LENS, width=16, n_best=4, scorer=scorer)
  flat = found.ids.reshape(-1, found.ids.shape[2])
  bonus = fusion.score(scorer, flat, found.num.reshape(-1))
  some = np.asarray(found.score > -np.inf)
  np.testing.assert_allclose(
    np.asarray(found.score)[some],
    np.asarray(found.log_prob + bonus.reshape(found.score.shape))[some],
    atol=1e-4,
  )
  assert (np.diff(np.where(some, found.score, -1e9)) <= 0).all()
  assert (found.ids[:, 0] != plain.ids[:, 0]).any()


def test_few_tokens_that_are_all_tokens_change_nothing():
  x = encoded(_B, _T)
  every = _beam(x, _LENS, width=4, n_best=2)
  same = _beam(x, _LENS, width=4, n_best=2, top_tokens=_V - 1)
  fewer = _beam(x, _LENS, width=4, n_best=2, top_tokens=1)
  np.testing.assert_array_equal(every.ids, same.ids)
  assert (every.ids != fewer.ids).any()
