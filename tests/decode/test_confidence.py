"""How sure each aligned token is."""

import jax.numpy as jnp
import numpy as np

from recog_jax.decode.confidence import certainty, measures


def test_certainty_is_1_of_one_output_and_0_of_none_in_particular():
  logits = jnp.array([[50.0, 0, 0, 0], [1.0, 1, 1, 1], [3.0, 0, 0, 0]])
  found = np.asarray(certainty(logits))
  np.testing.assert_allclose(found[:2], [1, 0], atol=1e-4)
  # By hand: p = 0.87, 0.043 ...; H = (0.9547 + 3 * 0.3512 - 1) * 1.5.
  p = np.exp([3.0, 0, 0, 0]) / np.exp([3.0, 0, 0, 0]).sum()
  entropy = ((p ** (1 / 3)).sum() - 1) * 1.5
  least = np.exp(-(4 ** (2 / 3) - 1) * 1.5)
  np.testing.assert_allclose(
    found[2], (np.exp(-entropy) - least) / (1 - least), rtol=1e-4
  )


def test_measures_are_of_a_tokens_own_frames():
  probs = np.array([[[0.1, 0.8, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6]]])
  start, end = np.array([[0, 2, -1]]), np.array([[2, 3, -1]])
  ids = np.array([[1, 2, 0]])
  found = np.asarray(measures(jnp.log(probs), ids, start, end))
  assert found.shape == (1, 3, 3)
  np.testing.assert_allclose(found[0, 0, :2], [0.8, np.sqrt(0.4)], rtol=1e-4)
  np.testing.assert_allclose(found[0, 1, :2], [0.6, 0.6], rtol=1e-4)
  assert not found[0, 2].any()
  assert found[0, 0, 2] > found[0, 1, 2] > 0
