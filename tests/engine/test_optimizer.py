import inspect
import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from recog_jax.engine import optimizer
from recog_jax.engine.freezing import make_freezing
from recog_jax.engine.optimizer import ema_update, make_optimizer, map_state
from recog_jax.errors import UserError


def tree(seed, scale=1.0):
  """Parameters of a small network: convolution, norm, dense layer."""
  rng = np.random.default_rng(seed)

  def draw(*shape):
    return jnp.asarray(scale * rng.normal(size=shape), jnp.float32)

  return {
    'stem': {'kernel': draw(3, 3, 2, 4)},
    'norm': {'scale': draw(4), 'bias': draw(4)},
    'head': {'kernel': draw(4, 5), 'bias': draw(5)},
  }


PARAMS = tree(0)
GRADS = [tree(seed, 0.1) for seed in range(1, 5)]
SCHEDULE = {'name': 'cosine', 'warmup_steps': 1, 'warmup_start': 0.5}


def run(tx, grads=GRADS, params=PARAMS):
  """Parameters and state after the given gradients, under jit."""
  state = tx.init(params)

  @jax.jit
  def step(params, state, grads):
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state

  for grad in grads:
    params, state = step(params, state, grad)
  return params, state


def make(freeze=(), **config):
  config = {'total_steps': 4, 'learning_rate': 0.1, **config}
  return make_optimizer(PARAMS, freezing=frozen(freeze), **config)


def frozen(patterns):
  return make_freezing(patterns, PARAMS, stages=None)


def assert_close(got, want, rtol=1e-6, atol=1e-7):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol),
    got,
    want,
  )


def matrices(params):
  return jax.tree.map(lambda x: x.ndim >= 2, params)


def count(state):
  return sum(x.size for x in jax.tree.leaves(state))


OPTAX = {
  'sgd': [{}, {'momentum': 0.9}, {'momentum': 0.9, 'nesterov': True}],
  'adam': [{}, {'b1': 0.8, 'b2': 0.98, 'eps': 1e-6}],
  'rmsprop': [{'decay': 0.95, 'momentum': 0.9, 'eps': 1e-3}],
  'adagrad': [{}],
}


@pytest.mark.parametrize(
  ('name', 'options'), [(n, o) for n, all_ in OPTAX.items() for o in all_]
)
def test_without_decay_it_is_optax(name, options):
  tx, rate = make(name=name, schedule=SCHEDULE, **options)
  assert_close(run(tx)[0], run(getattr(optax, name)(rate, **options))[0])


@pytest.mark.parametrize('name', ['adamw', 'nadamw', 'lion', 'lamb'])
def test_decoupled_decay_is_that_of_optax(name):
  tx, rate = make(
    name=name,
    b2=0.98,
    weight_decay=0.2,
    weight_decay_form='decoupled',
    schedule=SCHEDULE,
  )
  direct = getattr(optax, name)(rate, b2=0.98, weight_decay=0.2, mask=matrices)
  assert_close(run(tx)[0], run(direct)[0], rtol=1e-5)


def test_lars_is_that_of_optax():
  tx, rate = make(
    name='lars',
    weight_decay=0.2,
    weight_decay_form='coupled',
    schedule=SCHEDULE,
  )
  direct = optax.lars(
    rate, 0.2, weight_decay_mask=matrices, trust_ratio_mask=matrices
  )
  assert_close(run(tx)[0], run(direct)[0])


@pytest.mark.parametrize('name', ['adamw', 'nadamw', 'lion', 'lamb', 'adan'])
def test_optax_default_decay_does_not_apply(name):
  tx, rate = make(name=name)
  direct = getattr(optax, name)(rate, weight_decay=0.0)
  assert_close(run(tx)[0], run(direct)[0])


def numpy_sgd(params, grads, rates, decay, momentum, decoupled):
  """torch.optim.SGD(nesterov=True), or with SGDW's decay, for one array."""
  params, buffer = np.asarray(params, np.float64), 0.0
  for grad, rate in zip(grads, rates, strict=True):
    grad = np.asarray(grad, np.float64)
    if not decoupled:
      grad = grad + decay * params
    buffer = momentum * buffer + grad
    step = grad + momentum * buffer
    if decoupled:
      step = step + decay * params
    params = params - float(rate) * step
  return params


