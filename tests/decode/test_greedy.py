"""Greedy decoding against the enumeration of all alignments."""

import jax
import numpy as np
import pytest

from recog_jax.decode.greedy import greedy
from tests.decode import brute

_greedy = jax.jit(greedy, static_argnames='blank_id')


@pytest.fixture(name='logits')
def _logits() -> np.ndarray:
  return np.random.default_rng(0).normal(0, 2, (16, 6, 3)).astype(np.float32)


@pytest.mark.parametrize('blank_id', [0, 2])
def test_greedy_finds_the_best_of_all_alignments(logits, blank_id):
  lens = np.resize(np.arange(7), 16).astype(np.int32)
  ids, num, score = _greedy(logits, lens, blank_id=blank_id)
  for row in range(16):
    every = brute.paths(logits[row, : lens[row]], blank_id)
    _, labelling, best = max(every, key=lambda item: item[2])
    assert tuple(ids[row, : num[row]]) == labelling
    assert not np.any(ids[row, num[row] :])
    np.testing.assert_allclose(score[row], best, atol=1e-5)


def test_what_comes_after_the_last_frame_does_not_matter(logits):
  lens = np.resize(np.arange(7), 16).astype(np.int32)
  other = np.where(
    np.arange(6)[:, None] < lens[:, None, None], logits, 9 - logits
  )
  for a, b in zip(
    _greedy(logits, lens, blank_id=0),
    _greedy(other, lens, blank_id=0),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)


@pytest.mark.smoke
def test_a_token_said_twice_needs_a_blank_between():
  path = np.array([[1, 1, 0, 1, 2, 2], [0, 0, 0, 0, 0, 0]])
  logits = 9.0 * np.eye(3, dtype=np.float32)[path]
  ids, num, _ = _greedy(logits, np.array([6, 6]), blank_id=0)
  assert num.tolist() == [3, 0]
  assert ids.tolist() == [[1, 1, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
