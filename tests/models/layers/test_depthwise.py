"""Depthwise convolution: every form equals lax's grouped convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from recog_jax import tracing
from recog_jax.models.layers.depthwise import DepthwiseConv, depthwise_conv
from tests.variants import some


def _reference(x, kernel):
  taps, c = kernel.shape
  return lax.conv_general_dilated(
    x,
    kernel[:, None],
    (1,),
    [(taps // 2, (taps - 1) // 2)],
    dimension_numbers=('NWC', 'WIO', 'NWC'),
    feature_group_count=c,
  )


@pytest.mark.parametrize('taps', some([4, 1, 15, 5], 2))
@pytest.mark.parametrize('backend', ['cpu', 'gpu'])
def test_values_and_gradients_equal_a_grouped_convolution(taps, backend):
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (2, 9, 3))
  kernel = jax.random.normal(keys[1], (taps, 3))
  weight = jax.random.normal(keys[2], x.shape)

  def outcome(convolve):
    y, vjp = jax.vjp(convolve, x, kernel)
    return y, *vjp(weight)

  with tracing.target_backend(backend):
    got = outcome(depthwise_conv)
  for a, b in zip(got, outcome(_reference), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_bfloat16_in_bfloat16_out_with_float32_parameters():
  module = DepthwiseConv(3, jnp.bfloat16)
  x = jnp.ones((1, 4, 2))
  variables = module.init(jax.random.key(0), x)
  shapes = jax.tree.map(lambda p: (p.shape, str(p.dtype)), variables['params'])
  assert shapes == {'kernel': ((3, 2), 'float32'), 'bias': ((2,), 'float32')}
  y, vjp = jax.vjp(lambda v: module.apply(v, x), variables)
  assert y.dtype == jnp.bfloat16
  assert vjp(y)[0]['params']['kernel'].dtype == jnp.float32