@pytest.mark.parametrize('form', ['coupled', 'decoupled'])
def test_sgd_by_hand_over_three_steps(form):
  tx, rate = make(
    name='sgd',
    momentum=0.9,
    nesterov=True,
    weight_decay=0.3,
    weight_decay_form=form,
    schedule=SCHEDULE,
  )
  got, _ = run(tx, GRADS[:3])
  rates = [rate(step) for step in range(3)]
  for layer, leaf in [('stem', 'kernel'), ('norm', 'scale'), ('head', 'bias')]:
    want = numpy_sgd(
      PARAMS[layer][leaf],
      [grad[layer][leaf] for grad in GRADS[:3]],
      rates,
      decay=0.3 if leaf == 'kernel' else 0.0,
      momentum=0.9,
      decoupled=form == 'decoupled',
    )
    np.testing.assert_allclose(got[layer][leaf], want, rtol=1e-5, atol=1e-6)


def test_the_two_forms_differ():
  config = {'name': 'adam', 'weight_decay': 0.3}
  coupled, _ = make(weight_decay_form='coupled', **config)
  decoupled, _ = make(weight_decay_form='decoupled', **config)
  a, b = run(coupled)[0]['head'], run(decoupled)[0]['head']
  assert np.abs(a['kernel'] - b['kernel']).max() > 1e-3
  np.testing.assert_array_equal(a['bias'], b['bias'])


def test_decay_of_chosen_parameters():
  tx, _ = make(
    name='sgd',
    weight_decay=0.5,
    weight_decay_form='coupled',
    weight_decay_params=['head/.*'],
  )
  zeros = jax.tree.map(jnp.zeros_like, PARAMS)
  got, _ = run(tx, [zeros])
  shrunk = jax.tree.map(lambda x: x * (1 - 0.1 * 0.5), PARAMS['head'])
  assert_close(got, {**PARAMS, 'head': shrunk})


def test_clipping_comes_before_decay_and_spares_frozen_leaves():
  tx, _ = make(
    name='sgd',
    clip_norm=1e-3,
    freeze=['stem/.*'],
    weight_decay=0.5,
    weight_decay_form='coupled',
  )
  grad = {**GRADS[0], 'stem': {'kernel': jnp.full((3, 3, 2, 4), jnp.nan)}}
  got, _ = run(tx, [grad])
  kept = {k: v for k, v in grad.items() if k != 'stem'}
  ratio = 1e-3 / optax.global_norm(kept)
  bias = PARAMS['head']['bias'] - 0.1 * ratio * grad['head']['bias']
  kernel = PARAMS['head']['kernel'] * (1 - 0.05)
  kernel = kernel - 0.1 * ratio * grad['head']['kernel']
  assert_close(got['head'], {'bias': bias, 'kernel': kernel})


def test_frozen_leaves_stay_bit_for_bit_and_have_no_state():
  config = {
    'name': 'adam',
    'weight_decay': 0.5,
    'weight_decay_form': 'decoupled',
  }
  all_state = count(run(make(**config)[0])[1])
  got, state = run(make(freeze=['stem/.*', 'norm/bias'], **config)[0])
  np.testing.assert_array_equal(got['stem']['kernel'], PARAMS['stem']['kernel'])
  np.testing.assert_array_equal(got['norm']['bias'], PARAMS['norm']['bias'])
  assert np.all(got['norm']['scale'] != PARAMS['norm']['scale'])
  assert all_state - count(state) == 2 * (3 * 3 * 2 * 4 + 4)


def test_groups():
  """The first match wins; the rest takes the main optimizer."""
  tx, rate = make(
    name='sgd',
    momentum=0.9,
    nesterov=True,
    schedule=SCHEDULE,
    weight_decay=0.1,
    weight_decay_form='coupled',
    groups=[
      {'pattern': 'stem/kernel', 'name': 'adam', 'learning_rate_scale': 0.5},
      {'pattern': '.*/kernel', 'learning_rate_scale': 3.0, 'momentum': 0.5},
    ],
  )
  got, _ = run(tx)

  def sub(name):
    return [g[name] for g in GRADS], PARAMS[name]

  adam = optax.adam(lambda t: 0.5 * rate(t))
  assert_close(got['stem'], run(adam, *sub('stem'))[0])
  assert_close(got['norm'], run(optax.sgd(rate, 0.9, True), *sub('norm'))[0])
  head = optax.chain(
    optax.add_decayed_weights(0.1),
    optax.sgd(lambda t: 3 * rate(t), 0.5, nesterov=True),
  )
  want = run(head, *sub('head'))[0]
  assert_close(got['head']['kernel'], want['kernel'])


