"""Grades by cumulative logits, and unknown labels, from data to answers."""

import json

import numpy as np
import pytest

import recog_jax
from tests.data.tables import picture_rows, write_csv
from tests.engine.test_interface import config_of, folder, run


def _result(workdir):
  (path,) = (workdir / 'results').glob('test-*.json')
  return json.loads(path.read_text())['metrics']


@pytest.mark.slow
def test_grades_train_and_answer(tmp_path):
  data = folder(tmp_path / 'data', ('0', '1', '2'))
  config = config_of()
  config.task = {
    **config.task.to_dict(),
    'loss': 'cumulative',
    'ordinal': True,
    'class_weights': 'balanced',
  }
  config.total_steps = 30
  run(data, tmp_path / 'run', config)
  metrics = _result(tmp_path / 'run')
  assert metrics['quadratic_kappa'] > 0 and np.isfinite(metrics['loss'])
  model = recog_jax.load(str(tmp_path / 'run'))
  picture = np.full((8, 8, 1), 160, np.uint8)
  (answer,) = model.predict([picture], top=3)
  assert sum(p for _, p in answer.top) == pytest.approx(1, abs=1e-5)
  assert model.logits({'inputs': picture[None]}).shape == (1, 3)


@pytest.mark.slow
def test_labels_that_nobody_knows_train(tmp_path):
  rows = picture_rows(tmp_path, 60)
  for i, row in enumerate(rows):
    row['odd' if i % 2 else 'high'] = ''
  write_csv(tmp_path / 'table.csv', rows)
  config = config_of()
  config.data.source = {
    'name': 'table',
    'label_columns': ('odd', 'high'),
    'unknown_cells': ('',),
    'channels': 1,
    'shape': (8, 8),
  }
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.task = {
    **config.task.to_dict(),
    'loss': 'sigmoid',
    'multi_label': True,
    'headline': 'auc',
  }
  run(tmp_path, tmp_path / 'run', config)
  metrics = _result(tmp_path / 'run')
  assert np.isfinite(metrics['loss']) and np.isfinite(metrics['auc'])
  lines = (tmp_path / 'run' / 'results').glob('test-*-predictions.jsonl')
  for line in next(lines).read_text().splitlines():
    assert len(json.loads(line)['unknown']) == 1
