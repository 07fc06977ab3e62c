"""The export context: other forms of layers, and the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import tracing
from recog_jax.models.layers.rnn import RecurrentLayer
from recog_jax.models.speech.subsample import make_subsample
from tests.variants import some


def exported(function, *args):
  with tracing.for_export():
    return jax.jit(lambda *a: function(*a))(*args)


@pytest.mark.parametrize(
  'options',
  some(
    [
      {'cell': 'lstm', 'projection': 3, 'layer_norm': True},
      {'cell': 'lstm'},
      {'cell': 'rnn_relu', 'bidirectional': False},
      {'cell': 'gru', 'layer_norm': True, 'bidirectional': False},
      {'cell': 'gru'},
      {'cell': 'rnn_tanh'},
    ],
    3,
  ),
  ids=str,
)
def test_recurrent_layers_are_scans(options):
  layer = RecurrentLayer(hidden=5, **options)
  x = jax.random.normal(jax.random.key(0), (3, 7, 4))
  lengths = jnp.array([7, 4, 1])
  variables = layer.init(jax.random.key(1), x, lengths)
  wanted = layer.apply(variables, x, lengths)
  found = exported(layer.apply, variables, x, lengths)
  np.testing.assert_allclose(found, wanted, atol=1e-6)
  with tracing.for_export():
    text = str(
      jax.make_jaxpr(lambda *a: layer.apply(*a))(variables, x, lengths)
    )
  assert 'scan' in text and 'while' not in text
  assert 'optimization_barrier' not in text


@pytest.mark.parametrize('factor', [2, 3, 4])
def test_lengths_are_divided_without_remainders(factor):
  module = make_subsample({'name': 'conv2d', 'factor': factor}, dim=4)
  x, n = jnp.ones((3, 24, 8)), jnp.array([24, 13, 1])
  variables = module.init(jax.random.key(0), x, n)
  wanted = module.apply(variables, x, n)
  found = exported(module.apply, variables, x, n)
  np.testing.assert_array_equal(found[1], wanted[1])
  np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)
  with tracing.for_export():
    jaxpr = jax.make_jaxpr(lambda *a: module.apply(*a))(variables, x, n)
  assert ' rem' not in str(jaxpr)


def test_the_context_ends():
  with tracing.for_export():
    assert tracing.exporting() and not tracing.on_cpu()
  assert not tracing.exporting()
