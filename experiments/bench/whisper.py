"""Whisper on a long recording beside faster-whisper.

  python -m experiments.bench whisper --workdir=W --recording=FILE \\
      --peer_python=PYTHON --weights=FOLDER

W is a workdir with Whisper's weights and the decoder `whisper`; FOLDER the same
weights as CTranslate2 has them, PYTHON an environment with faster-whisper. Both
move a window of 30 s by time stamps, greedily, and draw again what repeats
itself or is improbable. Programs are processes of their own on the same two
cores and take turns; compiling and loading are not counted. Printed are the
seconds and the real-time factor of each, the ratio of each round, and how far
the two texts are from each other.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.peers.turns import serve
from experiments.bench.programs import CORES, Program
from recog_jax.errors import UserError

_PEER = Path(__file__).parent / 'peers' / 'faster_whisper_long.py'

# Begin, end and text.
Piece = tuple[float, float, str]


def distance(ours: Sequence[Piece], theirs: Sequence[Piece]) -> str:
  """How far texts are from each other, in words.

  Args:
    ours: pieces with times.
    theirs: the peer's, which count as the reference.
  """
  from recog_jax.metrics import wer

  texts = [' '.join(text for *_, text in found) for found in (theirs, ours)]
  counts = wer.error_counts(texts[:1], texts[1:], 'word')[0]
  return (
    f'{len(ours)} pieces, the peer {len(theirs)}; {int(counts[:3].sum())} of '
    f"the peer's {len(texts[0].split())} words are others"
  )


def _commands(args: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
  given = [f'--recording={args.recording}']
  module = 'experiments.bench.whisper'
  ours = [sys.executable, '-m', module, f'--workdir={args.workdir}', *given]
  commands = {'recog_jax': ours}
  if args.peer_python:
    more = [f'--weights={args.weights}', f'--threads={CORES}']
    peer = [args.peer_python, str(_PEER), *given, *more]
    commands['faster-whisper'] = peer
  return {
    name: [*command, f'--text={folder / name}']
    for name, command in commands.items()
  }


def main(argv: Sequence[str]) -> None:
  """Prints seconds, real-time factors, their ratio, and the texts' distance."""
  parser = argparse.ArgumentParser(
    'experiments.bench whisper', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--workdir', required=True, help='with the weights')
  parser.add_argument('--recording', required=True)
  parser.add_argument('--peer_python', help='Python with faster-whisper')
  parser.add_argument('--weights', help="the peer's")
  parser.add_argument('--rounds', type=int, default=3)
  args = parser.parse_args(argv[1:])
  if args.peer_python and not args.weights:
    raise UserError(
      "--weights is the folder of the peer's weights, CTranslate2's model.bin "
      'and its tokenizer.json: name it'
    )
  from recog_jax.data.speech import codecs

  seconds = codecs.read_info(args.recording).seconds
  # Inherited by the programs.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    programs = [Program(n, c) for n, c in _commands(args, folder).items()]
    spent: dict[str, list[float]] = {p.name: [] for p in programs}
    try:
      for program in programs:
        program.wait_until_ready()
      for _ in range(args.rounds):
        for program in programs:
          spent[program.name].append(program.seconds(1))
    finally:
      for program in programs:
        program.close()
    texts = [json.loads((folder / p.name).read_text()) for p in programs]
  for name, times in spent.items():
    print(
      f'{name:<15}{np.median(times):8.1f} s ({min(times):.1f} to '
      f'{max(times):.1f}) of {seconds:.1f} s, real-time factor '
      f'{np.median(times) / seconds:.3f}'
    )
  if len(programs) == 1:
    print('no --peer_python given: nothing to compare with')
    return
  ratios = np.divide(spent['faster-whisper'], spent['recog_jax'])
  print(
    f'speed by faster-whisper: median {np.median(ratios):.2f} '
    f'({ratios.min():.2f} to {ratios.max():.2f} over {len(ratios)} rounds)'
  )
  print(distance(*texts))


def _work(workdir: str, recording: str, text: str) -> None:
  """Answers as `turns` says."""
  import recog_jax

  model = recog_jax.load(workdir)

  def run() -> None:
    found: list[Any] = [*model.predict([recording])]
    Path(text).write_text(json.dumps(found[0].parts), encoding='utf-8')

  serve(run)


if __name__ == '__main__':
  worker = argparse.ArgumentParser()
  for option in ('--workdir', '--recording', '--text'):
    worker.add_argument(option, required=True)
  _work(**vars(worker.parse_args()))
