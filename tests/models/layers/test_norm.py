"""BatchNorm: padding, gradients, devices, and torch's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from recog_jax import tracing
from recog_jax.models.layers.norm import BatchNorm, batch_moments


def _variables(channels, seed=0):
  keys = jax.random.split(jax.random.key(seed), 4)
  return {
    'params': {
      'scale': jax.random.uniform(keys[0], (channels,), minval=0.5),
      'bias': jax.random.normal(keys[1], (channels,)),
    },
    'batch_stats': {
      'mean': jax.random.normal(keys[2], (channels,)),
      'var': jax.random.uniform(keys[3], (channels,), minval=0.5),
    },
  }


def _apply(variables, x, mask=None, train=True, **fields):
  """(y, new batch_stats)."""
  y, new = BatchNorm(**fields).apply(
    variables, x, train=train, mask=mask, mutable=['batch_stats']
  )
  return y, new['batch_stats']


def _reference(params, x, mask, epsilon=1e-5):
  """Two passes over the rows that count, differentiated by jax."""
  weight = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
  weight = jnp.broadcast_to(weight, x.shape).astype(x.dtype)
  axes = tuple(range(x.ndim - 1))
  mean = (x * weight).sum(axes) / weight.sum(axes)
  var = (jnp.square(x - mean) * weight).sum(axes) / weight.sum(axes)
  unit = (x - mean) / jnp.sqrt(var + epsilon)
  return unit * params['scale'] + params['bias']


@pytest.mark.smoke
def test_names_and_dtypes():
  x = jnp.zeros((2, 4, 3))
  variables = BatchNorm(dtype=jnp.bfloat16).init(
    jax.random.key(0), x, train=True
  )
  shapes = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), variables)
  leaf = ((3,), 'float32')
  assert shapes == {
    'params': {'scale': leaf, 'bias': leaf},
    'batch_stats': {'mean': leaf, 'var': leaf},
  }
  np.testing.assert_array_equal(variables['batch_stats']['mean'], np.zeros(3))
  np.testing.assert_array_equal(variables['batch_stats']['var'], np.ones(3))


def test_matches_torch():
  """torch.nn.BatchNorm1d 2.13, forward and backward, on these numbers."""
  x = jnp.array([[0.5, -1.0], [2.0, 0.25], [-1.5, 3.0], [4.0, 1.0]])
  cotangent = jnp.array([[1.0, 2.0], [-1.0, 0.5], [0.5, -2.0], [3.0, 1.0]])
  params = {'scale': jnp.array([1.5, -0.5]), 'bias': jnp.array([0.25, 0.75])}
  stats = {'mean': jnp.zeros(2), 'var': jnp.ones(2)}

  def normalise(params, x):
    return _apply({'params': params, 'batch_stats': stats}, x)

  y, pullback, new = jax.vjp(normalise, params, x, has_aux=True)
  grads, grad_x = pullback(cotangent)
  np.testing.assert_allclose(
    y,
    [
      [-0.30815560, 1.37455773],
      [0.80815566, 0.94382823],
      [-1.79657054, -0.00377661],
      [2.29657078, 0.68539053],
    ],
    rtol=1e-5,
    atol=1e-6,
  )
  np.testing.assert_allclose(
    grad_x,
    [
      [0.27764621, 0.04027318],
      [-1.58000946, 0.14320269],
      [0.39786315, 0.09398078],
      [0.90450007, -0.27745661],
    ],
    rtol=1e-5,
    atol=1e-6,
  )
  np.testing.assert_allclose(grads['scale'], [2.66674352, -5.57794666], 1e-5)
  np.testing.assert_allclose(grads['bias'], [3.5, 1.5], 1e-5)
  np.testing.assert_allclose(new['mean'], [0.125, 0.08125], 1e-5)
  # torch stores the unbiased variance, 4 / 3 of the biased one here.
  unbiased = (np.array([1.44166660, 1.18072915]) - 0.9) / 0.1
  np.testing.assert_allclose(new['var'], 0.9 + 0.1 * unbiased * 0.75, 1e-5)


@pytest.mark.parametrize('frames', [False, True])
def test_masked_gradients_equal_two_pass_autodiff(frames):
  x = 2.0 + 3.0 * jax.random.normal(jax.random.key(1), (4, 6, 5, 3))
  if frames:
    mask = jnp.arange(6)[None] < jnp.array([6, 2, 0, 5])[:, None]
  else:
    mask = jnp.array([True, False, True, True])
  variables = _variables(3)
  cotangent = jax.random.normal(jax.random.key(2), x.shape)

  def ours(params, x):
    return _apply({**variables, 'params': params}, x, mask)[0]

  y, pullback = jax.vjp(ours, variables['params'], x)
  wanted, wanted_pullback = jax.vjp(
    lambda params, x: _reference(params, x, mask), variables['params'], x
  )
  np.testing.assert_allclose(y, wanted, atol=1e-5)
  for got, want in zip(
    jax.tree.leaves(pullback(cotangent)),
    jax.tree.leaves(wanted_pullback(cotangent)),
    strict=True,
  ):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_padding_does_not_matter():
  x = jax.random.normal(jax.random.key(1), (4, 5, 3))
  rows = jnp.concatenate([x, jnp.full((3, 5, 3), jnp.nan)])
  padded = jnp.pad(rows, ((0, 0), (0, 2), (0, 0)), constant_values=1e9)
  mask = jnp.zeros((7, 7), bool).at[:4, :5].set(True)
  y, stats = _apply(_variables(3), x)
  y_rows, stats_rows = _apply(_variables(3), rows, jnp.arange(7) < 4)
  y_padded, stats_padded = _apply(_variables(3), padded, mask)
  np.testing.assert_allclose(y_rows[:4], y, atol=1e-6)
  np.testing.assert_allclose(y_padded[:4, :5], y, atol=1e-6)
  jax.tree.map(
    lambda a, b, c: np.testing.assert_allclose([a, b], [c, c], rtol=1e-6),
    stats_rows,
    stats_padded,
    stats,
  )


def test_batch_of_padding_changes_nothing():
  variables = _variables(3)
  x = jax.random.normal(jax.random.key(1), (2, 5, 3))
  none = jnp.zeros(2, bool)
  y, stats = _apply(variables, x, none)
  assert np.isfinite(y).all()
  jax.tree.map(np.testing.assert_array_equal, stats, variables['batch_stats'])
  grad = jax.grad(lambda x: _apply(variables, x, none)[0].sum())(x)
  assert np.isfinite(grad).all()


def test_constant_channel_is_finite():
  """Rounding makes E[x^2] - E[x]^2 negative here without the clamp."""
  x = jnp.full((7, 3, 2), 1000.1)
  _, var, _ = batch_moments(x)
  assert (var >= 0).all()
  y, _ = _apply(_variables(2), x)
  assert np.isfinite(y).all()


def test_evaluation_uses_running_statistics():
  variables = _variables(3)
  x = jax.random.normal(jax.random.key(1), (4, 3))
  y, stats = _apply(variables, x, jnp.zeros(4, bool), train=False)
  mean, var = variables['batch_stats']['mean'], variables['batch_stats']['var']
  unit = (x - mean) / jnp.sqrt(var + 1e-5)
  params = variables['params']
  np.testing.assert_allclose(
    y, unit * params['scale'] + params['bias'], atol=1e-5
  )
  jax.tree.map(np.testing.assert_array_equal, stats, variables['batch_stats'])


def test_bfloat16_keeps_float32_statistics():
  x = 5.0 + jax.random.normal(jax.random.key(1), (64, 16, 3))
  half = x.astype(jnp.bfloat16)
  y, stats = _apply(_variables(3), half, dtype=jnp.bfloat16)
  _, wanted = _apply(_variables(3), half.astype(jnp.float32))
  assert y.dtype == jnp.bfloat16
  assert stats['mean'].dtype == stats['var'].dtype == jnp.float32
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), stats, wanted
  )


@pytest.mark.parametrize('masked', [False, True])
def test_devices_with_unequal_counts_give_the_whole_batch(masked):
  """One device's rows are all padding; others have one or two that count."""
  devices = jax.device_count()
  if devices < 2:
    pytest.skip('needs several devices')
  rows = 2 * devices
  x = 1.0 + jax.random.normal(jax.random.key(1), (rows, 3, 2))
  mask = jnp.arange(rows) % 3 != 1
  mask = mask.at[:2].set(False) if masked else jnp.ones(rows, bool)
  cotangent = jax.random.normal(jax.random.key(2), x.shape)
  variables = _variables(2)
  mesh = jax.make_mesh(
    (devices,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )

  def loss(params, x, mask, cotangent, axis_name=None):
    variables_ = {**variables, 'params': params}
    given = mask if masked else None
    with tracing.batch_axis(axis_name):
      y, stats = _apply(variables_, x, given)
    total = (y * cotangent).sum()
    if axis_name is not None:
      total = jax.lax.psum(total, axis_name)
    return total, stats

  def many(params, x, mask, cotangent):
    return jax.grad(loss, argnums=(0, 1), has_aux=True)(
      params, x, mask, cotangent, 'data'
    )

  shard = P('data')
  sharded = jax.jit(
    jax.shard_map(
      many,
      mesh=mesh,
      in_specs=(P(), shard, shard, shard),
      out_specs=((P(), shard), P()),
    )
  )
  args = (variables['params'], x, mask, cotangent)
  wanted = jax.grad(loss, argnums=(0, 1), has_aux=True)(*args)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    sharded(*args),
    wanted,
  )
