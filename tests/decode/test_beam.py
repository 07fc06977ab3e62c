"""Beam search without a language model, against enumeration and optax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recog_jax.decode.beam import beam_search
from recog_jax.decode.greedy import greedy
from tests.decode import brute


def _random(shape, seed=0, spread=2.0):
  draw = np.random.default_rng(seed)
  return draw.normal(0, spread, shape).astype(np.float32)


@jax.jit
def _labelling_log_prob(logits, lens, ids, num):
  """By optax, whose blank is 0."""
  after = jnp.arange(logits.shape[1]) >= lens[:, None]
  padding = jnp.arange(ids.shape[1]) >= num[:, None]
  return -optax.ctc_loss(
    logits, after.astype(jnp.float32), ids, padding.astype(jnp.float32)
  )


def test_a_wide_beam_finds_what_the_sum_over_all_alignments_finds():
  logits, blank_id = _random((12, 5, 4)), 1
  lens = np.resize(np.arange(6), 12).astype(np.int32)
  # There are 364 labellings of at most 5 tokens.
  search = functools.partial(
    beam_search, blank_id=blank_id, width=364, n_best=4
  )
  found = jax.jit(search)(logits, lens)
  for row in range(12):
    every = brute.labellings(logits[row, : lens[row]], blank_id)
    best = sorted(every.items(), key=lambda item: -item[1])[:4]
    for i in range(4):
      ids = tuple(found.ids[row, i, : found.num[row, i]].tolist())
      if i < len(best):
        assert ids == best[i][0]
        np.testing.assert_allclose(found.score[row, i], best[i][1], atol=1e-4)
      else:
        assert (ids, found.score[row, i]) == ((), -np.inf)
  np.testing.assert_array_equal(found.score, found.log_prob)


_narrow = jax.jit(
  functools.partial(beam_search, blank_id=0, width=3, top_tokens=4, n_best=2)
)


def test_the_score_is_exact_and_never_below_that_of_greedys_labelling():
  better = 0
  for seed, spread in enumerate([0.3, 1.0, 3.0]):
    logits = _random((32, 20, 6), seed, spread)
    lens = np.random.default_rng(seed).integers(0, 21, 32)
    best = _narrow(logits, lens)
    exact = _labelling_log_prob(logits, lens, best.ids[:, 0], best.num[:, 0])
    # optax takes the log of zero as -1e5, and cannot have no frames.
    some = lens > 0
    np.testing.assert_allclose(best.score[some, 0], exact[some], atol=1e-3)
    ids, num, _ = greedy(logits, lens, blank_id=0)
    of_greedy = _labelling_log_prob(logits, lens, ids, num)
    assert np.all(best.score[:, 0] >= of_greedy - 1e-3)
    assert np.all(best.score[:, 0] >= best.score[:, 1])
    better += np.sum(best.score[:, 0] > of_greedy + 1e-3)
  assert better > 20


def test_the_labelling_of_greedy_is_kept_where_the_beam_loses_it():
  # A beam of one takes the best prefix of each frame and cannot go back.
  search = jax.jit(functools.partial(beam_search, blank_id=0, width=1))
  logits, lens = _random((256, 12, 3), 3, 1.0), np.full(256, 12)
  best = search(logits, lens)
  ids, num, _ = greedy(logits, lens, blank_id=0)
  of_greedy = _labelling_log_prob(logits, lens, ids, num)
  assert np.all(best.score[:, 0] >= of_greedy - 1e-4)
  # It is the best of the two in some rows, and is not in others.
  same = (best.ids[:, 0] == ids).all(1)
  assert 10 < same.sum() < 246


def test_hypotheses_of_a_row_differ_and_are_padded_with_zeros():
  best = _narrow(_random((32, 20, 6)), np.resize(np.arange(21), 32))
  same = (best.ids[:, 0] == best.ids[:, 1]).all(1) & (best.num.T[0] > 0)
  assert not np.any(same & (best.score[:, 1] > -np.inf))
  padding = np.arange(20) >= np.asarray(best.num)[..., None]
  assert not np.any(np.asarray(best.ids)[padding])
  assert np.all(np.asarray(best.ids)[~padding] > 0)


def test_what_comes_after_the_last_frame_does_not_matter():
  logits, lens = _random((32, 20, 6)), np.resize(np.arange(21), 32)
  inside = np.arange(20)[:, None] < lens[:, None, None]
  other = np.where(inside, logits, 5 - 3 * logits)
  for a, b in zip(_narrow(logits, lens), _narrow(other, lens), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
  ('keys', 'said'),
  [
    ({'width': 0}, 'width of a beam is 1 or more, not 0'),
    ({'width': 2, 'top_tokens': 0}, 'top_tokens is 1 or more'),
    ({'width': 2, 'n_best': 3}, '3 best hypotheses of a beam of width 2'),
  ],
)
def test_numbers_out_of_range_are_refused(keys, said):
  with pytest.raises(ValueError, match=said):
    beam_search(_random((1, 2, 3)), np.array([2]), blank_id=0, **keys)
