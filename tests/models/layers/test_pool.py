"""Pooling against XLA's windowed maximum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from recog_jax.models.layers.pool import max_pool


@pytest.mark.parametrize('shape', [(2, 6, 6, 3), (2, 7, 5, 3), (1, 3, 3, 1)])
@pytest.mark.parametrize('size', [2, 3])
def test_values_and_gradient_are_those_of_the_windowed_maximum(shape, size):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.permutation(np.prod(shape)).reshape(shape), jnp.float32)

  def reference(x):
    window = (1, size, size, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, 'VALID')

  y, pullback = jax.vjp(lambda x: max_pool(x, size), x)
  want, reference_pullback = jax.vjp(reference, x)
  dy = jnp.asarray(rng.standard_normal(y.shape), jnp.float32)
  np.testing.assert_array_equal(y, want)
  np.testing.assert_array_equal(pullback(dy)[0], reference_pullback(dy)[0])


def test_equal_maxima_share_the_gradient():
  grad = jax.grad(lambda x: max_pool(x, 2).sum())(jnp.ones((1, 2, 2, 1)))
  np.testing.assert_allclose(grad.ravel(), 0.25)
