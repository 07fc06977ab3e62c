"""Attention rollout, worked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.explain import rollout


@pytest.mark.smoke
def test_two_layers():
  first = np.array([[1.0, 0.0], [0.5, 0.5]])
  second = np.array([[0.0, 1.0], [0.0, 1.0]])
  mixed = [0.5 * a + 0.5 * np.eye(2) for a in (first, second)]
  found = rollout.rollout([jnp.asarray(a)[None, None] for a in (first, second)])
  np.testing.assert_allclose(found[0], mixed[1] @ mixed[0])
  np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-6)


def test_heads_are_averaged():
  layer = np.random.default_rng(0).random((1, 3, 4, 4))
  layer /= layer.sum(-1, keepdims=True)
  found = rollout.rollout([jnp.asarray(layer)])
  np.testing.assert_allclose(
    found[0], 0.5 * layer[0].mean(0) + 0.5 * np.eye(4), rtol=1e-6
  )


def test_attention_is_the_softmax_of_scaled_products():
  rng = np.random.default_rng(1)
  q, k = rng.normal(size=(2, 1, 3, 2, 4))
  found = np.asarray(rollout.attention(jnp.asarray(q), jnp.asarray(k)))
  for head in range(2):
    scores = np.exp(q[0, :, head] @ k[0, :, head].T / 2)
    expected = scores / scores.sum(-1, keepdims=True)
    np.testing.assert_allclose(found[0, head], expected, rtol=1e-5)


def test_no_layer_is_an_error():
  with pytest.raises(ValueError, match='no layer'):
    rollout.rollout([])
