"""Explanations by covering, of scores that look at known places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.explain import perturb

X = np.random.default_rng(0).random((2, 6, 8, 2), np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(6, 8, 2)).astype(np.float32)


def linear(x):
  return (x * WEIGHTS).sum((1, 2, 3))


@pytest.mark.smoke
def test_windows_that_do_not_overlap_lose_their_sum():
  found = perturb.occlusion(
    linear,
    jnp.asarray(X),
    jnp.full((1, 1, 1, 1), 0.5),
    window=(2, 4),
    stride=(2, 4),
  )
  lost = ((X - 0.5) * WEIGHTS).sum(-1)
  for i in range(0, 6, 2):
    for j in range(0, 8, 4):
      expected = lost[:, i : i + 2, j : j + 4].sum((1, 2))
      window = found[:, i : i + 2, j : j + 4]
      np.testing.assert_allclose(
        window,
        np.broadcast_to(expected[:, None, None], (2, 2, 4)),
        rtol=1e-4,
        atol=1e-5,
      )


def test_the_last_window_ends_with_the_input():
  """6 rows, windows of 4, stride 3: the second begins at 2, not at 3."""
  found = perturb.occlusion(
    lambda x: x[:, 5].sum((1, 2)),
    jnp.asarray(X),
    jnp.zeros((1, 1, 1, 1)),
    window=(4, 8),
    stride=(3, 8),
  )
  assert np.abs(found[:, :2]).max() == 0
  assert np.abs(found[:, 4:]).min() > 0


def test_random_masks_find_the_corner_that_is_looked_at():
  x = jnp.ones((1, 16, 16, 1))
  found = perturb.rise(
    lambda x: x[:, :4, :4].mean((1, 2, 3)),
    x,
    jnp.zeros((1, 1, 1, 1)),
    jax.random.key(0),
    masks=300,
    cells=4,
  )
  inside = found[0, :4, :4].mean()
  assert inside > 5 * np.abs(found[0, 8:, 8:]).mean()
  assert int(found[0].argmax()) in {
    16 * i + j for i in range(4) for j in range(4)
  }