def test_frozen_comes_before_groups():
  tx, _ = make(
    name='sgd',
    freeze='stem/.*',
    groups=[{'pattern': '.*/kernel', 'learning_rate_scale': 2.0}],
  )
  got, _ = run(tx)
  np.testing.assert_array_equal(got['stem']['kernel'], PARAMS['stem']['kernel'])
  assert np.all(got['head']['kernel'] != PARAMS['head']['kernel'])


MUON = {
  'name': 'sgd',
  'momentum': 0.85,
  'nesterov': True,
  'groups': [{'pattern': '.*/kernel', 'name': 'muon', 'beta': 0.6}],
}


def test_muon_updates_are_nearly_orthogonal():
  """Both for a dense kernel and a convolution's, as (h w in) x out."""
  tx, _ = make(**MUON)
  got, _ = run(tx, GRADS[:1])
  for layer in ('stem', 'head'):
    moved = np.asarray(PARAMS[layer]['kernel'] - got[layer]['kernel']) / 0.1
    moved = moved.reshape(-1, moved.shape[-1])
    rows, columns = moved.shape
    values = np.linalg.svd(moved, compute_uv=False)
    values = values / np.sqrt(max(1, columns / rows))
    # Newton-Schulz with these coefficients ends between 0.7 and 1.2.
    assert values.min() > 0.6 and values.max() < 1.25, values
    # And it keeps the gradient's singular vectors.
    grad = np.asarray(GRADS[0][layer]['kernel']).reshape(moved.shape)
    u, _, v = np.linalg.svd(grad, full_matrices=False)
    turned = u.T @ moved @ v.T
    off = turned - np.diag(np.diag(turned))
    assert np.abs(off).max() < 1e-4


def test_muon_leaves_vectors_to_the_main_optimizer():
  got, _ = run(make(**MUON)[0])
  want, _ = run(make(name='sgd', momentum=0.85, nesterov=True)[0])
  assert_close(got['norm'], want['norm'])
  assert_close(got['head']['bias'], want['head']['bias'])


def test_muon_as_the_only_optimizer():
  tx, _ = make(name='muon')
  got, _ = run(tx)
  want, _ = run(make(name='nadam')[0])
  assert_close(got['norm'], want['norm'], rtol=1e-5)


def test_normalized_weights():
  tx, _ = make(name='sgd', normalize_weights=True)
  zeros = jax.tree.map(jnp.zeros_like, PARAMS)
  got, _ = run(tx, [zeros])
  for layer, out in [('stem', 4), ('head', 5)]:
    norm = np.linalg.norm(np.ravel(got[layer]['kernel']))
    np.testing.assert_allclose(norm, np.sqrt(out), rtol=1e-5)
  np.testing.assert_array_equal(got['head']['bias'], PARAMS['head']['bias'])


@pytest.mark.parametrize('name', sorted(optimizer.optimizers()))
def test_every_optimizer_traces(name):
  tx, _ = make(
    name=name,
    total_steps=1,
    weight_decay=0.01,
    weight_decay_form='decoupled',
    schedule={'name': 'cosine', 'warmup_epochs': 5},
    steps_per_epoch=100.0,
  )
  state = jax.eval_shape(tx.init, PARAMS)
  updates, after = jax.eval_shape(tx.update, GRADS[0], state, PARAMS)
  assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, PARAMS)
  assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_a_run_of_one_step():
  tx, _ = make(name='sgd', total_steps=1, schedule={'name': 'cosine'})
  got, _ = run(tx, GRADS[:1])
  want = jax.tree.map(lambda p, g: p - 0.1 * g, PARAMS, GRADS[0])
  assert_close(got, want)


def test_every_unfit_name_is_optax_s():
  for name in optimizer._UNFIT:
    assert hasattr(optax, name) or hasattr(optax.contrib, name)
    with pytest.raises(UserError, match='cannot be used here'):
      make(name=name)


FULL = {
  **MUON,
  'clip_norm': 1.0,
  'weight_decay': 0.1,
  'weight_decay_form': 'decoupled',
}


