"""Attention decoders: steps equal the whole pass, rows and padding apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.errors import UserError
from tests.variants import some

V, T, U = 5, 7, 4
KEYS = {
  'lstm': {
    'name': 'lstm',
    'layers': 2,
    'hidden': 8,
    'embedding': 3,
    'attention': 6,
    'location_channels': 2,
    'location_width': 3,
  },
  'transformer': {'name': 'transformer', 'layers': 2, 'dim': 8, 'heads': 2},
}


def make(name, dtype=jnp.float32, remat='none', **keys):
  return registry.build(
    'attention decoder',
    {**KEYS[name], **keys},
    num_outputs=V,
    remat=remat,
    dtype=dtype,
  )


def batch(seed=0):
  rng = np.random.default_rng(seed)
  hidden = jnp.asarray(rng.normal(size=(3, T, 6)), jnp.float32)
  targets = jnp.asarray(rng.integers(1, V, (3, U)), jnp.int32)
  return hidden, jnp.array([T, 4, 1]), targets, jnp.array([U, 2, 0])


@pytest.fixture(scope='module', params=list(KEYS))
def made(request):
  head = make(request.param)
  variables = head.init(jax.random.key(0), *batch(), train=False)
  return request.param, head, variables


@pytest.mark.smoke
def test_steps_give_the_logits_of_the_whole_pass(made):
  _, head, variables = made
  hidden, hidden_len, targets, target_len = batch()
  whole = head.apply(
    variables, hidden, hidden_len, targets, target_len, train=False
  )
  assert whole.shape == (3, U + 1, V) and whole.dtype == jnp.float32
  memory = head.apply(variables, hidden, hidden_len, method='prepare')
  state = head.apply(variables, memory, 2, U + 1, method='init_state')
  inputs = jnp.pad(targets, ((0, 0), (1, 0)))
  for place in range(U + 1):
    tokens = jnp.stack([inputs[:, place], 1 + 0 * inputs[:, place]], 1)
    logits, state = head.apply(
      variables, memory, state, tokens, place, method='step'
    )
    np.testing.assert_allclose(logits[:, 0], whole[:, place], atol=2e-6)


def test_neither_padding_nor_later_symbols_nor_rows_change_a_symbol(made):
  _, head, variables = made
  hidden, hidden_len, targets, target_len = batch()

  def run(hidden, hidden_len, targets, target_len):
    return head.apply(
      variables, hidden, hidden_len, targets, target_len, train=False
    )

  want = run(hidden, hidden_len, targets, target_len)
  inside = jnp.arange(T) < hidden_len[:, None]
  other = jnp.where(inside[..., None], hidden, 1e4)
  other = jnp.pad(other, ((0, 0), (0, 3), (0, 0)), constant_values=1e4)
  later = jnp.where(jnp.arange(U) < target_len[:, None], targets, 3)
  found = run(other, hidden_len, jnp.pad(later, ((0, 0), (0, 2))), target_len)
  for row, n in enumerate(target_len):
    np.testing.assert_allclose(
      found[row, : n + 1], want[row, : n + 1], atol=2e-6
    )
  alone = run(hidden[1:2], hidden_len[1:2], targets[1:2], target_len[1:2])
  np.testing.assert_allclose(alone[0], want[1], atol=2e-6)


@pytest.mark.parametrize('name', some(KEYS, 2))
def test_rematerialised_gradients_are_the_same(name):
  args = batch()
  variables = make(name).init(jax.random.key(0), *args, train=False)

  def grads(remat):
    head = make(name, remat=remat, dropout=0.0)

    def loss(params):
      logits = head.apply({'params': params}, *args, train=True)
      return jnp.square(logits).sum()

    return jax.jit(jax.grad(loss))(variables['params'])

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    grads('none'),
    grads('full'),
  )


def test_scheduled_sampling_feeds_symbols_of_its_own_but_for_the_first():
  args = batch()
  always = make('lstm', scheduled_sampling=1.0, dropout=0.0)
  variables = always.init(jax.random.key(0), *args, train=False)

  def run(head, targets, key=0, train=True):
    hidden, hidden_len, _, target_len = args
    return head.apply(
      variables,
      hidden,
      hidden_len,
      targets,
      target_len,
      train=train,
      rngs={'dropout': jax.random.key(key)},
    )

  targets = args[2]
  first, second = (run(always, x) for x in (targets, 5 - targets))
  np.testing.assert_allclose(first, second)
  assert np.abs(first - run(always, targets, key=1)).max() > 1e-3
  never = make('lstm', scheduled_sampling=0.0, dropout=0.0)
  plain = run(never, targets)
  np.testing.assert_allclose(plain[:, 0], first[:, 0], atol=1e-6)
  np.testing.assert_allclose(plain, run(always, targets, train=False))


def test_a_head_that_does_not_divide_is_refused():
  with pytest.raises(UserError, match='heads divide'):
    make('transformer', dim=9)
