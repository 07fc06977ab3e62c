"""Forced alignment against the best of all alignments."""

import functools

import jax
import numpy as np
import pytest

from recog_jax.decode.align import align, word_times
from tests.decode import brute

_BLANK = 1
_align = jax.jit(functools.partial(align, blank_id=_BLANK))


def _spans(path, labelling):
  """First frame and the frame after the last, token by token."""
  spans, before = [], _BLANK
  for frame, token in enumerate(path):
    if token != _BLANK:
      if token != before:
        spans.append([frame, frame])
      spans[-1][1] = frame + 1
    before = token
  assert len(spans) == len(labelling)
  return spans


@pytest.fixture(name='case')
def _case():
  draw = np.random.default_rng(0)
  logits = draw.normal(0, 2, (24, 6, 4)).astype(np.float32)
  lens = draw.integers(2, 7, 24)
  target_lens = draw.integers(0, 4, 24)
  targets = draw.choice([0, 2, 3], (24, 3)).astype(np.int32)
  return logits, lens, targets, target_lens


def test_the_alignment_is_the_best_of_all(case):
  impossible = 0
  found = jax.tree.map(np.asarray, _align(*case))
  for row, (logits, n, targets, u) in enumerate(zip(*case, strict=True)):
    labelling = tuple(targets[:u].tolist())
    every = [p for p in brute.paths(logits[:n], _BLANK) if p[1] == labelling]
    if not every:
      impossible += 1
      assert found.score[row] == -np.inf
      assert (found.start[row] == -1).all() and (found.end[row] == -1).all()
      continue
    path, _, score = max(every, key=lambda item: item[2])
    np.testing.assert_allclose(found.score[row], score, atol=1e-5)
    spans = np.array(_spans(path, labelling)).reshape(-1, 2)
    assert found.start[row].tolist() == [*spans[:, 0], *[-1] * (3 - u)]
    assert found.end[row].tolist() == [*spans[:, 1], *[-1] * (3 - u)]
  assert impossible


def test_padding_does_not_matter(case):
  logits, lens, targets, target_lens = case
  frames = np.arange(6)[:, None] < lens[:, None, None]
  tokens = np.arange(3) < target_lens[:, None]
  other = _align(
    np.where(frames, logits, 7 + 2 * logits),
    lens,
    np.where(tokens, targets, 3),
    target_lens,
  )
  for a, b in zip(_align(*case), other, strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
  'tokens',
  [
    ['h', 'i', ' ', 'y', 'o', 'u'],
    ['\u2581h', 'i', '\u2581', 'y', 'o', 'u'],
    ['\u2581', 'hi', '', '\u2581y', 'o', 'u'],
  ],
)
def test_words_last_from_their_first_to_their_last_token(tokens):
  start, end = [0, 2, 4, 5, 7, 9], [1, 4, 5, 7, 8, 11]
  first = 2 if tokens[1] == 'hi' else 0
  times = word_times(tokens, start, end, frame_shift=0.04)
  assert [word for word, *_ in times] == ['hi', 'you']
  np.testing.assert_allclose(
    [time[1:3] for time in times],
    np.array([[first, 4], [5, 11]]) * 0.04,
  )


def test_no_alignment_gives_no_words():
  assert word_times(['a', 'b'], [-1, -1], [-1, -1], frame_shift=0.01) == []
  with pytest.raises(ValueError, match='2 tokens need as many starts and ends'):
    word_times(['a', 'b'], [1], [2], frame_shift=0.01)
