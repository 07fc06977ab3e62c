"""Pooling against XLA's windowed maximum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from recog_jax.models.layers.pool import (
  adaptive_avg_pool,
  avg_pool,
  max_pool,
)
from tests.variants import some


@pytest.mark.parametrize('shape', [(2, 6, 6, 3), (2, 7, 5, 3), (1, 3, 3, 1)])
@pytest.mark.parametrize('size', some([3, 2], 2))
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


def _padded(n, size, stride, padding, ceil):
  """Positions after the end that torch's rule gives a windowed reduction."""
  windows = (n + 2 * padding - size) / stride + 1
  windows = int(np.ceil(windows) if ceil else windows)
  if ceil and (windows - 1) * stride >= n + padding:
    windows -= 1
  return max((windows - 1) * stride + size - n - padding, 0)


@pytest.mark.parametrize('n', some([7, 5, 6, 8], 4))
@pytest.mark.parametrize(
  ('size', 'stride', 'padding', 'ceil'),
  [(3, 2, 0, False), (3, 2, 0, True), (2, 2, 0, True), (3, 1, 1, False)],
)
def test_overlapping_and_partial_windows(n, size, stride, padding, ceil):
  rng = np.random.default_rng(0)
  shape = (2, n, n + 1, 3)
  x = jnp.asarray(rng.permutation(np.prod(shape)).reshape(shape), jnp.float32)
  ends = [_padded(m, size, stride, padding, ceil) for m in shape[1:3]]

  def reference(x):
    # Windows that the end cuts are whole ones over a padded image; what a
    # stride leaves over is cut.
    pads = [(0, 0), *((padding, end) for end in ends), (0, 0)]
    return lax.reduce_window(
      x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), pads
    )

  def pool(x):
    return max_pool(x, size, stride, padding=padding, ceil=ceil)

  y, pullback = jax.vjp(pool, x)
  want, reference_pullback = jax.vjp(reference, x)
  dy = jnp.asarray(rng.standard_normal(y.shape), jnp.float32)
  np.testing.assert_array_equal(y, want)
  np.testing.assert_allclose(
    pullback(dy)[0], reference_pullback(dy)[0], atol=1e-6
  )


def test_average_counts_the_padding():
  x = jnp.arange(9.0).reshape(1, 3, 3, 1)
  y = avg_pool(x, 3, 1, padding=1)
  assert y.shape == x.shape
  np.testing.assert_allclose(y[0, 1, 1, 0], x.mean())
  np.testing.assert_allclose(y[0, 0, 0, 0], (0 + 1 + 3 + 4) / 9)
  np.testing.assert_allclose(avg_pool(x, 2), [[[[2.0]]]])


def test_adaptive_regions_cover_the_image():
  x = jnp.arange(5.0).reshape(1, 5, 1, 1) * jnp.ones((1, 5, 5, 1))
  # Rows 0-1, 1-3, 3-4, as torch has them.
  y = adaptive_avg_pool(x, 3)[0, :, 0, 0]
  np.testing.assert_allclose(y, [0.5, 2.0, 3.5])
  np.testing.assert_array_equal(adaptive_avg_pool(x, 5), x)
  wider = adaptive_avg_pool(x[:, :2], 4)[0, :, 0, 0]
  np.testing.assert_allclose(wider, [0, 0, 1, 1])


def test_an_image_smaller_than_a_window_is_an_error():
  with pytest.raises(ValueError, match='fewer than a window'):
    max_pool(jnp.zeros((1, 2, 2, 1)), 3)
