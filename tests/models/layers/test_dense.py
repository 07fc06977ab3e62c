import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.dense import Dense, add_bias
from recog_jax.models.layers.depthwise import DepthwiseConv


def _gradients(layer, variables, x):
  def loss(variables):
    return jnp.square(layer.apply(variables, x).astype(jnp.float32)).sum()

  return jax.grad(loss)(variables)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_dense_has_the_parameters_and_outputs_of_flax(dtype):
  x = jax.random.normal(jax.random.key(0), (2, 3, 5))
  ours, flax = Dense(4, dtype=dtype), nn.Dense(4, dtype=dtype)
  variables = flax.init(jax.random.key(1), x)
  mine = ours.init(jax.random.key(1), x)
  jax.tree.map(np.testing.assert_array_equal, mine, variables)

  variables['params']['bias'] = jnp.arange(4.0) / 3
  y = ours.apply(variables, x)
  assert y.dtype == dtype
  np.testing.assert_array_equal(y, flax.apply(variables, x))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=5e-2),
    _gradients(ours, variables, x),
    _gradients(flax, variables, x),
  )


@pytest.mark.parametrize('shape', [(3,), (2, 3), (4, 2, 3)])
def test_add_bias_spreads_over_leading_axes(shape):
  y = jnp.zeros((5, 4, 2, 3), jnp.bfloat16)
  bias = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)
  expected = jnp.broadcast_to(bias, y.shape).astype(jnp.bfloat16)
  np.testing.assert_array_equal(add_bias(y, bias), expected)


@pytest.mark.parametrize(
  'layer, shape',
  [
    (Dense(2, dtype=jnp.bfloat16), (4097, 3)),
    (Conv(2, (1, 1), use_bias=True, dtype=jnp.bfloat16), (1, 17, 241, 3)),
    (DepthwiseConv(3, dtype=jnp.bfloat16), (1, 4097, 3)),
  ],
  ids=['dense', 'conv', 'depthwise'],
)
def test_the_bias_gradient_is_not_rounded_to_bfloat16(layer, shape):
  x = jnp.zeros(shape)
  variables = layer.init(jax.random.key(0), x)

  def total(variables):
    return layer.apply(variables, x).astype(jnp.float32).sum()

  gradient = jax.grad(total)(variables)['params']['bias']
  # 4097 places with a gradient of 1 each; bfloat16 has 4096 and 4128.
  np.testing.assert_array_equal(gradient, np.full_like(gradient, 4097))