@pytest.mark.parametrize(
  ('config', 'freeze'),
  [({'name': 'adamw'}, ()), (MUON, ()), (FULL, ['norm/bias'])],
)
def test_state_maps_like_the_parameters(config, freeze):
  """Sharding rules are applied to the state so; init must be abstract."""
  shapes = jax.eval_shape(lambda: PARAMS)
  config = {'total_steps': 4, 'learning_rate': 0.1, **config}
  tx, _ = make_optimizer(shapes, freezing=frozen(freeze), **config)
  abstract = jax.eval_shape(tx.init, shapes)
  state = tx.init(PARAMS)
  assert jax.tree.structure(abstract) == jax.tree.structure(state)

  ranks = jax.tree.map(lambda x: x.ndim, PARAMS)
  seen = []
  marked = map_state(
    tx,
    lambda leaf, rank: seen.append(leaf.ndim == rank) or 'param',
    abstract,
    ranks,
    other=lambda leaf: 'other',
  )
  assert seen and all(seen)
  assert set(jax.tree.leaves(marked)) == {'param', 'other'}


def test_keys_come_from_a_config_dict():
  config = ml_collections.ConfigDict(
    {
      'optimizer': {
        **FULL,
        'learning_rate': 0.1,
        'schedule': {'name': 'cosine', 'warmup_epochs': 1},
      }
    }
  )
  stored = ml_collections.ConfigDict(json.loads(config.to_json()))
  for each in (config, stored):
    tx, rate = make_optimizer(
      PARAMS, total_steps=10, steps_per_epoch=2.0, **each.optimizer
    )
    assert float(rate(1)) == pytest.approx(0.05)
    run(tx, GRADS[:1])


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'name': 'sdg'}, "unknown optimizer 'sdg': did you mean sgd"),
    ({'momentun': 0.9}, 'did you mean momentum'),
    ({'b1': 0.9}, "unknown key of optimizer 'sgd' 'b1'"),
    ({'mask': 1}, 'unknown key'),
    ({'weight_decay': 1e-4}, "say 'coupled'"),
    ({'weight_decay': 1e-4, 'weight_decay_form': 'l2'}, "form is 'l2'"),
    ({'weight_decay_params': ['haed/.*']}, 'haed'),
    ({'groups': [{'learning_rate_scale': 2.0}]}, "lacks 'pattern'"),
    ({'groups': [{'pattern': 'x/.*'}]}, 'matches nothing'),
    ({'groups': [{'pattern': '.*'}, {'pattern': 'head/.*'}]}, 'preceded'),
    ({'groups': [{'pattern': '.*', 'scale': 2.0}]}, r'groups\[0\]'),
    ({'groups': [{'pattern': '.*', 'clip_norm': 2.0}]}, 'unknown key'),
    ({'schedule': {'name': 'cosine', 'x': 2.0}}, 'unknown key of schedule'),
    ({'schedule': {'warmup_epochs': 2.0}}, 'schedule has no name'),
    ({'schedule': {'name': 'cosine', 'learning_rate': 1}}, 'set it outside'),
  ],
)
def test_bad_input(change, said):
  with pytest.raises(UserError, match=said):
    make(**{'name': 'sgd', **change})


def test_no_keyword_of_ours_hides_one_of_optax():
  ours = inspect.signature(make_optimizer).parameters.keys()
  ours |= inspect.signature(optimizer.with_decay).parameters.keys()
  for name, factory in optimizer.optimizers().items():
    theirs = inspect.signature(factory).parameters.keys()
    assert theirs & ours <= optimizer._OURS, name


def test_ema():
  ema = {'params': jnp.zeros(3), 'model_state': {'mean': jnp.ones(2)}}
  ema['count'] = jnp.int32(0)
  new = {'params': jnp.ones(3), 'model_state': {'mean': jnp.ones(2)}}
  new['count'] = jnp.int32(7)
  first = jax.jit(ema_update, static_argnums=3)(ema, new, 0, 0.99)
  np.testing.assert_allclose(first['params'], 0.9, rtol=1e-6)
  np.testing.assert_array_equal(first['model_state']['mean'], 1.0)
  assert first['count'] == 7
  # From step 890 on the decay is the one asked for.
  late = ema_update(ema, new, 891, 0.99)
  np.testing.assert_allclose(late['params'], 0.01, rtol=1e-5)


def test_ema_by_hand():
  values = [2.0, 4.0, 8.0]
  want, ema = 1.0, {'w': jnp.float32(1.0)}
  for step, value in enumerate(values):
    decay = min(0.2, (1 + step) / (10 + step))
    want = decay * want + (1 - decay) * value
    ema = ema_update(ema, {'w': jnp.float32(value)}, step, 0.2)
  np.testing.assert_allclose(ema['w'], want, rtol=1e-6)
