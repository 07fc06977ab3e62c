"""What is asked of cuDNN, by stand-ins that compute it on a CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from recog_jax import tracing
from recog_jax.models.layers import rnn_cudnn
from recog_jax.models.layers.attend import attend
from recog_jax.models.layers.rnn import RecurrentLayer
from tests.compiling import quick_jit
from tests.models.random_values import random_like
from tests.variants import some

LENGTHS = jnp.array([7, 3, 1, 0])


@pytest.fixture
def calls(monkeypatch):
  """cuDNN is here; what is asked of it is written down, and computed."""
  found = []
  attention = jax.nn.dot_product_attention

  def lstm(x, h, c, w, lengths, inputs, hidden, layers, dropout, both, how):
    found.append(('lstm', how))
    assert x.dtype == w.dtype == jnp.float32 and lengths.dtype == jnp.int32
    weights = rnn.unpack_lstm_weights(w, inputs, hidden, layers, both)
    return rnn.lstm_ref(
      x, h, c, *weights, lengths, inputs, hidden, layers, dropout, both
    )

  def dot_product_attention(*args, implementation=None, **options):
    found.append(('attention', implementation))
    return attention(*args, **options, implementation='xla')

  monkeypatch.setattr(tracing, 'cudnn', lambda: True)
  monkeypatch.setattr(rnn, 'lstm', lstm)
  monkeypatch.setattr(jax.nn, 'dot_product_attention', dot_product_attention)
  return found


def _gradients(layer, params, x):
  def loss(params, x):
    y = layer.apply({'params': params}, x, LENGTHS)
    return jnp.sin(3 * y.astype(jnp.float32)).sum(), y

  return quick_jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
    params, x
  )


@pytest.mark.parametrize(
  ('bidirectional', 'dtype', 'atol'),
  some(
    [
      (True, 'float32', 1e-5),
      (False, 'float32', 1e-5),
      (True, 'bfloat16', 0.05),
    ],
    3,
    several=True,
  ),
)
def test_an_lstm_is_that_of_the_loop(
  calls, monkeypatch, bidirectional, dtype, atol
):
  """The layout of its weights, both directions, lengths, gradients."""
  layer = RecurrentLayer(
    'lstm', 4, bidirectional=bidirectional, dtype=jnp.dtype(dtype)
  )
  x = jax.random.normal(jax.random.key(0), (4, 7, 5))
  shapes = jax.eval_shape(layer.init, jax.random.key(0), x, LENGTHS)
  params = random_like(shapes['params'], spread=0.5)
  calls.clear()
  (_, got), got_grads = _gradients(layer, params, x)
  assert [name for name, _ in calls] == ['lstm']
  monkeypatch.setattr(tracing, 'cudnn', lambda: False)
  (_, want), want_grads = _gradients(layer, params, x)
  assert len(calls) == 1 and got.dtype == want.dtype == dtype
  assert not got[3].any() and not got[1, 3:].any()
  f32 = jnp.float32
  np.testing.assert_allclose(got.astype(f32), want.astype(f32), atol=atol)

  def near(got, want):
    largest = jnp.abs(want).max()
    np.testing.assert_allclose(got / largest, want / largest, atol=atol)

  jax.tree.map(near, got_grads, want_grads)


@pytest.mark.parametrize(
  'options',
  [
    {'cell': 'gru'},
    {'cell': 'lstm', 'projection': 3},
    {'cell': 'lstm', 'layer_norm': True},
  ],
  ids=str,
)
def test_layers_that_it_does_not_have_stay_loops(calls, options):
  layer = RecurrentLayer(hidden=4, **options)
  x = jnp.zeros((4, 7, 5))
  jax.eval_shape(layer.init, jax.random.key(0), x, LENGTHS)
  assert not calls


def test_a_stream_stays_a_loop(calls):
  layer = RecurrentLayer('lstm', 4, bidirectional=False)
  states = jnp.zeros((4, 4)), jnp.zeros((4, 4))
  x = jnp.zeros((4, 7, 5))
  jax.eval_shape(layer.init, jax.random.key(0), x, LENGTHS, states)
  assert not calls


def test_products_are_exact_where_jax_is_told_so(calls):
  sides = {
    'input_kernel': jnp.zeros((1, 5, 16)),
    'hidden_kernel': jnp.zeros((1, 4, 16)),
    'bias': jnp.zeros((1, 16)),
  }

  def run():
    rnn_cudnn.lstm(jnp.zeros((4, 7, 5)), LENGTHS, sides, jnp.float32)

  run()
  with jax.default_matmul_precision('highest'):
    run()
  (_, usual), (_, exact) = calls
  assert rnn._lstm_cudnn_allow_tf32(usual)
  assert not rnn._lstm_cudnn_allow_tf32(exact)


def _qkv(t=6, h=8, dtype=jnp.bfloat16):
  keys = jax.random.split(jax.random.key(0), 3)
  return [jax.random.normal(k, (2, t, 2, h), dtype) for k in keys]


MASK = (jnp.arange(6) < jnp.array([6, 3])[:, None])[:, None, None]


@pytest.mark.parametrize(
  'options', [{}, {'mask': MASK}, {'is_causal': True}], ids=list
)
def test_attention_that_fits_is_asked_of_it(calls, options):
  got = attend(*_qkv(), **options)
  assert calls == [('attention', 'cudnn')]
  with jax.enable_x64(True):
    wide = [x.astype(jnp.float64) for x in _qkv()]
    want = attend(*wide, **options)
  np.testing.assert_allclose(np.float64(got), want, atol=0.03)


@pytest.mark.parametrize(
  ('given', 'options'),
  [
    ({'dtype': jnp.float32}, {}),
    ({'h': 12}, {}),
    ({'h': 136}, {}),
    ({'t': 5}, {'mask': MASK[..., :5]}),
    ({}, {'bias': jnp.zeros((2, 2, 6, 6))}),
  ],
)
def test_attention_that_does_not_fit_is_not(calls, given, options):
  attend(*_qkv(**given), **options)
  assert calls == [('attention', None)]


def test_an_old_gpu_has_the_plain_form(calls, monkeypatch):
  known = jax.nn.dot_product_attention

  def refuses(*args, implementation=None, **options):
    if implementation == 'cudnn':
      raise NotImplementedError('compute capability')
    return known(*args, **options)

  monkeypatch.setattr(jax.nn, 'dot_product_attention', refuses)
  attend(*_qkv())
  assert calls == [('attention', None)]


def test_float64_is_computed_in_float64():
  """jax's own sums up in float32."""
  q, k, v = (
    np.random.default_rng(i).normal(size=(2, 5, 2, 4)) for i in (0, 1, 2)
  )
  bias = np.random.default_rng(3).normal(size=(2, 2, 5, 5))
  scores = np.einsum('btnh,bsnh->bnts', q, k) / 2 + bias
  scores = np.where(np.tril(np.ones((5, 5), bool)), scores, -np.inf)
  weights = np.exp(scores - scores.max(-1, keepdims=True))
  weights /= weights.sum(-1, keepdims=True)
  want = np.einsum('bnts,bsnh->btnh', weights, v)
  with jax.enable_x64(True):
    got = attend(*map(jnp.asarray, (q, k, v, bias)), is_causal=True)
    np.testing.assert_allclose(got, want, atol=1e-14)


def test_nothing_is_asked_of_it_where_it_is_not(monkeypatch):
  assert not tracing.cudnn()  # A CPU.
  with tracing.target_backend('gpu'):  # Compiled here for elsewhere.
    assert not tracing.cudnn()


def test_a_gpu_of_cuda_has_it(monkeypatch):
  class Client:
    platform_version = 'PJRT C API\ncuda 13000'

  class Device:
    client = Client

  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  monkeypatch.setattr(jax, 'devices', lambda: [Device])
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  monkeypatch.delenv('RECOG_JAX_CUDNN', raising=False)
  assert not tracing.cudnn()
  monkeypatch.setenv('RECOG_JAX_CUDNN', '1')
  assert tracing.cudnn()
  with tracing.without_cudnn():
    assert not tracing.cudnn()
  with tracing.target_backend('cpu'):
    assert not tracing.cudnn()
  with tracing.for_export():
    assert not tracing.cudnn()
  monkeypatch.setattr(jax, 'device_count', lambda: 2)
  assert not tracing.cudnn()
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  Client.platform_version = 'PJRT C API\nrocm 60000'
  assert not tracing.cudnn()
