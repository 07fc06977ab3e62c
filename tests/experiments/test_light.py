"""The table and figure of lighter models, at tiny size."""

import argparse
import csv

import cv2
import pytest

from experiments.figures.rows import write_csv
from experiments.light import __main__ as light
from experiments.light import measure, plots
from tests.engine.test_interface import config_of, folder, run


@pytest.fixture(scope='module')
def row(tmp_path_factory):
  """What is measured of a small network, of 8 x 8 pixels and 3 classes."""
  root = tmp_path_factory.mktemp('light')
  data = folder(root / 'data')
  run(data, root / 'run', config_of())
  args = argparse.Namespace(
    place=str(root / 'run'), runs=5, split='test', data_dir=str(data)
  )
  return measure.measure(args)


@pytest.mark.smoke
def test_a_model_is_measured(row):
  weights = 64 * 8 + 8 * 3
  assert row['parameters'] == weights + 8 + 3
  assert row['macs'] == weights
  assert row['bytes'] == 4 * row['parameters']
  assert 0 < row['nonzero'] <= row['parameters']
  assert 0 < row['p50_ms'] <= row['p99_ms'] and row['peak_mb'] > 50
  assert row['metric'] == 'accuracy' and row['examples'] == 12
  assert row['low'] <= row['value'] <= row['high']


def test_it_is_printed_and_drawn(row, tmp_path):
  other = {**row, 'format': 'onnx', 'nonzero': None, 'p50_ms': 40.0}
  other |= {'p99_ms': 50.0, 'bytes': 900}
  rows = [{'name': 'net', **row}, {'name': 'net, onnx', **other}]
  plots.draw(tmp_path / 'light', rows)
  assert cv2.imread(str(tmp_path / 'light.png')).std() > 5
  text = light.table(rows)
  assert '40.00 / 50.00' in text and f'| {row["parameters"]:,} |' in text
  write_csv(tmp_path / 'light.csv', rows, light.COLUMNS)
  text = (tmp_path / 'light.csv').read_text()
  (first, second) = csv.DictReader(text.splitlines())
  assert first['name'] == 'net' and second['nonzero'] == ''
  assert int(first['macs']) == row['macs']


def test_what_is_no_model_is_told(tmp_path, capsys):
  (tmp_path / 'a').mkdir()
  for words, message in (
    ([str(tmp_path / 'b')], 'is no folder'),
    ([str(tmp_path / 'a')] * 2, "two models are called 'a'"),
  ):
    assert light.main(words) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
