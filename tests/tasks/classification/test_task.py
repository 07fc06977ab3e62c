"""The classification task: losses, preprocessing, records, report."""

import json

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError
from recog_jax.tasks.classification.task import make_classification


def _make(v=8, channels=3, **keys):
  names = tuple(f'class {i}' for i in range(v))
  return make_classification(info=Info('toy', (6, 6, channels), names), **keys)


def _batch(targets=None, b=16, v=8, seed=0):
  rng = np.random.default_rng(seed)
  if targets is None:
    targets = rng.integers(0, v, b).astype(np.int32)
  return {
    'inputs': rng.integers(0, 256, (b, 6, 6, 3)).astype(np.uint8),
    'targets': targets,
    'index': np.arange(b, dtype=np.int32),
    'valid': np.ones(b, bool),
  }


def _logits(b=16, v=8, seed=1):
  return np.random.default_rng(seed).normal(size=(b, v)).astype(np.float32)


def _mean_loss(task, logits, batch):
  ((total, weight),) = task.loss({'logits': logits}, batch).values()
  assert total.dtype == jnp.float32
  return float(total / weight)


class _Toy(nn.Module):
  """Counts its training calls in a collection of its own."""

  num_outputs: int

  @nn.compact
  def __call__(self, x, *, train):
    calls = self.variable('stats', 'calls', lambda: jnp.zeros(()))
    if train and not self.is_initializing():
      calls.value += 1
    x = nn.Dropout(0.5, deterministic=not train, name='drop')(x)
    logits = nn.Dense(self.num_outputs, name='head')(x.mean((1, 2)))
    return logits, {'features': x}


# -- losses -------------------------------------------------------------------


@pytest.mark.smoke
def test_softmax_loss_by_hand():
  task = _make(v=2)
  logits = jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0]]))
  batch = _batch(np.array([1, 0], np.int32), b=2)
  want = -(np.log(0.75) + np.log(0.5)) / 2
  assert _mean_loss(task, logits, batch) == pytest.approx(want, rel=1e-6)


def test_label_smoothing_equals_optax_and_only_in_training():
  task = _make(label_smoothing=0.1)
  batch, logits = _batch(), _logits()
  smooth = optax.smooth_labels(jax.nn.one_hot(batch['targets'], 8), 0.1)
  want = optax.softmax_cross_entropy(logits, smooth).mean()
  train = task.preprocess(batch, None, train=True)
  assert _mean_loss(task, logits, train) == pytest.approx(float(want))
  plain = optax.softmax_cross_entropy_with_integer_labels(
    logits, batch['targets']
  ).mean()
  test = task.preprocess(batch, None, train=False)
  assert 'soft_targets' not in test
  assert _mean_loss(task, logits, test) == pytest.approx(float(plain))


def test_label_smoothing_by_hand():
  task = _make(v=4, label_smoothing=0.2)
  batch = task.preprocess(
    _batch(np.array([2], np.int32), b=1), None, train=True
  )
  np.testing.assert_allclose(
    batch['soft_targets'], [[0.05, 0.05, 0.85, 0.05]], rtol=1e-6
  )


def test_sigmoid_loss_of_several_labels():
  targets = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
  logits = np.array([[0.0, 0.0, 0.0], [-100, -100, 100]], np.float32)
  batch = _batch(targets, b=2)
  task = _make(v=3, loss='sigmoid', multi_label=True)
  want = (np.log(2) + 100 / 3) / 2
  assert _mean_loss(task, logits, batch) == pytest.approx(want)
  task = _make(v=3, loss='sigmoid', multi_label=True, label_smoothing=0.2)
  soft = task.preprocess(batch, None, train=True)['soft_targets']
  np.testing.assert_allclose(soft[0], [0.9, 0.1, 0.9], rtol=1e-6)


def test_sigmoid_loss_of_one_label_takes_it_one_hot():
  task, batch, logits = _make(loss='sigmoid'), _batch(), _logits()
  one_hot = np.eye(8)[batch['targets']]
  p = 1 / (1 + np.exp(-logits.astype(np.float64)))
  want = -(one_hot * np.log(p) + (1 - one_hot) * np.log(1 - p)).mean()
  assert _mean_loss(task, logits, batch) == pytest.approx(want)
  assert task.headline == 'accuracy'


