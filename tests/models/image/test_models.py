"""What every image model promises, and what is particular to each."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models.image.cifar_resnet import (
  resnet8,
  resnet20,
  resnet32,
  resnet44,
  resnet56,
  resnet110,
)
from recog_jax.models.image.lenet import lenet
from recog_jax.models.image.mlp import mlp
from recog_jax.models.image.resnet import (
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
)
from tests.compiling import quick_jit
from tests.models.random_values import random_like

SHAPE = (6, 16, 16, 3)
# Small members of each family; between them they have every kind of layer.
SMALL = {
  'resnet18': lambda **o: resnet18(width=8, **o).clone(blocks=(1, 1)),
  'resnet50': lambda **o: resnet50(width=8, stem='cifar', **o).clone(
    blocks=(2, 1)
  ),
  'resnet8': lambda **o: resnet8(width=8, **o),
  'mlp': lambda **o: mlp(hidden=(16, 8), **o),
  'lenet': lambda **o: lenet(channels=(3, 4), hidden=(8,), **o),
  'lenet_average': lambda **o: lenet(pool='average', **o),
}
every_model = pytest.mark.parametrize('name', SMALL)


def _images(seed=0):
  return jax.random.normal(jax.random.key(seed), SHAPE)


@functools.cache
def _variables(module):
  """Initial variables moved off zeros and ones, so that nothing is hidden."""
  return random_like(_abstract(module, SHAPE))


@functools.partial(quick_jit, static_argnums=0)
def _init(module):
  x = jnp.zeros(SHAPE)
  return module.init(jax.random.key(0), x, train=False)['params']


def _apply(module, variables, x, train, mask, key):
  (logits, taps), new = module.apply(
    variables,
    x,
    train=train,
    mask=mask,
    mutable=['batch_stats'],
    rngs={'dropout': jax.random.key(key)},
  )
  return logits, taps['features'], new.get('batch_stats', {})


_apply_jitted = quick_jit(_apply, static_argnums=(0, 3))


def _forward(module, variables, x, *, train=False, mask=None, key=0):
  """(logits, features, batch_stats)."""
  return _apply_jitted(module, variables, x, train, mask, key)


def _abstract(module, shape):
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  return jax.eval_shape(
    lambda x: module.init(jax.random.key(0), x, train=False), x
  )


def _count(module, shape):
  params = _abstract(module, shape)['params']
  return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
  ('factory', 'count'),
  [
    (resnet18, 11_689_512),
    (resnet34, 21_797_672),
    (resnet50, 25_557_032),
    (resnet101, 44_549_160),
    (resnet152, 60_192_808),
  ],
)
def test_resnet_has_torchvisions_parameter_count(factory, count):
  assert _count(factory(num_outputs=1000), (1, 64, 64, 3)) == count


@pytest.mark.parametrize(
  ('factory', 'count', 'millions'),
  [
    (resnet20, 269_722, 0.27),
    (resnet32, 464_154, 0.46),
    (resnet44, 658_586, 0.66),
    (resnet56, 853_018, 0.85),
    (resnet110, 1_727_962, 1.7),
  ],
)
def test_cifar_resnet_has_the_papers_parameter_count(factory, count, millions):
  """Table 6 of the paper gives millions."""
  assert _count(factory(num_outputs=10), (1, 32, 32, 3)) == count
  assert count == pytest.approx(millions * 1e6, rel=0.02)


@pytest.mark.smoke
def test_lenet_has_lenet5s_parameter_count():
  assert _count(lenet(num_outputs=10), (1, 28, 28, 1)) == 61_706


def test_lenet_with_strides_is_papernots_network():
  keys = {'channels': (16, 32), 'kernels': (8, 4), 'strides': (2, 2)}
  net = lenet(num_outputs=10, hidden=(32,), pool_stride=1, **keys)
  assert _count(net, (1, 28, 28, 1)) == 26_010
  assert _count(net, (1, 13, 13, 1)) == 26_010 - 15 * 32 * 32
  with pytest.raises(UserError, match='13'):
    _abstract(net, (1, 12, 12, 1))


def test_cifar_stem_keeps_the_resolution():
  module = resnet18(num_outputs=10, stem='cifar')
  params = _abstract(module, (1, 32, 32, 3))['params']
  assert params['stem_conv']['kernel'].shape == (3, 3, 3, 64)
  features = {}
  for stem, side in (('cifar', 32), ('imagenet', 128)):
    module = resnet18(num_outputs=10, stem=stem).clone(blocks=(1,))
    block = f'{stem}_block'
    _, state = jax.eval_shape(
      lambda x, module=module: module.init_with_output(
        jax.random.key(0), x, train=False, capture_intermediates=True
      ),
      jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32),
    )
    features[block] = state['intermediates']['stage1_block1']['__call__'][0]
  assert features['cifar_block'].shape == (1, 32, 32, 64)
  assert features['imagenet_block'].shape == (1, 32, 32, 64)


@every_model
def test_shapes_dtypes_and_explicit_names(name):
  module = SMALL[name](num_outputs=7, dtype=jnp.bfloat16)
  variables = _abstract(module, SHAPE)
  for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
    assert leaf.dtype == jnp.float32
    for key in path[1:]:
      assert re.fullmatch('[a-z][a-z0-9_]*', key.key), path
  logits, features, stats = jax.eval_shape(
    lambda v, x: _apply(module, v, x, True, None, 0),
    variables,
    jax.ShapeDtypeStruct(SHAPE, jnp.float32),
  )
  assert (logits.shape, logits.dtype) == ((6, 7), jnp.float32)
  assert features.shape[0] == 6 and features.dtype == jnp.float32
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(stats))
  head = variables['params']['head']['kernel']
  assert head.shape == (features.shape[1], 7)


@every_model
def test_batch_position_and_padding_rows_do_not_matter(name):
  module = SMALL[name](num_outputs=7)
  x = _images()
  variables = _variables(module)
  logits, _, _ = _forward(module, variables, x)
  order = jnp.array([3, 0, 5, 1, 4, 2])
  shuffled, _, _ = _forward(module, variables, x[order])
  np.testing.assert_allclose(shuffled, logits[order], rtol=1e-4, atol=1e-5)

  padded = jnp.concatenate([x, jnp.full((2, *x.shape[1:]), 50.0)])
  mask = jnp.arange(8) < 6
  for train in (False, True):
    wanted, _, stats = _forward(module, variables, x, train=train)
    got, _, got_stats = _forward(
      module, variables, padded, train=train, mask=mask
    )
    np.testing.assert_allclose(got[:6], wanted, rtol=1e-3, atol=1e-3)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
      got_stats,
      stats,
    )


@every_model
def test_bfloat16_is_close_to_float32(name):
  x = _images()
  module = SMALL[name](num_outputs=7)
  variables = _variables(module)
  logits, _, _ = _forward(module, variables, x)
  half, _, _ = _forward(
    SMALL[name](num_outputs=7, dtype=jnp.bfloat16), variables, x
  )
  scale = np.abs(logits).max()
  assert 0 < np.abs(half - logits).max() < 0.05 * scale


@every_model
def test_activation_is_a_switch(name):
  x = _images()
  variables = _variables(SMALL[name](num_outputs=7))
  logits = [
    np.asarray(
      _forward(SMALL[name](num_outputs=7, activation=act), variables, x)[0]
    )
    for act in ('relu', 'tanh')
  ]
  assert np.abs(logits[0] - logits[1]).max() > 1e-3


@every_model
def test_dropout_draws_from_its_stream_in_training_only(name):
  x = _images()
  module = SMALL[name](num_outputs=7, dropout=0.5)
  variables = _variables(module)
  first = _forward(module, variables, x, train=True, key=1)[0]
  again = _forward(module, variables, x, train=True, key=1)[0]
  other = _forward(module, variables, x, train=True, key=2)[0]
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 1e-3
  np.testing.assert_array_equal(
    _forward(module, variables, x, key=1)[0],
    _forward(module, variables, x, key=2)[0],
  )


@pytest.mark.parametrize('name', ['resnet18', 'resnet50', 'resnet8'])
def test_zero_init_makes_residual_branches_start_as_nothing(name):
  for zero in (True, False):
    module = SMALL[name](num_outputs=7, zero_init_last_gamma=zero)
    params = _init(module)
    last = {'resnet50': 'norm3'}.get(name, 'norm2')
    for block, leaves in params.items():
      if 'block' in block:
        assert (leaves[last]['scale'] == (0 if zero else 1)).all()
        assert (leaves['norm1']['scale'] == 1).all()


def test_kernels_start_as_he_by_fan_out():
  module = resnet50(num_outputs=100).clone(blocks=(1, 1))
  params = _init(module)
  kernel = params['stage2_block1']['conv2']['kernel']
  assert kernel.shape == (3, 3, 128, 128)
  assert kernel.std() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.01)
  assert params['head']['kernel'].std() == pytest.approx(0.01, rel=0.02)


def test_a_bad_option_is_a_plain_error():
  for factory, key, value, word in (
    (resnet50, 'activation', 'rellu', 'did you mean relu'),
    (resnet50, 'stem', 'small', 'known: cifar, imagenet'),
    (resnet50, 'width', 0, 'at least 1'),
    (resnet50, 'dropout', 1.0, 'below 1'),
    (resnet20, 'dropout', -0.1, 'below 1'),
    (resnet20, 'norm_momentum', 2.0, 'below 1'),
    (lenet, 'pool', 'mean', 'known: average, max'),
    (lenet, 'channels', (6,), 'a list of 2'),
    (mlp, 'hidden', (16, 0), 'at least 1'),
    (mlp, 'hidden', 16, 'a list'),
    (mlp, 'num_outputs', 2.5, 'a whole number'),
  ):
    with pytest.raises(UserError, match=word):
      factory(**{'num_outputs': 10, key: value})
  with pytest.raises(UserError, match='12 x 12'):
    _abstract(lenet(num_outputs=10), (1, 8, 8, 1))


@pytest.mark.parametrize('factory', [resnet50, resnet20, mlp, lenet])
def test_options_are_explicit(factory):
  parameters = inspect.signature(factory).parameters.values()
  assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
  for key in ('depth', 'no_such_option'):
    with pytest.raises(TypeError):
      factory(num_outputs=10, **{key: 18})
