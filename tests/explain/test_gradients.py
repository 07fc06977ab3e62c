"""Explanations by gradients, of scores whose gradient is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.explain import gradients

X = np.array([[[1.0, -2.0], [0.5, 3.0]], [[0.0, 1.0], [2.0, -1.0]]], np.float32)
W = np.array([[2.0, 1.0], [-1.0, 0.5]], np.float32)


def linear(x):
  return (x * W).sum((1, 2))


@pytest.mark.smoke
def test_the_gradient_of_a_sum_of_products_is_its_weights():
  found = gradients.gradient(linear, jnp.asarray(X))
  np.testing.assert_array_equal(found, np.broadcast_to(W, X.shape))


def test_rows_do_not_see_each_other():
  def score(x):
    return jnp.sin(x).sum((1, 2)) ** 2

  both = gradients.gradient(score, jnp.asarray(X))
  for i in range(2):
    one = gradients.gradient(score, jnp.asarray(X[i : i + 1]))
    np.testing.assert_allclose(both[i], one[0], rtol=1e-6)


@pytest.mark.slow
def test_noise_averages_the_gradient_over_a_kink():
  """Of relu at 0 half of the noisy inputs have the slope 1."""

  def score(x):
    return jax.nn.relu(x[:, 0]) + 0 * x.sum(1)

  x = jnp.array([[0.0, 1.0]])
  found = gradients.smooth_grad(
    score, x, jax.random.key(0), samples=400, noise=0.3
  )
  assert abs(float(found[0, 0]) - 0.5) < 0.08
  assert float(gradients.gradient(score, x)[0, 0]) in (0.0, 1.0)


@pytest.mark.smoke
def test_integrated_gradients_of_a_sum_of_products():
  baseline = np.full((1, 2, 2), 0.25, np.float32)
  found = gradients.integrated_gradients(
    linear, jnp.asarray(X), jnp.asarray(baseline), steps=3
  )
  np.testing.assert_allclose(found.maps, W * (X - baseline), rtol=1e-5)
  np.testing.assert_allclose(
    found.change, linear(X) - linear(baseline), rtol=1e-5
  )
  assert np.max(found.gap) < 1e-5


def test_the_gap_is_how_far_the_sum_is_from_the_change():
  """Of x^3 from 0 to 1 the middle rule of n steps is 1 - 1 / (4 n^2)."""
  x = jnp.ones((1, 1))
  for steps in (1, 2, 8):
    found = gradients.integrated_gradients(
      lambda x: (x**3).sum(1), x, jnp.zeros((1, 1)), steps=steps
    )
    np.testing.assert_allclose(found.gap, 1 / (4 * steps**2), rtol=1e-3)
    np.testing.assert_allclose(found.change, 1)
