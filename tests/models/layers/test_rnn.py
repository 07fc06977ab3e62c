"""Recurrent layers: a plain loop's numbers and gradients, torch's, padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.accelerator.cases import LENGTHS, RECURRENT
from recog_jax.models.layers.rnn import RecurrentLayer
from tests.compiling import quick_jit
from tests.models.random_values import random_like
from tests.variants import some

variants = pytest.mark.parametrize(
  'options', some(RECURRENT, 4), ids=lambda o: ' '.join(map(str, o.values()))
)


def _x(b=3, t=7, f=5, seed=0):
  return jax.random.normal(jax.random.key(seed), (b, t, f))


def _params(layer, f=5, seed=1):
  shapes = jax.eval_shape(
    layer.init, jax.random.key(0), _x(f=f), jnp.array(LENGTHS)
  )
  return random_like(shapes['params'], spread=0.5, seed=seed)


def _norm(z, scale):
  z = z - z.mean()
  return z / jnp.sqrt(jnp.square(z).mean() + 1e-6) * scale


def _step(cell, p, x, y, c):
  """One step of one row, by the definitions: output and cell."""
  inputs, z = x @ p['input_kernel'], y @ p['hidden_kernel']
  if 'input_scale' in p:
    inputs, z = _norm(inputs, p['input_scale']), _norm(z, p['hidden_scale'])
  inputs = inputs + p['bias']
  if cell == 'lstm':
    i, f, g, o = jnp.split(inputs + z, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    y = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (y @ p['projection_kernel'] if 'projection_kernel' in p else y), c
  if cell == 'gru':
    (xr, xu, xn), (zr, zu, zn) = jnp.split(inputs, 3), jnp.split(z, 3)
    r, u = jax.nn.sigmoid(xr + zr), jax.nn.sigmoid(xu + zu)
    n = jnp.tanh(xn + r * (zn + p['hidden_bias']))
    return (1 - u) * n + u * y, c
  return (jnp.tanh if cell == 'rnn_tanh' else jax.nn.relu)(inputs + z), c


def _loop(options, params, x, lengths):
  """Row by row, frame by frame: what the layer has to compute."""
  rows = []
  for row, n in zip(x, lengths, strict=True):
    sides = []
    for name in sorted(params, reverse=True):  # forward, then backward
      p, reverse = params[name], name == 'backward'

      def step(state, frame, p=p):
        state = _step(options['cell'], p, frame, *state)
        return state, state[0]

      size = p['hidden_kernel'].shape[0]
      state = jnp.zeros(size), jnp.zeros(4)
      _, out = jax.lax.scan(step, state, row[:n], reverse=reverse)
      sides.append(jnp.pad(out, ((0, x.shape[1] - n), (0, 0))))
    rows.append(jnp.concatenate(sides, axis=-1))
  return jnp.stack(rows)


@variants
def test_outputs_and_gradients_are_those_of_a_plain_loop(options):
  layer = RecurrentLayer(hidden=4, **options)
  params = _params(layer)

  def loss(run):
    def f(params, x):
      y = run(params, x)
      return jnp.sum(jnp.sin(3 * y)), y

    return quick_jit(jax.value_and_grad(f, argnums=(0, 1), has_aux=True))

  (_, got), got_grads = loss(
    lambda p, x: layer.apply({'params': p}, x, jnp.array(LENGTHS))
  )(params, _x())
  (_, want), want_grads = loss(lambda p, x: _loop(options, p, x, LENGTHS))(
    params, _x()
  )
  np.testing.assert_allclose(got, want, atol=2e-6)
  assert jax.tree.structure(got_grads) == jax.tree.structure(want_grads)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
    got_grads,
    want_grads,
  )
  assert all(float(jnp.abs(g).max()) > 1e-3 for g in jax.tree.leaves(got_grads))


@variants
def test_padding_and_what_stands_in_it_change_nothing(options):
  layer = RecurrentLayer(hidden=4, **options)
  params = _params(layer)
  lengths = jnp.array([*LENGTHS, 0])
  inside = jnp.arange(7) < jnp.array(LENGTHS)[:, None]
  wide = jnp.where(inside[..., None], _x(), 9.0)
  wide = jnp.pad(wide, ((0, 1), (0, 4), (0, 0)), constant_values=-9.0)

  @quick_jit
  def run(params, x, n):
    def loss(params):
      y = layer.apply({'params': params}, x, n)
      return jnp.sum(jnp.sin(3 * y)), y

    return jax.value_and_grad(loss, has_aux=True)(params)

  (_, narrow), grads = run(params, _x(), lengths[:3])
  (_, got), wide_grads = run(params, wide, lengths)
  np.testing.assert_allclose(got[:3, :7], narrow, atol=1e-6)
  assert not got[3].any() and not got[:, 7:].any()
  assert not narrow[1, 3:].any()
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), wide_grads, grads
  )


@pytest.mark.parametrize('cell', ['rnn_tanh', 'lstm', 'gru'])
@pytest.mark.parametrize('projection', [0, 3])
def test_torch_gives_the_same_outputs_and_gradients(cell, projection):
  torch = pytest.importorskip('torch')
  if projection and cell != 'lstm':
    pytest.skip('only an LSTM has a projection')
  kinds = {'rnn_tanh': torch.nn.RNN, 'lstm': torch.nn.LSTM, 'gru': torch.nn.GRU}
  keys = {'proj_size': projection} if projection else {}
  theirs = kinds[cell](5, 4, batch_first=True, bidirectional=True, **keys)
  layer = RecurrentLayer(cell, hidden=4, projection=projection)
  params = _params(layer)
  leaves = {'input_kernel': 'weight_ih', 'hidden_kernel': 'weight_hh'}
  if projection:
    leaves['projection_kernel'] = 'weight_hr'
  sides = {'forward': '', 'backward': '_reverse'}
  with torch.no_grad():
    for side, suffix in sides.items():
      p = params[side]
      for ours, name in leaves.items():
        value = torch.from_numpy(np.array(p[ours].T))
        getattr(theirs, f'{name}_l0{suffix}').copy_(value)
      bias = torch.from_numpy(np.array(p['bias']))
      getattr(theirs, f'bias_ih_l0{suffix}').copy_(bias)
      second = getattr(theirs, f'bias_hh_l0{suffix}').zero_()
      if cell == 'gru':
        second[8:] = torch.from_numpy(np.array(p['hidden_bias']))
  packed = torch.nn.utils.rnn.pack_padded_sequence(
    torch.from_numpy(np.array(_x())), LENGTHS, batch_first=True
  )
  want, _ = torch.nn.utils.rnn.pad_packed_sequence(
    theirs(packed)[0], batch_first=True
  )
  want.sin().sum().backward()

  def loss(params):
    y = layer.apply({'params': params}, _x(), jnp.array(LENGTHS))
    return jnp.sin(y).sum(), y

  grads, got = quick_jit(jax.grad(loss, has_aux=True))(params)
  np.testing.assert_allclose(got, want.detach().numpy(), atol=2e-6)
  for side, suffix in sides.items():
    for ours, name in {**leaves, 'bias': 'bias_ih'}.items():
      np.testing.assert_allclose(
        grads[side][ours],
        getattr(theirs, f'{name}_l0{suffix}').grad.numpy().T,
        atol=1e-5,
      )


def _as_pjit(grad, mesh, rows, whole):
  rows, whole = NamedSharding(mesh, rows), NamedSharding(mesh, whole)
  return quick_jit(grad, in_shardings=(whole, rows, rows))


def _as_pmap(grad, mesh, rows, whole):
  """Each device runs its own part; jax adds the gradients up once."""
  specs = {'in_specs': (whole, rows, rows), 'out_specs': whole}
  return quick_jit(jax.shard_map(grad, mesh=mesh, **specs))


@pytest.mark.parametrize('cell', some(['lstm', 'gru'], 2))
@pytest.mark.parametrize('share', [_as_pjit, _as_pmap])
def test_devices_that_share_a_batch_learn_what_one_learns(cell, share):
  mesh = Mesh(jax.devices(), ('data',))
  layer = RecurrentLayer(cell, hidden=4)
  args = _params(layer), _x(b=8), jnp.arange(8)

  def loss(params, x, n):
    return jnp.sin(layer.apply({'params': params}, x, n)).sum()

  step = share(jax.grad(loss), mesh, PartitionSpec('data'), PartitionSpec())
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    step(*args),
    quick_jit(jax.grad(loss))(*args),
  )


def test_the_loop_holds_one_product_and_no_weight_gradient():
  """Input projection and weight gradients are products outside of the scan."""
  layer = RecurrentLayer('lstm', hidden=4, bidirectional=False)
  params = _params(layer)

  def loss(params, x):
    return layer.apply({'params': params}, x, jnp.array(LENGTHS)).sum()

  jaxpr = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(params, _x())
  inside = [_products(loop) for loop in _loops(jaxpr)]
  assert inside == [1, 1]


def _equations(jaxpr):
  for eqn in getattr(jaxpr, 'jaxpr', jaxpr).eqns:
    yield eqn
    for value in eqn.params.values():
      if hasattr(value, 'eqns') or hasattr(value, 'jaxpr'):
        yield from _equations(value)


def _loops(jaxpr):
  return [e for e in _equations(jaxpr) if e.primitive.name in ('while', 'scan')]


def _products(loop):
  body = loop.params.get('body_jaxpr') or loop.params['jaxpr']
  return sum(e.primitive.name == 'dot_general' for e in _equations(body))


@pytest.mark.parametrize('cell', ['lstm', 'gru'])
def test_bfloat16_products_keep_states_in_float32(cell):
  layer = RecurrentLayer(cell, hidden=4)
  params = _params(layer)
  want = layer.apply({'params': params}, _x(), jnp.array(LENGTHS))
  low = layer.clone(dtype=jnp.bfloat16)
  got = low.apply({'params': params}, _x(), jnp.array(LENGTHS))
  assert got.dtype == jnp.bfloat16
  np.testing.assert_allclose(got.astype(jnp.float32), want, atol=0.06)


@pytest.mark.parametrize(
  'options',
  some(
    [{'cell': 'lstm', 'projection': 3}, {'cell': 'gru'}, {'cell': 'rnn_tanh'}],
    3,
  ),
  ids=lambda o: o['cell'],
)
def test_bfloat16_gradients_are_products_in_bfloat16(options):
  """None is in float32, which would cost several times as much."""
  layer = RecurrentLayer(**options, hidden=4)
  params = _params(layer)

  def grad(layer):
    def loss(params, x):
      y = layer.apply({'params': params}, x, jnp.array(LENGTHS))
      return jnp.square(y.astype(jnp.float32)).sum()

    return jax.grad(loss, argnums=(0, 1))

  low = grad(layer.clone(dtype=jnp.bfloat16))
  products = [
    e
    for e in _equations(jax.make_jaxpr(low)(params, _x()))
    if e.primitive.name == 'dot_general'
  ]
  assert len(products) >= 6
  assert {v.aval.dtype for e in products for v in e.invars} == {
    jnp.dtype(jnp.bfloat16)
  }
  got, want = (quick_jit(g)(params, _x()) for g in (low, grad(layer)))

  def near(got, want):
    assert got.dtype == want.dtype
    largest = jnp.abs(want).max()
    np.testing.assert_allclose(got / largest, want / largest, atol=0.06)

  jax.tree.map(near, got, want)


def test_initial_values():
  layer = RecurrentLayer('lstm', hidden=4)
  params = layer.init(jax.random.key(0), _x(), jnp.array(LENGTHS))['params']
  np.testing.assert_array_equal(
    params['forward']['bias'], [0] * 4 + [1] * 4 + [0] * 8
  )
  gate = params['backward']['hidden_kernel'][:, 4:8]
  np.testing.assert_allclose(gate.T @ gate, np.eye(4), atol=1e-5)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'cell': 'elman'}, 'none of rnn_tanh'),
    ({'cell': 'gru', 'projection': 2}, 'only an LSTM'),
  ],
)
def test_what_is_wrong_is_said(options, message):
  layer = RecurrentLayer(hidden=4, **options)
  with pytest.raises(ValueError, match=message):
    layer.init(jax.random.key(0), _x(), jnp.array(LENGTHS))
