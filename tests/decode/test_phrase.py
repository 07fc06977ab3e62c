"""Phrases found in CTC's outputs."""

import itertools

import jax.numpy as jnp
import numpy as np

from recog_jax.decode.greedy import collapse
from recog_jax.decode.phrase import phrase_scores


def brute(log_probs, phrase):
  """At each frame the best stretch that ends in it and reads the phrase."""
  t, v = log_probs.shape
  found = np.zeros(t)
  for end in range(t):
    best = -np.inf
    for begin in range(end + 1):
      part = log_probs[begin : end + 1]
      for path in itertools.product(range(v), repeat=len(part)):
        # It begins and ends in the phrase's own frames.
        if path[0] != phrase[0] or path[-1] != phrase[-1]:
          continue
        ids, num = collapse(jnp.array([path]), blank_id=0)
        if ids[0, : num[0]].tolist() == phrase:
          own = sum(part[i, c] for i, c in enumerate(path))
          best = max(best, own - part.max(1).sum())
    found[end] = np.exp(best / len(phrase))
  return found


def test_scores_are_those_of_all_paths():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(1, 4, 3)).astype('f4')
  log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  ids = np.array([[1, 2], [1, 1], [2, 0]])
  found = phrase_scores(
    logits, np.array([4]), ids, np.array([2, 2, 1]), blank_id=0
  )
  for n, phrase in enumerate(([1, 2], [1, 1], [2])):
    np.testing.assert_allclose(
      found[0, :, n], brute(log_probs[0], phrase), atol=1e-5
    )


def test_what_greedy_reads_has_1_and_padding_0():
  path = [0, 3, 3, 1, 0, 2, 2, 0, 1]
  logits = 20 * np.eye(4, dtype='f4')[path][None]
  ids, num = np.array([[1, 2], [2, 3]]), np.array([2, 2])
  found = np.asarray(
    phrase_scores(logits, np.array([8]), ids, num, blank_id=0)
  )[0]
  np.testing.assert_allclose(found[5:7, 0], 1, atol=1e-3)
  assert found[:5, 0].max() < 1e-2
  assert found[:, 1].max() < 1e-2
  assert not found[8:].any()
