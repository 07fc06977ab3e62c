"""Dense layers and biases: flax's numbers, but gradients in full."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.dense import Dense, add_bias
from recog_jax.models.layers.depthwise import DepthwiseConv

IMAGES, FRAMES = (2, 32, 32, 3), (2, 24, 8)
CONV = {'name': 'conv2d', 'factor': 3, 'channels': 2}
SMALL = {'layers': 1, 'dim': 16, 'heads': 2}


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
  near = 1e-6 if dtype == jnp.float32 else 1e-2
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=near, atol=5 * near),
    _gradients(ours, variables, x),
    _gradients(flax, variables, x),
  )


@pytest.mark.parametrize('shape', [(3,), (2, 3), (4, 2, 3)])
def test_add_bias_spreads_over_leading_axes(shape):
  y = jnp.zeros((5, 4, 2, 3), jnp.bfloat16)
  bias = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape) / 3
  got = add_bias(y, bias)
  assert got.dtype == jnp.bfloat16
  expected = jnp.broadcast_to(bias, y.shape).astype(jnp.bfloat16)
  np.testing.assert_array_equal(got, expected)


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


@pytest.mark.parametrize(
  'keys, shape',
  [
    ({'name': 'vit_ti', 'patch': 8, **SMALL}, IMAGES),
    ({'name': 'vgg11', 'hidden': (8, 8)}, IMAGES),
    ({'name': 'mobilenet_v3_small', 'stem': 'cifar'}, IMAGES),
    ({'name': 'conformer_ctc', 'kernel': 3, **SMALL}, FRAMES),
    ({'name': 'lstm_ctc', 'hidden': 8, 'subsample': CONV}, FRAMES),
  ],
  ids=lambda x: x['name'] if isinstance(x, dict) else '',
)
def test_no_gradient_of_a_model_is_a_sum_in_bfloat16(keys, shape):
  keys = {**keys, 'dtype': jnp.bfloat16}
  module = registry.build('model', keys, num_outputs=5)
  inputs = [jnp.zeros(shape)]
  if shape == FRAMES:
    inputs.append(jnp.array([24, 17]))
  init = functools.partial(module.init, train=False)
  variables = jax.eval_shape(init, jax.random.key(0), *inputs)

  apply = functools.partial(
    module.apply,
    train=True,
    mutable=['batch_stats'],
    rngs={'dropout': jax.random.key(2)},
  )

  def loss(variables):
    outputs, _ = apply(variables, *inputs)
    return outputs[0].sum()

  text = str(jax.make_jaxpr(jax.grad(loss))(variables))
  assert 'bf16[' in text and 'reduce_sum' in text
  sums = re.findall(r'bf16\[[\d,]*\] = reduce_sum\[[^\]]*\]', text)
  assert not sums, sums
