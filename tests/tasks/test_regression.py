"""Regression: losses, units, metrics, and a run from numbers to the report."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from sklearn import metrics as sk

from recog_jax import registry
from recog_jax.data.image import dataset
from recog_jax.data.image.records import ArrayRecords, Info
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, logbook, train
from recog_jax.engine import trained as trained_lib
from recog_jax.errors import UserError
from recog_jax.metrics.regression import Numbers
from recog_jax.report.table import metrics_table
from recog_jax.tasks.regression import make_regression

MEAN, STD = np.array([1990.0, -3.0]), np.array([12.0, 0.5])
NAMES = ('year', 'depth')


def _make(names=NAMES, **keys):
  v = len(names)
  info = Info(
    'toy',
    (6, 6, 3),
    (),
    target_names=names,
    target_stats=lambda: (MEAN[:v], STD[:v]),
  )
  return make_regression(info=info, **keys)


def _batch(v=2, b=200, seed=0):
  rng = np.random.default_rng(seed)
  targets = rng.normal(size=(b, v)) * STD[:v] + MEAN[:v]
  return {
    'inputs': rng.integers(0, 256, (b, 6, 6, 3)).astype(np.uint8),
    'targets': targets.astype(np.float32),
    'index': np.arange(b, dtype=np.int32),
    'valid': np.ones(b, bool),
  }


def _outputs(batch, v=2):
  rng = np.random.default_rng(1)
  targets = batch['targets'].reshape(-1, v)
  given = (targets - MEAN[:v]) / STD[:v] + rng.normal(size=targets.shape) / 2
  return {'logits': given.astype(np.float32)}


def _evaluated(task, outputs, batch):
  state = jax.device_get(jax.jit(task.metrics)(outputs, batch))
  records = jax.device_get(jax.jit(task.records)(outputs, batch))
  return task.compute(state, records, None), records


@pytest.mark.parametrize(
  ('keys', 'of'),
  [
    ({}, np.square),
    ({'loss': 'l1'}, np.abs),
    (
      {'loss': 'huber', 'huber_delta': 0.3},
      lambda e: np.where(abs(e) < 0.3, e**2 / 2, 0.3 * (abs(e) - 0.15)),
    ),
  ],
)
def test_losses_are_of_normalised_targets(keys, of):
  task, batch = _make(**keys), _batch()
  outputs = _outputs(batch)
  error = outputs['logits'] - (batch['targets'] - MEAN) / STD
  total, weight = task.loss(outputs, batch)['loss']
  assert float(total / weight) == pytest.approx(of(error).mean(), rel=1e-4)
  # Rows that only fill up a batch weigh nothing.
  padded = {k: np.concatenate([x, x[:5]]) for k, x in batch.items()}
  padded['valid'][200:] = False
  wrong = np.full((5, 2), np.nan, np.float32)
  outputs = {'logits': np.concatenate([outputs['logits'], wrong])}
  again, weight = task.loss(outputs, padded)['loss']
  assert (float(again), weight) == (pytest.approx(float(total)), 200)


def test_metrics_equal_scikit_learn_in_the_units_of_the_data(tmp_path):
  task, batch = _make(), _batch()
  metrics, records = _evaluated(task, _outputs(batch), batch)
  said = _outputs(batch)['logits'] * STD + MEAN
  np.testing.assert_allclose(records['prediction'], said, rtol=1e-5)
  pair = records['target'], records['prediction'].astype(np.float64)
  assert metrics['mae'] == pytest.approx(sk.mean_absolute_error(*pair))
  each = np.sqrt(sk.mean_squared_error(*pair, multioutput='raw_values'))
  assert metrics['rmse'] == pytest.approx(each.mean())
  assert metrics['r2'] == pytest.approx(sk.r2_score(*pair))
  asked = []

  def lookup(ids):
    asked.append(ids)
    return {'image': batch['inputs'][ids]}

  report = task.report(records, lookup, tmp_path, 'test-1')
  for name in ('mae', 'rmse', 'r2', 'loss'):
    low, high = report[f'{name}_ci95']
    assert low < report[name] < high
    assert report[name] == pytest.approx(metrics[name], rel=1e-5)
  table = report['per_target']
  assert table['target'] == list(NAMES)
  np.testing.assert_allclose(table['rmse'], each)
  assert 'depth' in metrics_table(report)
  assert json.loads(json.dumps(report)) == report
  assert {path.name for path in tmp_path.iterdir()} == {
    'test-1-scatter.png',
    'test-1-largest_errors.png',
  }
  # The sheet begins with the largest loss.
  assert asked[0][0] == records['loss'].argmax() and len(asked[0]) == 36
  lookup.names = lambda ids: [f'{i}.png' for i in ids]
  task.report(records, lookup, tmp_path, 'test-2')
  text = (tmp_path / 'test-2-predictions.jsonl').read_text()
  row = json.loads(text.splitlines()[7])
  assert row['file'] == '7.png'
  for key in ('target', 'prediction'):
    wanted = dict(zip(NAMES, records[key][7], strict=True))
    assert row[key] == pytest.approx(wanted, rel=1e-5)


def test_intervals_hold_what_other_samples_of_the_data_give():
  rng = np.random.default_rng(0)
  target = rng.normal(size=(4000, 1)) + 1e4
  said = target + rng.normal(size=target.shape) / 2
  whole = Numbers(target, said).compute()
  assert whole['r2'] == pytest.approx(0.75, abs=0.02)
  found = Numbers(target[:400], said[:400])
  for name, (low, high) in found.intervals().items():
    assert low < whole[name] < high
    assert high - low < 0.2


def test_a_split_of_one_value_has_no_r2_and_says_so(tmp_path):
  task, batch = _make(('year',)), _batch(1, 30)
  outputs = _outputs(batch, 1)
  batch['targets'] = np.full(30, 0.1, np.float32)
  metrics, records = _evaluated(task, outputs, batch)
  assert np.isnan(metrics['r2']) and metrics['mae'] > 0
  lookup = lambda ids: {'image': batch['inputs'][ids]}  # noqa: E731
  report = task.report(records, lookup, tmp_path, 'val-1')
  assert report['notes'] == [
    'r2 is not defined: all examples of this split have the same year'
  ]
  assert 'per_target' not in report
  with pytest.raises(ValueError, match='no examples'):
    Numbers(np.zeros((0, 1)), np.zeros((0, 1))).compute()


def test_numbers_of_the_config_replace_those_of_the_data():
  info = Info('toy', (6, 6, 3), (), target_names=('year',))
  task = make_regression(info=info, target_mean=10, target_std=2.0)
  assert [x.tolist() for x in task.stats()] == [[10], [2]]
  mean, std = _make(target_std=(1, 2)).stats()
  np.testing.assert_array_equal(mean, MEAN)
  assert std.tolist() == [1, 2]


@pytest.mark.parametrize(
  ('keys', 'words'),
  [
    ({'loss': 'mae'}, 'unknown'),
    ({'headline': 'accuracy'}, 'known: loss, mae, r2, rmse'),
    ({'target_mean': 3.0}, r'1 numbers, and toy has 2 targets \(year, depth\)'),
    ({'names': ()}, "are classes, not numbers: .*'classification'"),
  ],
)
def test_bad_keys(keys, words):
  with pytest.raises(UserError, match=words):
    _make(**keys)


def test_targets_that_cannot_be_learned():
  info = Info('toy', (6, 6, 3), (), target_names=('age',))
  with pytest.raises(UserError, match='does not know its training targets'):
    make_regression(info=info)
  for mean, std, words in (
    (3.0, 0.0, "all training targets 'age' of toy are 3"),
    (np.nan, np.nan, "'age' of toy are not all numbers"),
  ):
    given = dataclasses.replace(
      info, target_stats=lambda m=mean, s=std: (np.array([m]), np.array([s]))
    )
    with pytest.raises(UserError, match=words):
      make_regression(info=given).stats()
  batch = _batch()
  for wrong in (batch['targets'][:, 0], np.zeros((200, 2), np.int32)):
    with pytest.raises(UserError, match=r'needs 2 numbers .*\(year, depth\)'):
      _make().preprocess({**batch, 'targets': wrong}, None, train=False)


class Brightness:
  """Images of one grey each; the number is a function of it."""

  info = Info('brightness', (8, 8, 1), (), target_names=('brightness',))
  _sizes = {'train': 96, 'val': 32, 'test': 32}

  def sizes(self):
    return dict(self._sizes)

  def records(self, split):
    n = self._sizes[split]
    grey = np.random.default_rng(n + len(split)).integers(0, 256, n)
    image = np.broadcast_to(grey[:, None, None, None], (n, 8, 8, 1))
    label = (1000 + 5 * grey).astype(np.float32)
    return ArrayRecords(image.astype(np.uint8), label)

  def fingerprint(self):
    return 'brightness-1'


def _images(**keys):
  return dataset.ImageData(
    source=Brightness(),
    seed=0,
    splits={'train': 'train', 'val': 'val', 'test': 'test'},
    batch_size=32,
    eval_batch_size=32,
    **keys,
  )


def test_stats_are_of_the_training_split():
  mean, std = _images().info.target_stats()
  labels = Brightness().records('train').labels().astype(np.float64)
  assert mean.tolist() == [labels.mean()] and std.tolist() == [labels.std()]


def test_classes_cannot_be_chosen_of_numbers():
  for keys in ({'classes': ('cat',)}, {'per_class': {'train': 3}}):
    with pytest.raises(UserError, match='brightness are numbers: leave them'):
      _images(**keys)


@pytest.mark.slow
def test_a_run_from_numbers_to_the_report(tmp_path, monkeypatch):
  monkeypatch.setitem(
    registry.TABLES['source'],
    'brightness',
    f'{__name__}:brightness',
  )
  config = config_lib.load('configs/digits_resnet8.py:tiny')
  with config.unlocked():
    config.data.source = {'name': 'brightness'}
    config.data.batch_size = 32
    config.task = {'name': 'regression'}
    config.model = {'name': 'mlp', 'hidden': (16,), 'dtype': 'float32'}
    config.optimizer = {'name': 'adam', 'learning_rate': 0.01}
    config.schedule = {'name': 'constant'}
    config.evaluation = {'every_steps': 20}
    config.checkpoint = {'every_steps': 20}
    config.total_steps = 60
    config.data.augment = ()
  config_lib.keep(tmp_path, config)
  summary = train.train(experiment.build(config), tmp_path)
  # A spread of 370; what is learned in 60 steps is far below it.
  assert summary['mae']['test'] < 60
  metrics = json.loads((tmp_path / 'results/test-60.json').read_text())[
    'metrics'
  ]
  low, high = metrics['mae_ci95']
  assert low < metrics['mae'] == summary['mae']['test'] < high
  assert metrics['r2'] > 0.9
  assert (tmp_path / 'results/test-60-scatter.png').stat().st_size > 5000
  # The lowest error chooses the best checkpoint; the workdir alone tells all.
  trained = trained_lib.open_workdir(tmp_path, None)
  vals = {
    row['step']: row['mae']
    for row in logbook.read(tmp_path / 'metrics.jsonl')
    if row['kind'] == 'val'
  }
  assert len(vals) > 1
  assert trained.checkpoints.best_step() == min(vals, key=vals.get)
  again = trained.report('test', '60', tag='again')['metrics']
  assert again['mae'] == pytest.approx(metrics['mae'], rel=1e-6)


def brightness(*, data_dir=None):
  del data_dir
  return Brightness()
