"""Subsampling: lengths, padding, and convolutions against torch's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import tracing
from recog_jax.errors import UserError
from recog_jax.models.speech.subsample import make_subsample

KINDS = (
  {'name': 'none'},
  {'name': 'stack', 'factor': 3},
  {'name': 'conv2d', 'factor': 2, 'channels': 3},
  {'name': 'conv2d', 'factor': 3, 'channels': 3},
  {'name': 'conv2d', 'factor': 4},
)
kinds = pytest.mark.parametrize(
  'keys', KINDS, ids=lambda k: f'{k["name"]}{k.get("factor", "")}'
)


def _frames(b, t, f=6):
  return jax.random.normal(jax.random.key(0), (b, t, f))


@kinds
@pytest.mark.parametrize('dim', [0, 5])
def test_out_len_is_the_length_of_what_comes_out(keys, dim):
  if keys['name'] == 'conv2d':
    keys = {'channels': 4, **keys}
  module = make_subsample(keys, dim)
  assert module.out_len(0) == 0
  for t in (1, 2, 3, 4, 5, 8, 13):
    shape = jax.eval_shape(
      module.init_with_output, jax.random.key(0), _frames(1, t), jnp.array([t])
    )[0][0].shape
    assert shape[1] == module.out_len(t) == -(-t // module.factor)
    assert not dim or shape[2] == dim
  n = np.arange(14, dtype=np.int32)
  want = [module.out_len(int(i)) for i in n]
  np.testing.assert_array_equal(module.out_len(n), want)
  lengths = jax.jit(module.out_len)(n)
  np.testing.assert_array_equal(lengths, want)
  assert lengths.dtype == jnp.int32 and module.out_len(n).dtype == np.int32


@kinds
def test_padding_does_not_reach_frames_that_count(keys):
  module = make_subsample(keys, 5)
  x, lengths = _frames(3, 13), jnp.array([13, 6, 1])
  variables = jax.jit(module.init)(jax.random.key(1), x, lengths)
  apply = jax.jit(module.apply)
  whole, whole_len = apply(variables, x, lengths)
  garbage = jnp.pad(x, ((0, 0), (0, 7), (0, 0)), constant_values=jnp.nan)
  padded, _ = apply(variables, garbage, lengths)
  for row, n in enumerate(lengths):
    m = module.out_len(int(n))
    assert whole_len[row] == m
    np.testing.assert_allclose(padded[row, :m], whole[row, :m], atol=1e-5)
    np.testing.assert_array_equal(padded[row, m:], 0)


@kinds
def test_lookahead_is_the_last_input_that_counts(keys):
  module = make_subsample(keys, 5)
  x, lengths = _frames(1, 16), jnp.array([16])
  variables = jax.jit(module.init)(jax.random.key(1), x, lengths)

  @jax.jit
  def seen(x, i):
    grad = jax.grad(
      lambda x: module.apply(variables, x, lengths)[0][0, i].sum()
    )
    return jnp.abs(grad(x)).sum((0, 2)) > 0

  for i in (1, 2):
    last = int(np.flatnonzero(seen(x, i))[-1])
    assert last == i * module.factor + module.lookahead


def test_the_form_for_the_cpu_equals_the_plain_convolution():
  module = make_subsample({'name': 'conv2d', 'factor': 4}, 4)
  x, lengths = _frames(2, 11), jnp.array([11, 7])
  variables = jax.jit(module.init)(jax.random.key(1), x, lengths)

  def loss(variables):
    return jnp.sum(jnp.sin(module.apply(variables, x, lengths)[0]))

  def outcome():
    return jax.jit(lambda v: jax.value_and_grad(loss)(v))(variables)

  here = outcome()
  with tracing.target_backend('gpu'):
    plain = outcome()
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), here, plain
  )


@pytest.mark.parametrize('factor, strides', [(3, (1, 3)), (4, (2, 2))])
def test_two_convolutions_equal_torch(factor, strides):
  torch = pytest.importorskip('torch')
  keys = {'name': 'conv2d', 'factor': factor, 'channels': 3}
  module = make_subsample(keys, 0)
  x, lengths = _frames(2, 9), jnp.array([9, 9])
  variables = jax.jit(module.init)(jax.random.key(1), x, lengths)
  y = torch.tensor(np.array(x))[:, None]
  for name, stride in zip(('conv1', 'conv2'), strides, strict=True):
    kernel = np.array(variables['params'][name]['kernel'])
    weight = torch.tensor(kernel.transpose(3, 2, 0, 1))
    stride = (stride, 2)
    y = torch.nn.functional.conv2d(y, weight, stride=stride, padding=1).relu()
  want = y.permute(0, 2, 3, 1).reshape(2, 3, -1).numpy()
  got, _ = module.apply(variables, x, lengths)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_explicit_names_and_float32_parameters():
  module = make_subsample({'name': 'conv2d', 'factor': 4}, 5, jnp.bfloat16)
  variables = module.init(jax.random.key(0), _frames(1, 8), jnp.array([8]))
  shapes = jax.tree.map(lambda p: (p.shape, str(p.dtype)), variables['params'])
  assert shapes == {
    'conv1': {
      'kernel': ((3, 3, 1, 5), 'float32'),
      'bias': ((5,), 'float32'),
    },
    'conv2': {
      'kernel': ((3, 3, 5, 5), 'float32'),
      'bias': ((5,), 'float32'),
    },
    'projection': {'kernel': ((10, 5), 'float32'), 'bias': ((5,), 'float32')},
  }
  y, _ = module.apply(variables, _frames(1, 8), jnp.array([8]))
  assert y.dtype == jnp.bfloat16


@pytest.mark.parametrize(
  ('keys', 'says'),
  [
    ({}, 'no name'),
    ({'name': 'conv'}, 'did you mean conv2d'),
    ({'name': 'stack'}, 'needs the key factor'),
    ({'name': 'stack', 'factor': 0}, 'at least 1'),
    ({'name': 'conv2d', 'factor': 5}, 'one of 2, 3, 4 '),
    ({'name': 'conv2d', 'factor': [2, 2]}, 'a whole number'),
    ({'name': 'conv2d', 'chanels': 3}, 'did you mean channels'),
  ],
)
def test_a_wrong_key_is_told_in_a_sentence(keys, says):
  with pytest.raises(UserError, match=says):
    make_subsample(keys, 4)