def test_mean_squared_error_of_classes():
  task, batch, logits = _make(loss='mse'), _batch(), _logits()
  want = np.square(logits - np.eye(8)[batch['targets']]).mean()
  assert _mean_loss(task, logits, batch) == pytest.approx(want)
  metrics, _ = _evaluated(task, logits, batch)
  right = (logits.argmax(1) == batch['targets']).mean()
  assert metrics['accuracy'] == pytest.approx(right)


@pytest.mark.parametrize('loss', ['softmax', 'sigmoid', 'mse'])
def test_bfloat16_logits_are_summed_in_float32(loss):
  task, batch = _make(loss=loss), _batch()
  logits = jnp.asarray(_logits(), jnp.bfloat16)
  want = _mean_loss(task, logits.astype(jnp.float32), batch)
  assert _mean_loss(task, logits, batch) == want
  state = task.metrics({'logits': logits}, batch)
  assert state.loss.dtype == jnp.float32
  assert task.records({'logits': logits}, batch)['score'].dtype == jnp.float32


def test_padding_rows_weigh_nothing():
  task, batch, logits = _make(), _batch(), _logits()
  want = _mean_loss(task, logits, batch)
  padded = {k: np.concatenate([x, x[:5]]) for k, x in batch.items()}
  padded['valid'][16:] = False
  more = np.concatenate([logits, np.full((5, 8), np.nan, np.float32)])
  assert _mean_loss(task, more, padded) == pytest.approx(want)
  metrics = jax.jit(task.metrics)
  state = metrics({'logits': logits}, batch)
  other = metrics({'logits': more}, padded)
  jax.tree.map(np.testing.assert_array_equal, state, other)
  right, weight = task.train_metrics({'logits': more}, padded)['accuracy']
  accuracy = _evaluated(task, logits, batch)[0]['accuracy']
  assert float(right / weight) == pytest.approx(accuracy)


# -- preprocessing ------------------------------------------------------------


def test_normalisation_from_uint8():
  mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
  batch = _batch()
  got = _make(mean=mean, std=std).preprocess(batch, None, train=False)
  want = (batch['inputs'] / 255 - np.array(mean)) / np.array(std)
  assert got['inputs'].dtype == jnp.float32
  np.testing.assert_allclose(got['inputs'], want, atol=1e-5)
  with pytest.raises(ValueError, match='uint8'):
    _make().preprocess(got, None, train=False)


@pytest.mark.parametrize(
  'alphas', [{'mixup_alpha': 0.4}, {'cutmix_alpha': 1.0}]
)
def test_the_loss_of_mixed_targets_is_the_mixed_loss(alphas):
  task, batch, logits = _make(**alphas), _batch(), _logits()
  preprocess = jax.jit(task.preprocess, static_argnames='train')
  mixed = preprocess(batch, jax.random.key(3), train=True)
  soft = np.asarray(mixed['soft_targets'])
  np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-6)
  assert ((soft > 0).sum(1) == 2).any()
  per_class = -jax.nn.log_softmax(logits)
  want = np.mean(np.sum(soft * per_class, axis=1))
  assert _mean_loss(task, logits, mixed) == pytest.approx(want)
  # A pixel-wise blend of normalised images: no value beyond the two parents.
  plain = task.preprocess(batch, None, train=False)
  assert 'soft_targets' not in plain
  assert float(mixed['inputs'].max()) <= float(plain['inputs'].max()) + 1e-6
  again = preprocess(batch, jax.random.key(3), train=True)
  np.testing.assert_array_equal(mixed['inputs'], again['inputs'])


def test_mixing_comes_after_smoothing_and_both_are_linear():
  keys = {'mixup_alpha': 1.0, 'label_smoothing': 0.1}
  key = jax.random.key(0)

  def soft_targets(task):
    preprocess = jax.jit(task.preprocess, static_argnames='train')
    return preprocess(_batch(), key, train=True)['soft_targets']

  smooth, plain = (
    soft_targets(_make(**keys)),
    soft_targets(_make(mixup_alpha=1)),
  )
  np.testing.assert_allclose(smooth, 0.9 * plain + 0.1 / 8, rtol=1e-5)


