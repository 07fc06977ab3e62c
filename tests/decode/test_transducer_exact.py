"""Exact scores and best alignments of a transducer, against enumeration."""

import functools
import itertools

import jax
import numpy as np
import pytest

from recog_jax.decode.transducer_exact import (
  best_alignment,
  labelling_log_probs,
)
from tests.decode.toy_transducer import ToyHead, encoded

_BLANK = 1
_HEAD = ToyHead(4)
_LENS = np.array([4, 2, 1, 0], np.int32)
_IDS = np.array(
  [
    [[0, 2, 3], [2, 2, 0], [0, 0, 0]],
    [[3, 0, 0], [0, 0, 2], [2, 3, 0]],
    [[2, 3, 2], [0, 0, 0], [3, 3, 0]],
    [[0, 0, 0], [2, 0, 0], [0, 3, 0]],
  ],
  np.int32,
)
_NUM = np.array([[3, 2, 0], [1, 3, 2], [3, 0, 2], [0, 1, 2]], np.int32)


def _alignments(frames, ids):
  """(frame of each token, log probability of each) for all alignments."""
  table = [
    [_HEAD.log_probs(frame, ids[:n]) for n in range(len(ids) + 1)]
    for frame in frames
  ]
  every = itertools.combinations_with_replacement(range(len(frames)), len(ids))
  for when in every:
    tokens = [table[t][n][ids[n]] for n, t in enumerate(when)]
    blanks = [
      table[t][sum(w <= t for w in when)][_BLANK] for t in range(len(frames))
    ]
    yield when, tokens, sum(tokens) + sum(blanks)


@pytest.fixture(params=[1 << 20, 1], ids=['at once', 'by frames'])
def _chunk(request, monkeypatch):
  monkeypatch.setattr('recog_jax.decode.transducer_exact._CHUNK', request.param)


@pytest.mark.usefixtures('_chunk')
def test_scores_are_sums_over_all_alignments():
  x = encoded(4, 4)
  found = jax.jit(
    functools.partial(labelling_log_probs, _HEAD, blank_id=_BLANK)
  )(x, _LENS, _IDS, _NUM)
  for row, length in enumerate(_LENS):
    for n, num in enumerate(_NUM[row]):
      every = _alignments(x[row, :length], _IDS[row, n, :num].tolist())
      want = np.logaddexp.reduce([score for *_, score in every] or [-np.inf])
      np.testing.assert_allclose(found[row, n], want, atol=1e-5)


def test_the_best_alignment_is_the_most_probable_one():
  x, ids, num = encoded(4, 4), _IDS[:, 0], _NUM[:, 0]
  found = jax.jit(functools.partial(best_alignment, _HEAD, blank_id=_BLANK))(
    x, _LENS, ids, num
  )
  moved = 0
  for row, length in enumerate(_LENS):
    n = num[row]
    every = _alignments(x[row, :length], ids[row, :n].tolist())
    when, tokens, _ = max(every, key=lambda item: item[2])
    assert tuple(found.frame[row, :n].tolist()) == when
    np.testing.assert_allclose(found.log_prob[row, :n], tokens, atol=1e-5)
    assert not found.frame[row, n:].any()
    assert not found.log_prob[row, n:].any()
    moved += len(set(when))
  assert moved > 2
