"""What one split chooses and another reports; unknown labels; grades."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics as sk

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError
from recog_jax.metrics.classification import MultiLabel
from recog_jax.report import decisions, figures
from recog_jax.tasks.classification import loss as loss_lib
from recog_jax.tasks.classification.task import (
  Classification,
  make_classification,
)

ILL = ('healthy', 'ill')


def _make(names=ILL, **keys) -> Classification:
  return make_classification(info=Info('toy', (6, 6, 3), names), **keys)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
  """Figures are drawn by the slow tests."""
  monkeypatch.setattr(figures, 'save', lambda figure, path: path.touch())


def _records(task, logits, targets):
  """What `Classification.records` gives, without compiling anything."""
  several = task.spec.multi_label
  p = expit(logits) if several else softmax(logits, 1)
  rows = {
    'index': np.arange(len(targets)),
    'target': targets,
    'logits': logits,
    'score': p if several else p.max(1),
    'prediction': logits > 0 if several else logits.argmax(1),
    'loss': np.ones(len(targets)),
  }
  if several:
    return rows
  order = np.argsort(-p, 1, kind='stable')
  top_score = np.take_along_axis(p, order, 1)
  in_top5 = np.ones(len(targets), bool)
  return {**rows, 'top': order, 'top_score': top_score, 'in_top5': in_top5}


def _split(n, seed, scale=3.0):
  """Logits that are too sure by `scale`, and their targets."""
  rng = np.random.default_rng(seed)
  odds = rng.normal(size=n) * 2 - 1
  target = (rng.random(n) < expit(odds)).astype(np.int32)
  logits = np.stack([0 * odds, scale * odds], 1).astype(np.float32)
  return logits, target


class _Lookup:
  """Pictures, and who they are of."""

  def __init__(self, patients=None):
    self._patients = patients

  def __call__(self, ids):
    return {'image': np.zeros((len(ids), 6, 6, 3), np.uint8)}

  def fields(self, ids):
    if self._patients is None:
      return {}
    return {'patient': [self._patients[i] for i in ids]}


def _reported(task, logits, targets, folder, patients=None):
  records = _records(task, logits, targets)
  return task.report(records, _Lookup(patients), folder, 'test-1')


def test_val_chooses_and_test_reports(tmp_path):
  task = _make()
  val = _split(2000, 0)
  facts = task.calibrate(_records(task, *val), None)
  json.dumps(facts)
  assert facts['temperature'] == pytest.approx(3, rel=0.15)
  assert facts['after']['ece'] < 0.03 < facts['before']['ece']
  assert facts['after']['log_loss'] < facts['before']['log_loss']
  point = facts['operating_points']['ill']['sensitivity 0.9']
  assert 0.9 <= point['sensitivity'] < 0.92

  logits, targets = _split(400, 1)
  raw = _reported(task, logits, targets, tmp_path)
  assert 'operating_points' not in raw and raw['ece'] > 0.05
  found = _reported(task.calibrated(facts), logits, targets, tmp_path)
  assert (tmp_path / 'test-1-decisions.png').is_file()
  assert found['ece'] < 0.05 and found['brier'] < raw['brier']
  assert found['calibration']['before']['ece'] == pytest.approx(raw['ece'])
  # The thresholds are those of val, whatever they are worth here.
  p = expit((logits[:, 1] - logits[:, 0]) / facts['temperature'])
  for row in found['operating_points']:
    kept = facts['operating_points']['ill'][row['rule']]
    assert row['threshold'] == kept['threshold']
    called = p >= row['threshold']
    assert row['sensitivity'] == pytest.approx(called[targets == 1].mean())
    assert row['specificity'] == pytest.approx(1 - called[targets == 0].mean())
    low, high = row['sensitivity_ci95']
    assert low < row['sensitivity'] < high
    assert len(row['at_prevalence']['ppv']) == 5
  # No order of cases changes.
  assert found['auc'] == raw['auc'] and found['accuracy'] == raw['accuracy']
  lines = decisions.points_table(found['operating_points']).split('\n')
  assert len(lines) == 5 and 'youden' in lines[-1]
  assert '30.0%' in decisions.prevalence_table(found['operating_points'])


def test_answers_are_calibrated():
  task = _make()
  cold = dataclasses.replace(
    task, chosen={'temperature': 2.0, 'labels': list(ILL)}
  )
  logits = jnp.array([[0.0, 4.0]])
  with jax.disable_jit():
    sure, less = (t.answer_rows({'logits': logits}, {}) for t in (task, cold))
  assert float(sure['score'][0, 1]) == pytest.approx(expit(4))
  assert float(less['score'][0, 1]) == pytest.approx(expit(2))


def test_what_was_chosen_for_other_classes_is_refused():
  chosen = {'temperature': 2.0, 'labels': ['a', 'b']}
  with pytest.raises(UserError, match='fitted for the classes a, b'):
    _make().calibrated(chosen)


def test_intervals_draw_patients(tmp_path):
  task = _make()
  facts = task.calibrate(_records(task, *_split(500, 0)), None)
  logits, targets = (np.repeat(x, 6, 0) for x in _split(60, 2))
  patients = [f'p{k // 6}' for k in range(360)]
  alone, whole = (
    _reported(task.calibrated(facts), logits, targets, tmp_path, who)
    for who in (None, patients)
  )
  assert "intervals draw whole values of 'patient'" in whole['notes']
  for name in ('auc', 'accuracy', 'brier', 'f1_macro'):
    assert whole[name] == alone[name]
    wide, narrow = (np.diff(x[f'{name}_ci95'])[0] for x in (whole, alone))
    assert wide > 1.7 * narrow
  wide, narrow = (
    np.diff(x['operating_points'][0]['sensitivity_ci95'])[0]
    for x in (whole, alone)
  )
  assert wide > 1.5 * narrow


def test_a_split_of_one_class_has_no_thresholds():
  task = _make()
  logits, targets = _split(50, 0)
  facts = task.calibrate(_records(task, logits, 0 * targets), None)
  assert facts['operating_points'] == {}
  assert any('no operating point' in note for note in facts['notes'])


@pytest.mark.parametrize(
  ('keys', 'sentence'),
  [
    ({'operating_points': ('sens 0.9',)}, 'is no operating point'),
    ({'loss': 'cumulative'}, 'is for grades'),
    (
      {'loss': 'cumulative', 'ordinal': True, 'label_smoothing': 0.1},
      'label_smoothing',
    ),
  ],
)
def test_keys_that_do_not_fit(keys, sentence):
  with pytest.raises(UserError, match=sentence):
    _make(('a', 'b', 'c'), **keys)


def test_outputs_without_probabilities_are_not_calibrated():
  task = _make(loss='mse')
  with pytest.raises(UserError, match='keeps no probabilities'):
    task.calibrate(_records(task, *_split(20, 0)), None)


# -- labels that nobody knows -------------------------------------------------

KEYS = {'multi_label': True, 'loss': 'sigmoid', 'headline': 'auc'}


def _findings(n=300, seed=0):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(n, 3)).astype(np.float32) * 2
  has = (rng.random((n, 3)) < expit(logits)).astype(np.float32)
  has[rng.random((n, 3)) < 0.3] = np.nan
  return logits, has


def test_unknown_labels_change_nothing(tmp_path):
  task = _make(('a', 'b', 'c'), **KEYS)
  logits, has = _findings()
  known = ~np.isnan(has)
  batch = {'targets': jnp.asarray(has), 'valid': jnp.ones(len(has), bool)}
  with jax.disable_jit():
    ((total, weight),) = task.loss(
      {'logits': jnp.asarray(logits), 'taps': {}}, batch
    ).values()
    state = task.metrics({'logits': jnp.asarray(logits)}, batch)
  each = np.logaddexp(0, np.where(has > 0.5, -logits, logits))
  rows = np.array(
    [each[i][known[i]].mean() for i in range(len(has)) if known[i].any()]
  )
  assert float(weight) == len(rows)
  assert float(total) == pytest.approx(rows.sum(), rel=1e-5)
  gradient = jax.grad(lambda x: loss_lib.losses(task.spec, x, batch).sum())(
    jnp.asarray(logits)
  )
  assert np.isfinite(gradient).all() and not np.asarray(gradient)[~known].any()

  facts = task.calibrate(_records(task, logits, has), None)
  assert facts['temperature'] == pytest.approx(1, abs=0.2)
  found = _reported(task.calibrated(facts), logits, has, tmp_path)
  for k, name in enumerate('abc'):
    some = known[:, k]
    auc = sk.roc_auc_score(has[some, k], logits[some, k])
    assert found['per_class']['auc'][k] == pytest.approx(auc)
    recall = (logits[:, k] > 0)[has[:, k] == 1].mean()
    assert found['per_class']['recall'][k] == pytest.approx(recall)
    row = next(r for r in found['operating_points'] if r['label'] == name)
    assert row['prevalence'] == pytest.approx(has[some, k].mean())
  records = _records(task, logits, has)
  same = MultiLabel.from_records(records, 3).compute()
  assert state.compute()['accuracy'] == pytest.approx(same['accuracy'])
  right = ((logits > 0) == (has > 0.5)) | ~known
  assert same['accuracy'] == pytest.approx(right.all(1).mean())


# -- grades -------------------------------------------------------------------


def test_cumulative_logits_are_probabilities_of_grades():
  outputs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
  p = np.exp(np.asarray(loss_lib.of_grades(jnp.asarray(outputs)), np.float64))
  np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
  above = outputs[:, :1] - np.concatenate(
    [np.zeros((50, 1)), np.cumsum(np.logaddexp(0, outputs[:, 1:]), 1)], 1
  )
  # P(grade > k) is what the grades above k have in sum.
  for k in range(3):
    np.testing.assert_allclose(
      p[:, k + 1 :].sum(1), expit(above[:, k]), atol=1e-5
    )
  far = jnp.array([[200.0, -200.0, 3.0], [-200.0, 200.0, 3.0]])
  gradient = jax.grad(lambda x: loss_lib.of_grades(x)[:, 2].sum())(far)
  assert np.isfinite(gradient).all()


def test_a_model_of_grades_has_one_output_less():
  task = _make(
    ('none', 'mild', 'severe'),
    loss='cumulative',
    ordinal=True,
    class_weights=[1, 2, 3],
  )
  assert task.num_outputs == 2 and task.spec.num_outputs == 3
  logits = loss_lib.of_grades(jnp.array([[2.0, 1.0], [-2.0, 0.0]]))
  batch = {'targets': jnp.array([2, 0])}
  np.testing.assert_allclose(
    loss_lib.losses(task.spec, logits, batch),
    -np.asarray(logits)[[0, 1], [2, 0]],
    rtol=1e-5,
  )
  with jax.disable_jit():
    score = task.answer_rows({'logits': logits}, {})['score']
  np.testing.assert_allclose(score, np.exp(logits), rtol=1e-5)
