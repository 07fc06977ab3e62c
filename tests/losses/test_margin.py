"""Margins against their definitions in angles, in float64 on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.losses import margin as lib

_M = 0.5


def _angles(n=201):
  return np.linspace(0.01, np.pi - 0.01, n)


def test_arcface_turns_the_angle():
  theta = _angles()
  got = lib.arcface(jnp.cos(theta), jnp.float32(_M))
  inside = theta + _M < np.pi
  want = np.where(inside, np.cos(theta + _M), np.cos(theta) - _M * np.sin(_M))
  np.testing.assert_allclose(got, want, atol=2e-6)
  assert (np.diff(got) < 0).all()  # It falls with the angle everywhere.


def test_cosface_and_softmax():
  cosine = jnp.array([-1.0, 0.0, 1.0])
  assert lib.cosface(cosine, 0.25).tolist() == [-1.25, -0.25, 0.75]
  assert lib.softmax(cosine, 0.25).tolist() == [-1, 0, 1]


@pytest.mark.parametrize('quality', [-1.0, -0.3, 0.0, 0.4, 1.0])
def test_adaface_is_its_equation(quality):
  theta = _angles()
  q = jnp.full(theta.shape, quality)
  got = lib.adaface(jnp.cos(theta), jnp.float32(_M), q)
  turned = np.clip(theta - _M * quality, 0, np.pi)
  want = np.cos(turned) - (_M + _M * quality)
  np.testing.assert_allclose(got, want, atol=2e-6)


def test_quality_is_the_standardised_length():
  norm = jnp.array([1.0, 10.0, 19.0, 1000.0, 0.0])
  got = lib.quality_of(norm, jnp.float32(10), jnp.float32(3))
  want = np.clip((np.clip(norm, 1e-3, 100) - 10) / 3.001 * 0.333, -1, 1)
  np.testing.assert_allclose(got, want, atol=1e-6)
  moved = jax.grad(lambda x: lib.quality_of(x, 10.0, 3.0).sum())(norm)
  assert (moved == 0).all()


@pytest.mark.parametrize('name', lib.HEADS)
def test_gradients_are_finite_at_both_ends(name):
  cosine = jnp.array([[-1.0, 0.2], [1.0, 0.2], [0.9999999, -1.0], [0.0, 1.0]])
  targets = jnp.array([0, 0, 0, 1])
  quality = jnp.array([-1.0, 1.0, 0.0, 0.5])

  def total(cosine):
    return lib.with_margin(name, cosine, targets, _M, quality).sum()

  grads = jax.grad(total)(cosine)
  assert jnp.isfinite(grads).all()
  others = jnp.array([[0, 1], [0, 1], [0, 1], [1, 0]], bool)
  np.testing.assert_array_equal(grads[others], 1)


def test_gradient_through_embeddings_on_their_centre():
  """Embedding and centre are the same direction, or opposite ones, or zero."""
  embedding = jnp.array([[3.0, 4.0], [-3.0, -4.0], [0.0, 0.0]])
  centres = jnp.array([[0.6, 1.0], [0.8, 0.0]])

  def total(embedding, centres):
    cosine = lib.cosines(embedding, centres)
    targets = jnp.zeros(3, jnp.int32)
    return lib.with_margin('arcface', cosine, targets, 0.3, jnp.zeros(3)).sum()

  for grad in jax.grad(total, (0, 1))(embedding, centres):
    assert jnp.isfinite(grad).all()
  found = lib.cosines(embedding, centres)[:, 0]
  np.testing.assert_allclose(found, [1, -1, 0], atol=1e-6)


def test_cosines_are_float32_of_bfloat16():
  embedding = jnp.ones((2, 4), jnp.bfloat16)
  assert lib.cosines(embedding, jnp.ones((4, 3))).dtype == jnp.float32


def test_only_the_own_cosine_loses_the_margin():
  cosine = jnp.array([[0.5, 0.4, 0.3]])
  got = lib.with_margin('cosface', cosine, jnp.array([1]), 0.1, jnp.zeros(1))
  np.testing.assert_allclose(got, [[0.5, 0.3, 0.3]], atol=1e-7)