# -- the model ----------------------------------------------------------------


def test_forward_updates_collections_only_in_training():
  task, module = _make(), _Toy(8)
  batch = _batch()
  batch['valid'][10:] = False
  batch = task.preprocess(batch, None, train=False)
  keys = {k: jax.random.key(i) for i, k in enumerate(('params', 'dropout'))}
  variables = task.init(module, keys, batch)
  outputs, state = task.forward(module, variables, batch, rngs={}, train=False)
  assert state == {}
  assert outputs['logits'].shape == (16, 8)
  assert 'features' in outputs['taps']
  rngs = {'dropout': keys['dropout']}
  _, state = task.forward(module, variables, batch, rngs=rngs, train=True)
  assert state.keys() == {'stats'}
  assert float(state['stats']['calls']) == 1
  params = {'params': variables['params'], 'stats': state['stats']}
  assert jax.tree.structure(params) == jax.tree.structure(dict(variables))


class _Linear(nn.Module):
  @nn.compact
  def __call__(self, x, *, train, mask=None):
    return nn.Dense(8, name='head')(x.reshape(len(x), -1)), {}


def test_a_model_without_collections():
  task, module = _make(), _Linear()
  batch = task.preprocess(_batch(), None, train=False)
  variables = task.init(module, {'params': jax.random.key(0)}, batch)
  _, state = task.forward(module, variables, batch, rngs={}, train=True)
  assert state == {}


# -- records and report -------------------------------------------------------


def _evaluated(task, logits, batch):
  outputs = {'logits': logits}
  state = jax.jit(task.metrics)(outputs, batch)
  records = jax.jit(task.records)(outputs, batch)
  valid = batch['valid']
  records = {k: np.asarray(x)[valid] for k, x in records.items()}
  return task.compute(jax.device_get(state), records, None), records


def _lookup(asked):
  def lookup(ids):
    asked.append(ids)
    images = np.random.default_rng(0).integers(0, 256, (len(ids), 6, 6, 3))
    return {'image': images.astype(np.uint8)}

  return lookup


def test_report_of_classes(tmp_path):
  task, logits = _make(), _logits(b=300)
  batch = _batch(b=300)
  logits[np.arange(300), batch['targets']] += 2
  batch['valid'][290:] = False
  batch['index'] += 1000
  metrics, records = _evaluated(task, logits, batch)
  np.testing.assert_array_equal(records['index'], np.arange(1000, 1290))
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_allclose(records['score'], p.max(1)[:290], rtol=1e-5)
  asked = []
  result = task.report(records, _lookup(asked), tmp_path, 'test-7')
  assert {k: result[k] for k in metrics} == pytest.approx(metrics, rel=1e-5)
  for name, value in metrics.items():
    low, high = result[f'{name}_ci95']
    assert low < value < high
  assert result['per_class']['label'] == list(task.spec.label_names)
  assert sum(result['per_class']['support']) == 290
  f1 = result['per_class']['f1']
  assert np.mean(f1) == pytest.approx(metrics['f1_macro'])
  assert json.loads(json.dumps(result)) == result
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {'test-7-confusion_matrix.png', 'test-7-worst_mistakes.png'}
  for name in names:
    assert cv2.imread(str(tmp_path / name)).std() > 5
  # The sheet shows mistakes only, the highest loss first.
  (ids,) = asked
  rows = ids - 1000
  assert (records['prediction'][rows] != records['target'][rows]).all()
  assert (np.diff(records['loss'][rows]) <= 0).all()
  wrong = records['prediction'] != records['target']
  assert records['loss'][rows[0]] == records['loss'][wrong].max()


class _Named:
  """A lookup that knows the names of files, some of them of no text."""

  def __call__(self, ids):
    return {'image': np.zeros((len(ids), 6, 6, 3), np.uint8)}

  def names(self, ids):
    return [f'a$b$/\udcff\n {i}.jpg' for i in ids]


