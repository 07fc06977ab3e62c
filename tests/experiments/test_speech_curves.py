"""The command that draws error rates of several runs, and what it refuses."""

import json

import cv2
import pytest

from experiments.figures import speech_curves


def _workdir(path, rows):
  path.mkdir()
  lines = ''.join(json.dumps(row) + '\n' for row in rows)
  (path / 'metrics.jsonl').write_text(lines)
  return path


@pytest.mark.smoke
def test_runs_are_drawn_in_one_picture(tmp_path, capsys):
  rows = [
    {'step': 10, 'kind': 'train', 'loss': 3.0, 'time/seconds': 60.0},
    {'step': 10, 'kind': 'val', 'loss': 3.0, 'wer': 1.0, 'cer': 0.8},
    {'step': 20, 'kind': 'train', 'loss': 2.0, 'time/seconds': 120.0},
    {'step': 20, 'kind': 'val', 'loss': 2.0, 'wer': 0.7, 'cer': 0.4},
  ]
  a, b = (_workdir(tmp_path / name, rows) for name in 'ab')
  output = tmp_path / 'curves.png'
  assert not speech_curves.main([f'BLSTM={a}', str(b), f'--output={output}'])
  assert cv2.imread(str(output)).std() > 5
  assert str(output) in capsys.readouterr().out
  assert list(speech_curves.read_runs([f'BLSTM={a}', str(b)])) == ['BLSTM', 'b']


def test_what_cannot_be_drawn_is_told_in_one_sentence(tmp_path, capsys):
  image = [{'step': 1, 'kind': 'val', 'accuracy': 0.5}]
  speech = [{'step': 1, 'kind': 'val', 'cer': 0.5}]
  a = _workdir(tmp_path / 'a', image)
  b = _workdir(tmp_path / 'b', speech)
  for arguments, message in (
    ([str(a)], 'no WER or CER'),
    ([str(b), str(tmp_path / 'absent')], 'no WER or CER'),
    ([str(b), str(b)], "two runs are called 'b'"),
    ([str(b), f'--output={a}/metrics.jsonl/a.png'], 'metrics.jsonl'),
  ):
    assert speech_curves.main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
