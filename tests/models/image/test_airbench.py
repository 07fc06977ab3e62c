"""The network of `configs/cifar10_cpu.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.models.image import airbench


def _images(b=16, seed=0):
  """Correlated neighbours and channels, as in photographs."""
  rng = np.random.default_rng(seed)
  x = rng.standard_normal((b, 24, 24, 3)).cumsum(1).cumsum(2) / 8
  x = x @ rng.standard_normal((3, 3)) + 0.3 * rng.standard_normal(x.shape)
  return jnp.asarray(x, jnp.float32)


@functools.cache
def _make(**options):
  module = airbench.airbench(num_outputs=10, widths=(8, 12, 16), **options)
  x = _images()
  init = jax.jit(functools.partial(module.init, train=True))
  return module, x, init(jax.random.key(0), x)


def _responses(x, kernel):
  """What the kernel makes of all patches: (patches, features)."""
  h, w = x.shape[1] - 1, x.shape[2] - 1
  views = [x[:, i : i + h, j : j + w] for i in range(2) for j in range(2)]
  patches = np.concatenate([np.asarray(v) for v in views], -1).reshape(-1, 12)
  return patches @ np.asarray(kernel).reshape(12, 24)


def _check_white(responses, tolerance):
  half = responses[:, :12]
  np.testing.assert_allclose(responses[:, 12:], -half, atol=1e-4)
  covariance = half.T @ half / len(half)
  np.testing.assert_allclose(covariance, np.eye(12), atol=tolerance)


def test_whitened_patches_are_uncorrelated_with_unit_variance():
  x = _images()
  kernel = airbench.whitening_init(x, epsilon=0.0)
  assert kernel.shape == (2, 2, 3, 24)
  _check_white(_responses(x, kernel), 0.02)


def test_epsilon_keeps_faint_directions_faint():
  x = jnp.ones((4, 8, 8, 3))
  kernel = airbench.whitening_init(x, epsilon=1e-2)
  assert np.isfinite(kernel).all() and np.abs(kernel).max() <= 10.0


@pytest.mark.slow
def test_whitening_comes_from_the_first_batch_and_gets_no_gradient():
  module, x, variables = _make()
  params = variables['params']
  # The default epsilon shrinks the faintest directions a little.
  _check_white(_responses(x, params['whitening']), 0.05)

  def loss(params):
    (logits, _), _ = module.apply(
      {**variables, 'params': params},
      x[:8],
      train=True,
      mutable=['batch_stats'],
    )
    return jnp.square(logits - 1).mean()

  grads = jax.jit(jax.grad(loss))(params)
  assert not np.any(grads['whitening'])
  assert np.any(grads['block1']['conv1']['kernel'])
  assert np.any(grads['head']['kernel'])


def test_blocks_begin_near_the_identity():
  *_, variables = _make()
  kernel = np.asarray(variables['params']['block2']['conv2']['kernel'])
  assert kernel.shape == (3, 3, 12, 12)
  expected = np.zeros_like(kernel)
  expected[1, 1] = np.eye(12)
  np.testing.assert_array_equal(kernel, expected)
  wider = np.asarray(variables['params']['block2']['conv1']['kernel'])
  np.testing.assert_array_equal(wider[1, 1, :, :8], np.eye(8))
  assert np.any(wider[:, :, :, 8:])


def test_default_widths_have_the_published_size():
  """1.16 million parameters, those of the whitening counted too."""
  module = airbench.airbench(num_outputs=10)
  x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
  shapes = jax.eval_shape(
    lambda x: module.init(jax.random.key(0), x, train=True), x
  )
  count = sum(p.size for p in jax.tree.leaves(shapes['params']))
  assert count == pytest.approx(1.16e6, rel=0.01)


@pytest.mark.parametrize(
  'dtype',
  [jnp.float32, pytest.param(jnp.bfloat16, marks=pytest.mark.slow)],
)
def test_logits_and_features(dtype):
  module, x, variables = _make(dtype=dtype)
  logits, taps = jax.jit(functools.partial(module.apply, train=False))(
    variables, x
  )
  assert logits.shape == (16, 10) and logits.dtype == jnp.float32
  assert taps['features'].shape == (16, 16)
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(variables))
  head = variables['params']['head']['kernel']
  np.testing.assert_allclose(
    logits, taps['features'] @ head / 9, rtol=1e-4, atol=1e-4
  )


def test_padding_rows_change_nothing():
  module, x, variables = _make()
  padded = jnp.concatenate([x[:12], 100 * jnp.ones((4, *x.shape[1:]))])
  mask = jnp.arange(16) < 12

  @jax.jit
  def run(x, mask):
    (logits, _), state = module.apply(
      variables, x, train=True, mask=mask, mutable=['batch_stats']
    )
    return logits[:12], state

  got, want = run(padded, mask), run(x[:12], None)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