@pytest.mark.parametrize('v', [3, 12])
def test_every_example_has_a_row_with_its_file(v, tmp_path):
  task, logits, batch = _make(v=v), _logits(v=v), _batch(v=v)
  logits[3] = np.nan
  _, records = _evaluated(task, logits, batch)
  task.report(records, _Named(), tmp_path, 'test-7')
  text = (tmp_path / 'test-7-predictions.jsonl').read_text()
  rows = [json.loads(line) for line in text.splitlines()]
  assert [row['file'] for row in rows] == _Named().names(range(16))
  p = np.asarray(jax.nn.softmax(logits))
  names = task.spec.label_names
  for i, row in enumerate(rows):
    if i == 3:
      assert row['loss'] is None
      continue
    best = np.argsort(-p[i])[:10]
    assert list(row['probabilities']) == [names[k] for k in best]
    wanted = pytest.approx(p[i][best], rel=1e-5)
    assert list(row['probabilities'].values()) == wanted
    assert row['prediction'] == names[best[0]]
    assert row['label'] == names[batch['targets'][i]]


def test_rows_of_several_labels(tmp_path):
  task = _make(v=4, loss='sigmoid', multi_label=True)
  targets = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.float32)
  logits = np.array([[2, 1, -1, -2], [-1, -2, -3, -4]], np.float32)
  _, records = _evaluated(task, logits, _batch(targets, b=2))
  task.report(records, _Named(), tmp_path, 'test-7')
  text = (tmp_path / 'test-7-predictions.jsonl').read_text()
  first, second = (json.loads(line) for line in text.splitlines())
  assert first['label'] == ['class 0', 'class 2']
  assert first['prediction'] == ['class 0', 'class 1']
  assert first['probabilities']['class 2'] == pytest.approx(0.268941)
  assert second['label'] == second['prediction'] == []


def test_report_without_a_mistake_needs_no_images(tmp_path):
  task, batch = _make(v=3), _batch(np.arange(3, dtype=np.int32), b=3)
  _, records = _evaluated(task, 9 * np.eye(3, dtype=np.float32), batch)
  asked = []
  result = task.report(records, _lookup(asked), tmp_path, 'test-1')
  assert result['accuracy'] == 1
  assert asked == []


def test_report_of_several_labels(tmp_path):
  task = _make(v=4, loss='sigmoid', multi_label=True)
  rng = np.random.default_rng(0)
  targets = (rng.random((50, 4)) < 0.4).astype(np.float32)
  logits = _logits(b=50, v=4) + 2 * targets - 1
  metrics, records = _evaluated(task, logits, _batch(targets, b=50))
  result = task.report(records, _lookup([]), tmp_path, 'labels')
  assert {k: result[k] for k in metrics} == pytest.approx(metrics, rel=1e-5)
  assert len(result['per_class']['f1']) == 4
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {'labels-worst_mistakes.png'}


# -- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
  ('keys', 'words'),
  [
    ({'loss': 'sofmax'}, 'did you mean softmax'),
    ({'multi_label': True}, "set config.task.loss to 'sigmoid'"),
    ({'bce_target_threshold': 0.2}, "goes with config.task.loss='sigmoid'"),
    ({'mean': (0.1, 0.2)}, '2 numbers'),
    ({'std': 0.0}, 'positive'),
    ({'v': 1}, 'one class'),
    ({'v': 1, 'loss': 'mse'}, 'one class'),
  ],
)
def test_bad_keys(keys, words):
  with pytest.raises(UserError, match=words):
    _make(**keys)


@pytest.mark.parametrize(
  ('keys', 'targets', 'words'),
  [
    ({}, np.zeros((16, 8), np.float32), 'several labels'),
    (
      {'loss': 'sigmoid', 'multi_label': True},
      np.zeros(16, np.int32),
      'multi_label needs 8',
    ),
  ],
)
def test_targets_that_do_not_fit(keys, targets, words):
  with pytest.raises(UserError, match=words):
    _make(**keys).preprocess(_batch(targets), None, train=False)


def test_numbers_are_told_where_they_belong():
  info = Info('toy', (6, 6, 3), (), target_names=('age',))
  with pytest.raises(UserError, match="are numbers .age., .*'regression'"):
    make_classification(info=info)
