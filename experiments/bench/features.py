"""Kaldi's fbank in numpy, beside torchaudio's, and how far they differ.

  python -m experiments.bench features --peer_python=PYTHON

80 mels of 16 kHz waves of 12 s, on two cores with two threads each. torchaudio
runs in both ways it can use them: two threads inside each operation, and two
utterances at once, with a thread each. Programs take turns; each round is a
ratio to the faster of the two. Log-mel and fbank of the same waves are compared
in the same command.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.bench.programs import CORES, Program, made_by
from recog_jax.features import make_features

_PEER = Path(__file__).parent / 'peers' / 'torch_features.py'
_SAMPLE_RATE = 16000
_NUM_MELS = 80
_SECONDS = 12
# Our features that equal the peer's.
_SAME = {
  'fbank': {'name': 'fbank'},
  'log_mel': {'name': 'log_mel', 'padding': 'reflect'},
}


def make_waves(count: int) -> np.ndarray:
  """float32 `b n`: noise at a tenth of full scale."""
  rng = np.random.default_rng(0)
  shape = (count, _SECONDS * _SAMPLE_RATE)
  return 0.1 * rng.standard_normal(shape, np.float32)


def serve(count: int) -> None:
  """Answers each line `n` on stdin with the seconds that n passes took."""
  fbank = make_features('fbank', sample_rate=_SAMPLE_RATE, num_mels=_NUM_MELS)
  waves = make_waves(count)
  lens = np.full(count, waves.shape[1])

  def run(passes: int) -> None:
    for _ in range(passes):
      fbank(waves, lens, threads=CORES)

  run(2)
  print('ready', flush=True)
  for line in sys.stdin:
    start = time.perf_counter()
    run(int(line))
    print(time.perf_counter() - start, flush=True)


def print_parity(peer_python: str) -> None:
  """How far ours and torchaudio's features of some waves differ.

  Raises:
    UserError: the peer does not run.
  """
  # Noise, whose level falls by 60 dB on the way.
  waves = make_waves(4)[:, : 2 * _SAMPLE_RATE]
  waves = waves * 10 ** np.linspace(0, -3, waves.shape[1], dtype=np.float32)
  theirs = made_by(peer_python, _PEER, {'waves': waves})
  lens = np.full(len(waves), waves.shape[1])
  for kind, keys in _SAME.items():
    ours, _ = make_features(
      sample_rate=_SAMPLE_RATE, num_mels=_NUM_MELS, **keys
    )(waves, lens)
    error = np.abs(ours - theirs[kind]).max()
    span = np.ptp(theirs[kind])
    print(
      f'{kind}: largest difference {error:.2e} of a range of {span:.1f}, '
      f'{error / span:.1e} of it'
    )


def _commands(args: argparse.Namespace) -> dict[str, list[str]]:
  count = f'--count={args.count}'
  commands = {
    'recog_jax': [sys.executable, '-m', 'experiments.bench.features', count]
  }
  if args.peer_python:
    samples = f'--samples={_SECONDS * _SAMPLE_RATE}'
    peer = [args.peer_python, str(_PEER), count, samples]
    commands['torchaudio'] = [*peer, f'--op_threads={CORES}', '--pool=1']
    commands['torchaudio x2'] = [*peer, '--op_threads=1', f'--pool={CORES}']
  return commands


def _report(rates: dict[str, list[float]]) -> None:
  for name, r in rates.items():
    print(
      f'{name:<15}{np.median(r):8.3f} hours of audio/s '
      f'({min(r):.3f} to {max(r):.3f})'
    )
  ours, *theirs = rates.values()
  if not theirs:
    print('no --peer_python given: nothing to compare with')
    return
  ratios = np.divide(ours, np.max(theirs, axis=0))
  print(
    f'recog_jax/faster torchaudio: median {np.median(ratios):.2f} '
    f'({ratios.min():.2f} to {ratios.max():.2f} over {len(ratios)} rounds)'
  )


def main(argv: Sequence[str]) -> None:
  """Prints parity, a row a round and the ratio of the speeds."""
  parser = argparse.ArgumentParser(
    'experiments.bench features', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--peer_python', help='Python with torch, torchaudio')
  parser.add_argument('--count', type=int, default=16, help='utterances')
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--passes', type=int, default=3, help='in a turn')
  args = parser.parse_args(argv[1:])
  # Inherited by the programs.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  if args.peer_python:
    print_parity(args.peer_python)
  programs = [Program(name, c) for name, c in _commands(args).items()]
  rates: dict[str, list[float]] = {p.name: [] for p in programs}
  hours = args.passes * args.count * _SECONDS / 3600
  try:
    for program in programs:
      program.wait_until_ready()
    print(f'{_NUM_MELS} mels, 16 kHz, {args.count} x {_SECONDS} s, hours/s')
    print('round' + ''.join(f'{name:>15}' for name in rates), flush=True)
    for i in range(args.rounds):
      for program in programs:
        rates[program.name].append(hours / program.seconds(args.passes))
      row = ''.join(f'{r[-1]:15.3f}' for r in rates.values())
      print(f'{i:5d}{row}', flush=True)
  finally:
    for program in programs:
      program.close()
  _report(rates)


if __name__ == '__main__':
  worker = argparse.ArgumentParser()
  worker.add_argument('--count', type=int, required=True)
  serve(worker.parse_args().count)
