"""Whisper beside faster-whisper: what is said of two texts."""

import soundfile

from experiments.bench import __main__ as bench
from experiments.bench import whisper


def test_texts_are_compared_by_words():
  ours = [(0.0, 1.0, 'so it is'), (1.0, 2.0, 'or not')]
  theirs = [(0.0, 2.0, 'so it is or knot then')]
  assert whisper.distance(ours, ours).endswith(
    "0 of the peer's 5 words are others"
  )
  # One other word, one that is missing.
  assert whisper.distance(ours, theirs) == (
    "2 pieces, the peer 1; 2 of the peer's 6 words are others"
  )


def test_a_peer_needs_its_weights(tmp_path, capsys):
  path = tmp_path / 'a.wav'
  soundfile.write(path, [0.0] * 800, 8000)
  given = ['--workdir=w', f'--recording={path}', '--peer_python=python']
  assert bench.main(['', 'whisper', *given]) == 1
  assert '--weights is the folder' in capsys.readouterr().err
