"""Group DRO: its loss by hand, its weights, what it chooses and refuses."""

import dataclasses
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError
from recog_jax.tasks.group_dro import make_group_dro

COLOURS = ['red', 'blue', 'blue', 'red', 'blue', 'blue']
LABELS = ['a', 'a', 'b', 'b', 'a', 'b']


def info(fields=True):
  known = {'colour': COLOURS, 'label': LABELS}
  return Info(
    'toy', (2, 2, 1), ('a', 'b'),
    training_fields=(lambda: known) if fields else None,
  )  # fmt: skip


def make(**keys):
  keys = {'fields': ('colour',), 'step_size': 0.5, **keys}
  inner = {'name': 'classification', 'mean': 0.5, 'std': 0.5}
  return make_group_dro(info=info(), task=inner, **keys)


class Net(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    logits = nn.Dense(2, name='head')(x.reshape(len(x), -1))
    return logits, {}


RNG = np.random.default_rng(0)
BATCH = {
  'inputs': RNG.integers(0, 256, (4, 2, 2, 1), np.uint8),
  'targets': np.array([0, 1, 0, 1], np.int32),
  'index': np.array([0, 2, 4, 3], np.int32),  # red, blue, blue, red
  'valid': np.array([True, True, True, False]),
}


def losses_of(task, variables):
  """The mean loss of each group, red's last row being padding."""
  batch = task.preprocess(BATCH, None, train=False)
  logits, _ = Net().apply(
    {'params': variables['params']}, batch['inputs'], train=False
  )
  logp = jax.nn.log_softmax(logits)
  rows = -logp[jnp.arange(4), BATCH['targets']]
  return np.array([rows[1:3].mean(), rows[0]])


def stepped(task, variables):
  batch = task.preprocess(BATCH, jax.random.key(0), train=True)
  outputs, state = task.forward(Net(), variables, batch, rngs={}, train=True)
  return task.loss(outputs, batch), state['group_dro']['q']


def start(task):
  batch = task.preprocess(BATCH, None, train=False)
  return task.init(Net(), {'params': jax.random.key(0)}, batch)


def total(task, terms):
  return sum(
    task.coefficients.get(k, 1.0) * t / w
    for k, (t, w) in terms.items()
    if w > 0
  )


@pytest.mark.smoke
def test_weights_grow_with_the_loss_and_weigh_the_groups_means():
  task = make()
  variables = start(task)
  np.testing.assert_allclose(variables['group_dro']['q'], [0.5, 0.5])
  losses = losses_of(task, variables)
  q = 0.5 * np.exp(0.5 * losses)
  q /= q.sum()
  terms, found = stepped(task, variables)
  np.testing.assert_allclose(found, q, rtol=1e-5)
  assert sorted(terms) == ['loss/blue', 'loss/red']
  np.testing.assert_allclose(total(task, terms), (q * losses).sum(), rtol=1e-5)
  # And once more from there.
  variables = {**variables, 'group_dro': {'q': found}}
  q = q * np.exp(0.5 * losses)
  np.testing.assert_allclose(
    stepped(task, variables)[1], q / q.sum(), rtol=1e-5
  )


def test_with_a_step_of_0_groups_count_the_same():
  task = make(step_size=0.0)
  variables = start(task)
  terms, q = stepped(task, variables)
  np.testing.assert_allclose(q, [0.5, 0.5])
  np.testing.assert_allclose(
    total(task, terms), losses_of(task, variables).mean(), rtol=1e-5
  )


@pytest.mark.slow
def test_a_group_that_is_not_in_the_batch_keeps_its_weight():
  task = make(fields=('colour', 'label'))
  assert task.names == ('blue x a', 'blue x b', 'red x a', 'red x b')
  variables = start(task)
  _, q = stepped(task, variables)
  # red x b is padding here; the three others have losses above 0.
  assert float(q[3]) < 0.25 and np.isclose(q.sum(), 1)
  raw = np.asarray(q) / float(q[3])
  assert (raw[:3] > 1).all()


@pytest.mark.slow
def test_small_groups_weigh_more_by_the_adjustment():
  plain, adjusted = make(), make(adjustment=2.0)
  variables = start(plain)
  q, more = (np.asarray(stepped(t, variables)[1]) for t in (plain, adjusted))
  # 4 of blue and 2 of red: C (1 / root 2 - 1 / root 4) more for red.
  ratio = (more[1] / more[0]) / (q[1] / q[0])
  expected = np.exp(0.5 * 2 * (2**-0.5 - 4**-0.5))
  np.testing.assert_allclose(ratio, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_weighted_sum():
  task = make()
  variables = start(task)
  q = np.asarray(stepped(task, variables)[1])

  def own(params):
    terms, _ = stepped(task, {**variables, 'params': params})
    return total(task, terms)

  def reference(params):
    batch = task.preprocess(BATCH, None, train=False)
    logits, _ = Net().apply({'params': params}, batch['inputs'], train=False)
    rows = -jax.nn.log_softmax(logits)[jnp.arange(4), BATCH['targets']]
    return q[0] * rows[1:3].mean() + q[1] * rows[0]

  found, wanted = (jax.grad(f)(variables['params']) for f in (own, reference))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    found, wanted,
  )  # fmt: skip


def test_evaluation_is_that_of_the_task_and_the_worst_group():
  task = make()
  variables = start(task)
  batch = task.preprocess(BATCH, None, train=False)
  outputs, state = task.forward(Net(), variables, batch, rngs={}, train=False)
  assert state == {} and 'loss' in task.loss(outputs, batch)
  records = {
    'index': np.arange(6), 'target': np.array([0, 0, 1, 1, 0, 1]),
    'prediction': np.array([0, 0, 1, 0, 0, 0]),
    'score': np.ones(6), 'loss': np.zeros(6), 'in_top5': np.ones(6, bool),
  }  # fmt: skip
  lookup = types.SimpleNamespace(fields=lambda ids: {'colour': COLOURS})
  inner = types.SimpleNamespace(
    compute=lambda *_: {'accuracy': 4 / 6}, by_example=task.by_example,
    spec=task.spec, headline='accuracy',
  )  # fmt: skip
  found = dataclasses.replace(task, task=inner).compute(None, records, lookup)
  assert found == {'accuracy': 4 / 6, 'worst_group': 0.5}
  assert task.headline == 'worst_group' and task.higher_is_better
  assert make(by_worst=False).headline == 'accuracy'


def test_what_is_refused():
  inner = {'name': 'classification', 'mean': 0.5, 'std': 0.5}
  with pytest.raises(UserError, match='do not say of what groups'):
    make_group_dro(info=info(False), task=inner, fields=('colour',))
  with pytest.raises(UserError, match="unknown field.*'color'.*colour"):
    make(fields=('color',))
  with pytest.raises(UserError, match='makes 1 groups'):
    make(groups=('red',))


def test_a_workdir_knows_the_groups_without_the_data():
  task = make()
  measured = task.measured()
  assert measured == {'group_dro.groups': ['blue', 'red']}
  inner = {'name': 'classification', 'mean': 0.5, 'std': 0.5}
  again = make_group_dro(
    info=info(False), task=inner, fields=('colour',), groups=('blue', 'red')
  )
  assert again.names == task.names


def test_it_stays_around_what_the_inner_task_is_in_training():
  inner = types.SimpleNamespace(for_training=lambda data: ('ready', data))
  ready = dataclasses.replace(make(), task=inner).for_training({'name': 'x'})
  assert ready.names == make().names
  assert ready.task == ('ready', {'name': 'x'})
  assert make().for_training({}).task.headline == make().task.headline
