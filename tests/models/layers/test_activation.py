"""Activation functions by name."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models.layers.activation import activation, kernel_init

X = (-2.0, -0.5, 0.0, 1.5)


@pytest.mark.parametrize(
  ('name', 'function'),
  [
    ('relu', lambda x: max(x, 0.0)),
    ('sigmoid', lambda x: 1 / (1 + math.exp(-x))),
    ('tanh', math.tanh),
    ('gelu', lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2)))),
    ('silu', lambda x: x / (1 + math.exp(-x))),
  ],
)
def test_values(name, function):
  y = activation(name)(jnp.array(X))
  np.testing.assert_allclose(y, [function(x) for x in X], rtol=1e-5, atol=1e-7)


def test_unknown_name_lists_the_known():
  with pytest.raises(UserError, match='did you mean gelu.*relu'):
    activation('geluu')


@pytest.mark.parametrize('name', ['relu', 'tanh'])
def test_initialisation_keeps_the_scale(name):
  """Through many wide layers the signal neither dies nor explodes."""
  x = jax.random.normal(jax.random.key(0), (64, 256))
  for layer in range(10):
    kernel = kernel_init(name)(jax.random.key(layer), (256, 256))
    x = activation(name)(x @ kernel)
  assert 0.1 < float(jnp.sqrt(jnp.square(x).mean())) < 2
