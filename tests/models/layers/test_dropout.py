"""Dropout: what it keeps, in expectation and from key to key."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.models.layers.dropout import Dropout, cheap_bits


def _drop(x, rate, seed=0, **fields):
  rngs = {'dropout': jax.random.key(seed)}
  return Dropout(rate, **fields).apply({}, x, train=True, rngs=rngs)


def test_evaluation_and_rate_zero_leave_everything():
  x = jnp.arange(6.0).reshape(2, 3)
  np.testing.assert_array_equal(Dropout(0.5).apply({}, x, train=False), x)
  np.testing.assert_array_equal(Dropout(0.0).apply({}, x, train=True), x)


@pytest.mark.parametrize('rate', [0.1, 0.5])
def test_the_share_dropped_is_the_rate_and_the_rest_grows(rate):
  y = _drop(jnp.ones((50, 40, 100)), rate)
  kept = np.asarray(y) != 0
  np.testing.assert_allclose(np.unique(y[kept]), 1 / (1 - rate), rtol=1e-6)
  # 200,000 draws: five deviations are below 0.006.
  assert abs(kept.mean() - (1 - rate)) < 0.006
  for axis in range(3):
    means = kept.mean(tuple({0, 1, 2} - {axis}))
    assert np.abs(means - (1 - rate)).max() < 5 * 0.5 / np.sqrt(2000)


def test_what_is_dropped_depends_on_key_and_module():
  class Two(nn.Module):
    @nn.compact
    def __call__(self, x):
      first = Dropout(0.5, name='a')(x, train=True)
      return first, Dropout(0.5, name='b')(x, train=True)

  x = jnp.ones((100, 100))

  def kept(seed):
    return np.stack(Two().apply({}, x, rngs={'dropout': jax.random.key(seed)}))

  a, b = kept(0), kept(1)
  np.testing.assert_array_equal(a, kept(0))
  pairs = [(a[0], a[1]), (a[0], b[0]), (a[0, :, 1:], a[0, :, :-1])]
  pairs += [(a[0, 1:], a[0, :-1]), (a[0], a[0].T)]
  for left, right in pairs:
    correlation = np.corrcoef(left.ravel(), right.ravel())[0, 1]
    assert abs(correlation) < 0.05


def test_every_bit_is_set_half_the_time():
  bits = np.asarray(cheap_bits(jax.random.key(2), (64, 256)))
  shares = [(bits >> i & 1).mean() for i in range(32)]
  np.testing.assert_allclose(shares, 0.5, atol=5 * 0.5 / 128)
  assert len(np.unique(bits)) == bits.size


def test_rows_are_dropped_whole_for_stochastic_depth():
  y = np.asarray(_drop(jnp.ones((400, 3, 2)), 0.25, broadcast_dims=(1, 2)))
  rows = y.reshape(400, -1)
  assert (rows == rows[:, :1]).all()
  assert 0.6 < (rows[:, 0] != 0).mean() < 0.9


@pytest.mark.parametrize('axis', [1, -2])
def test_one_draw_for_a_whole_axis(axis):
  y = np.asarray(_drop(jnp.ones((40, 7, 50)), 0.25, broadcast_dims=(axis,)))
  assert (y == y[:, :1]).all()
  # 2,000 draws: five deviations are below 0.05.
  assert abs((y[:, 0] != 0).mean() - 0.75) < 0.05
  assert np.unique(y[:, 0], axis=0).shape[0] == 40


def test_gradient_passes_where_values_do():
  x = jnp.ones((8, 8))
  grad = jax.grad(lambda x: _drop(x, 0.5).sum())(x)
  np.testing.assert_array_equal(grad, _drop(x, 0.5))
