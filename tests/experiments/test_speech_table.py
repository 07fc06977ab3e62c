"""The table of speech encoders."""

import os

import pytest

from experiments.tables import speech_models

TINY = '37,184,256'  # Whisper tiny.en without its encoder's positions.


def cells_of(line):
  return [cell.strip() for cell in line.strip('|').split('|')]


def test_parameters_without_a_peer(capsys, tmp_path):
  path = tmp_path / 'table.md'
  code = speech_models.main(['', '--models=whisper_tiny', f'--markdown={path}'])
  line = capsys.readouterr().out.splitlines()[2]
  assert code == 0
  assert cells_of(line) == ['whisper_tiny', TINY, '-', '-']
  assert line in path.read_text().splitlines()


def test_an_unknown_model_is_told(capsys):
  assert speech_models.main(['', '--models=whisper_tinny']) == 1
  assert 'did you mean whisper_tiny' in capsys.readouterr().err


def test_every_pretrained_encoder_has_a_row():
  from recog_jax import registry

  heads = ('_ctc', '_aed', '_transducer')  # Others on the same encoder.
  named = {
    name
    for name, place in registry.TABLES['model'].items()
    if place.split(':')[0].endswith(('.whisper', '.wav2vec2'))
    and not name.endswith(heads)
  }
  assert named == {*speech_models.ROWS}


@pytest.mark.slow
@pytest.mark.parametrize(
  'label', ['whisper_tiny', 'wav2vec2_base', 'hubert_base']
)
def test_beside_transformers(label, capsys):
  if not (peer := os.environ.get('PEER')):
    pytest.skip('no PEER: the Python of an environment with transformers')
  code = speech_models.main(['', f'--models={label}', f'--peer_python={peer}'])
  line = capsys.readouterr().out.splitlines()[2]
  assert code == 0
  assert 0 < float(cells_of(line)[-1]) <= 1e-4
