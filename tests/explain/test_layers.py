"""Outputs of layers and gradients there, against a network taken apart."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.explain import layers, methods


class Part(nn.Module):
  @nn.compact
  def __call__(self, x):
    return nn.relu(nn.Dense(4, name='inner')(x))


class Net(nn.Module):
  @nn.compact
  def __call__(self, x):
    x = Part(name='z')(x)
    x = Part(name='a')(x)
    return nn.Dense(1, name='head')(x)[..., 0]


X = jax.random.normal(jax.random.key(1), (2, 3))
VARIABLES = Net().init(jax.random.key(0), X)


def score(x):
  return Net().apply(VARIABLES, x)


def test_layers_come_in_the_order_of_computation():
  found = layers.shapes(score, X)
  assert list(found) == ['z/inner', 'z', 'a/inner', 'a', 'head']
  assert found['a'] == (2, 4)


@pytest.mark.smoke
def test_outputs_and_gradients_are_those_of_the_rest_of_the_network():
  found, slopes = layers.with_gradients(score, X, ['z', 'a/inner'])
  params = VARIABLES['params']

  def rest(z):
    a = Part().apply({'params': params['a']}, z)
    return (a @ params['head']['kernel'])[..., 0] + params['head']['bias']

  z = Part().apply({'params': params['z']}, X)
  np.testing.assert_allclose(found['z'], z, rtol=1e-6)
  expected = jax.grad(lambda z: rest(z).sum())(z)
  np.testing.assert_allclose(slopes['z'], expected, rtol=1e-6)
  assert found['a/inner'].shape == slopes['a/inner'].shape == (2, 4)


def test_taking_outputs_changes_nothing():
  result, found = layers.outputs(score, X, lambda path: path == 'a')
  np.testing.assert_array_equal(result, score(X))
  assert list(found) == ['a']


class Tokens(nn.Module):
  """Patches behind a class token, which alone is read in the end."""

  @nn.compact
  def __call__(self, x):
    b = len(x)
    x = x.reshape(b, 2, 4, 2, 4).transpose(0, 1, 3, 2, 4).reshape(b, 4, 16)
    x = nn.Dense(8, name='embedding')(x)
    x = jnp.concatenate([jnp.zeros((b, 1, 8)), x], 1)
    for i in (1, 2):
      y = nn.Dense(8, name=f'block{i}')(x)
      x = x + y.mean(1, keepdims=True)
    x = nn.Dense(8, name='norm')(x)
    return x[:, 0].sum(1)


@pytest.mark.slow
def test_the_last_layer_whose_patches_matter(monkeypatch):
  x = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
  net = Tokens()
  variables = net.init(jax.random.key(1), x[..., 0])

  def of(x):
    return net.apply(variables, x[..., 0])

  places = methods.places(layers.shapes(of, x), 8, 8, 'patches')
  assert places == ['embedding', 'block1', 'block2', 'norm']
  for together in (1, 12):  # Blocks have many layers.
    monkeypatch.setattr(methods, '_TOGETHER', together)
    assert methods.last_that_matters(of, x, places, 'patches') == 'block2'
