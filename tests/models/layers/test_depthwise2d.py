"""Depthwise convolution of images equals lax's grouped convolution."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from recog_jax import tracing
from recog_jax.models.layers import conv
from tests.variants import some

_CASES = itertools.product(
  ['cpu', 'gpu'], [3, 5], [1, 2, 3], [0, 2, ((0, 1), (2, 0))]
)


@pytest.mark.parametrize('case', some(_CASES, 7), ids=str)
def test_values_and_gradients(case):
  backend, side, stride, padding = case
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (2, 9, 12, 4))
  kernel = jax.random.normal(keys[1], (side, side, 1, 4))
  pads = ((padding,) * 2,) * 2 if isinstance(padding, int) else padding
  strides = (stride, stride)

  def ours(x, kernel):
    return conv.conv2d(x, kernel, strides=strides, padding=padding, groups=4)

  def reference(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel,
      strides,
      pads,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=4,
    )

  want, reference_pull = jax.vjp(reference, x, kernel)
  with tracing.target_backend(backend):
    got, pull = jax.vjp(ours, x, kernel)
    dy = jax.random.normal(keys[2], want.shape)
    gradients = pull(dy)
  np.testing.assert_allclose(got, want, atol=1e-5)
  for a, b in zip(gradients, reference_pull(dy), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_bfloat16_weight_gradients_are_summed_in_float32():
  x = jnp.ones((1, 40, 40, 1), jnp.bfloat16)
  kernel = jnp.ones((1, 1, 1, 1), jnp.bfloat16)
  with tracing.target_backend('cpu'):
    grad = jax.grad(lambda k: conv.conv2d(x, k, groups=1).sum())(kernel)
  assert grad.dtype == jnp.bfloat16
  assert float(grad.ravel()[0]) == 1600
