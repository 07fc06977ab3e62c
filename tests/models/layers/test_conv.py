"""The CPU forms of the convolution against XLA's own."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from experiments.accelerator.cases import CONVOLUTIONS
from recog_jax import tracing
from recog_jax.models.layers import conv
from tests.variants import some

TOLERANCE = {'float64': 1e-12, 'float32': 2e-5, 'bfloat16': 3e-2}


def _reference(x, kernel, strides, padding, groups):
  if isinstance(padding, int):
    padding = [(padding, padding)] * 2
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def _value_and_gradients(fn, x, kernel, seed):
  y, pullback = jax.vjp(fn, x, kernel)
  rng = np.random.default_rng(seed)
  dy = jnp.asarray(rng.standard_normal(y.shape), y.dtype)
  return y, *pullback(dy)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('case', some(CONVOLUTIONS, 2))
def test_cpu_forms_equal_xlas_convolution(case, dtype):
  shape, size, features, strides, padding, groups = CONVOLUTIONS[case]
  rng = np.random.default_rng(0)
  with jax.enable_x64(dtype == 'float64'):
    x = jnp.asarray(rng.standard_normal(shape), dtype)
    kernel_shape = (*size, shape[-1] // groups, features)
    kernel = jnp.asarray(rng.standard_normal(kernel_shape) / 6, dtype)

    def ours(x, kernel):
      return conv.conv2d(
        x, kernel, strides=strides, padding=padding, groups=groups
      )

    def reference(x, kernel):
      return _reference(x, kernel, strides, padding, groups)

    got = jax.jit(lambda x, k: _value_and_gradients(ours, x, k, 1))(x, kernel)
    # Rounded once, from a wider type, so that only our rounding is measured.
    wide = jnp.float32 if dtype == 'bfloat16' else dtype
    want = _value_and_gradients(
      reference, x.astype(wide), kernel.astype(wide), 1
    )
    for name, a, b in zip(('y', 'dx', 'dkernel'), got, want, strict=True):
      assert a.dtype == dtype, name
      a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
      assert np.abs(a - b).max() <= TOLERANCE[dtype] * np.abs(b).max(), name


def _forms(backend, shape, size, features):
  """The primitives that a convolution becomes, forwards and backwards."""
  x, kernel = jnp.zeros(shape), jnp.zeros((*size, shape[-1], features))

  def loss(x, kernel):
    return conv.conv2d(x, kernel, padding=size[0] // 2).sum()

  with tracing.target_backend(backend):
    jaxpr = str(jax.make_jaxpr(jax.grad(loss, (0, 1)))(x, kernel))
  return {
    name: jaxpr.count(f'{name}[')
    for name in ('conv_general_dilated', 'dot_general')
  }


@pytest.mark.parametrize(
  'shape, size', itertools.product([(3, 8, 8, 4), (64, 2, 2, 4)], [1, 3])
)
def test_other_backends_get_the_plain_convolution(shape, size):
  forms = _forms('tpu', shape, (size, size), 6)
  assert forms['dot_general'] == 0 < forms['conv_general_dilated'] <= 3


def test_cpu_forms_are_chosen_by_shape():
  assert _forms('cpu', (3, 8, 8, 4), (1, 1), 6)['conv_general_dilated'] == 0
  assert _forms('cpu', (3, 2, 2, 4), (3, 3), 6)['conv_general_dilated'] == 0
  # The convolution itself and its two gradients.
  plain = _forms('cpu', (3, 8, 8, 4), (3, 3), 6)
  assert plain['conv_general_dilated'] == 3
  # The weight gradient in four parts of 32 images.
  parts = _forms('cpu', (128, 8, 8, 4), (3, 3), 6)
  assert parts['conv_general_dilated'] == 6


def test_module_has_float32_parameters_and_computes_in_its_dtype():
  module = conv.Conv(
    6, (3, 3), strides=(2, 2), padding=1, use_bias=True, dtype=jnp.bfloat16
  )
  x = jnp.ones((2, 8, 8, 4))
  y, variables = module.init_with_output(jax.random.key(0), x)
  assert y.shape == (2, 4, 4, 6) and y.dtype == jnp.bfloat16
  shapes = jax.tree.map(lambda p: (p.shape, p.dtype), variables['params'])
  assert shapes == {
    'kernel': ((3, 3, 4, 6), jnp.float32),
    'bias': ((6,), jnp.float32),
  }
  bias = jnp.arange(6.0)
  shifted = {'params': {**variables['params'], 'bias': bias}}
  np.testing.assert_allclose(
    module.apply(shifted, x) - y, jnp.broadcast_to(bias, y.shape), atol=0.05
  )


def test_kernel_is_initialised_by_fan_out():
  x = jnp.zeros((1, 8, 8, 16))
  kernel = conv.Conv(256, (3, 3)).init(jax.random.key(0), x)['params']['kernel']
  assert np.std(kernel) == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)


def test_single_rows_have_the_gradients_of_a_loop_and_no_groups():
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.standard_normal((4, 9, 8, 2)), jnp.float32)
  kernel = jnp.asarray(rng.standard_normal((3, 3, 2, 5)), jnp.float32)

  def loss(kernel, row):
    y = conv.conv2d(row[None], kernel, strides=(2, 1), padding=1)
    return (y**2).sum()

  each = jax.vmap(jax.grad(loss), in_axes=(None, 0))
  wanted = jnp.stack([jax.grad(loss)(kernel, row) for row in x])
  with tracing.own_weights():
    text = str(jax.make_jaxpr(each)(kernel, x))
    found = each(kernel, x)
  assert 'conv_general_dilated' not in text
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
