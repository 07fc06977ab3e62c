"""The model table, and what it says where there is no torch."""

import importlib.util

import pytest

from experiments.tables import models
from experiments.tables.model_rows import ROWS, chosen, number
from recog_jax.errors import UserError


def cells_of(line):
  return [cell.strip() for cell in line.strip('|').split('|')]


@pytest.fixture
def no_torch(tmp_path):
  """A Python that cannot import torch."""
  script = tmp_path / 'python'
  script.write_text('#!/bin/sh\necho "No module named torch" >&2\nexit 1\n')
  script.chmod(0o755)
  return script


def test_without_torch_the_peers_columns_are_empty(tmp_path, no_torch, capsys):
  path = tmp_path / 'table.md'
  arguments = [f'--peer_python={no_torch}', f'--markdown={path}']
  code = models.main(['', '--models=resnet18,lenet,vit_ti', *arguments])
  said = capsys.readouterr()
  assert code == 0
  assert said.err.count('No module named torch') == 1
  table = [line for line in said.out.splitlines() if line.startswith('|')]
  assert len({len(line) for line in table}) == 1
  heads, _, *rows = map(cells_of, table)
  by_name = {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
  assert list(by_name) == [
    'resnet18',
    'lenet',
    *(label for label in ROWS if label.startswith('vit_ti')),
  ]
  row = by_name['resnet18']
  assert row['parameters'] == row['published'] == '11,689,512'
  assert (row['GMACs'], row['GMACs published']) == ('1.814', '1.814')
  assert row["peer's"] == row['logit difference'] == '-'
  assert set(table) <= set(path.read_text().splitlines())


@pytest.mark.skipif(
  importlib.util.find_spec('torchvision') is None,
  reason='torchvision is not installed',
)
def test_beside_torchvision(capsys):
  code = models.main(['', '--models=squeezenet1_1'])
  line = capsys.readouterr().out.splitlines()[2]
  assert code == 0
  assert cells_of(line)[4] == '1,235,496'
  assert 0 < float(cells_of(line)[-1]) <= 1e-4


def test_a_difference_is_an_error(capsys, monkeypatch, tmp_path):
  class Peer:
    def __init__(self, python):
      pass

    def ask(self, row):
      return {'parameters': 1, 'macs': 349_000_000, 'path': tmp_path}

    def close(self):
      pass

  monkeypatch.setattr(models, 'TorchModels', Peer)
  monkeypatch.setattr(models.Ours, 'difference', lambda *_: 2e-4)
  assert models.main(['', '--models=squeezenet1_1']) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert 'parameters of squeezenet1_1' in last
  assert 'logits of squeezenet1_1' in last


def test_rows_are_chosen_by_label_and_by_name():
  assert [row.label for row in chosen('vit_s_32,lenet')] == [
    'vit_s_32',
    'lenet',
  ]
  assert len(chosen('vit_s')) == 4
  assert len(chosen('')) == len(ROWS)
  with pytest.raises(UserError, match='resnet51.*resnet50'):
    chosen('resnet51')


def test_published_numbers_have_the_digits_of_their_source():
  assert number('5.72M') == (5.72e6, pytest.approx(5e3))
  assert number('0.057G') == (pytest.approx(5.7e7), pytest.approx(5e5))
  assert number('61100840') == (61100840, 0.5)
