"""Best paths of a stream, beside those of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.decode.greedy import greedy
from recog_jax.decode.stream import greedy_start, greedy_step


@pytest.mark.smoke
def test_tokens_are_those_of_the_whole():
  rng = np.random.default_rng(0)
  # Runs of one symbol cross the borders of chunks.
  path = np.repeat(rng.integers(0, 3, (2, 20)), 2, axis=1)
  logits = jnp.array(np.eye(4)[path] * 5 + rng.normal(0, 0.1, (2, 40, 4)))
  lens = np.array([40, 27])
  ids, num, _ = greedy(logits, jnp.array(lens), blank_id=0)
  step = jax.jit(greedy_step, static_argnames='blank_id')
  for size in (1, 5, 40):
    last, found, places = greedy_start(2, blank_id=0), [[], []], [[], []]
    for k in range(0, 40, size):
      here = jnp.array(np.clip(lens - k, 0, size))
      added, last = step(last, logits[:, k : k + size], here, blank_id=0)
      for row in range(2):
        n = int(added.num[row])
        found[row] += added.ids[row, :n].tolist()
        places[row] += (k + added.frames[row, :n]).tolist()
    for row in range(2):
      assert found[row] == ids[row, : num[row]].tolist()
      begins = [
        i
        for i in range(lens[row])
        if path[row, i] and (not i or path[row, i] != path[row, i - 1])
      ]
      assert places[row] == begins
