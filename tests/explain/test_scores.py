"""Scores against their definitions."""

import numpy as np
import pytest
import scipy.special

from recog_jax.explain import scores

RNG = np.random.default_rng(0)


def odds(logits, index):
  p = scipy.special.softmax(logits, -1)[..., index]
  return np.log(p) - np.log1p(-p)


@pytest.mark.smoke
def test_of_a_class_the_log_odds():
  logits = RNG.normal(size=(3, 5))
  found = scores.class_score(np.float32(logits), np.int32(2), 'softmax')
  np.testing.assert_allclose(found, odds(logits, 2), rtol=1e-4)
  np.testing.assert_allclose(
    scores.probability(found),
    scipy.special.softmax(logits, -1)[:, 2],
    rtol=1e-4,
  )


@pytest.mark.parametrize('kind', ['sigmoid', 'number'])
def test_of_labels_and_numbers_the_output(kind):
  logits = np.float32(RNG.normal(size=(3, 5)))
  found = scores.class_score(logits, np.int32(1), kind)
  np.testing.assert_array_equal(found, logits[:, 1])


def test_of_a_word_the_mean_over_its_tokens_and_their_frames():
  logits = RNG.normal(size=(2, 7, 4)).astype(np.float32)
  ids, start, end = np.array([[1, 2, 3, 0], [0, 2, 5, 0], [2, 3, 7, 0]])
  chosen = np.array([False, True, True, False])
  found = scores.ctc_score(logits, ids, start, end, chosen)
  for n in range(2):
    first = odds(logits[n, 2:3], 2).mean()
    second = odds(logits[n, 5:7], 3).mean()
    np.testing.assert_allclose(found[n], (first + second) / 2, rtol=1e-4)


def test_of_an_attention_decoder_the_mean_over_the_words_tokens():
  logits = RNG.normal(size=(2, 4, 5)).astype(np.float32)
  ids, chosen = np.array([1, 4, 2]), np.array([False, True, True])
  found = scores.attention_score(logits, ids, chosen)
  expected = [(odds(x[1], 4) + odds(x[2], 2)) / 2 for x in logits]
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_share_near_a_word():
  profile = [1.0, 2.0, 3.0, 4.0]  # Frames in the middle of 0.1 s each.
  assert scores.share_near(profile, 0.1, 0.2, 0.1, 0.0) == 0.2
  assert scores.share_near(profile, 0.1, 0.2, 0.1, 0.1) == 0.6
  assert scores.share_near([0.0], 0, 1, 1, 0) == 0.0
