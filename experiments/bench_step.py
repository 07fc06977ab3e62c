"""The train step of ResNet-50 on CIFAR images, beside torch's on the CPU.

  python -m experiments.bench step [--peer_python=PYTHON] [--batch_size=32]

Ours is the step of `configs/resnet50_cifar10.py` in float32, from uint8 images
that already lie in memory to updated parameters. The peer is torchvision's
ResNet-50 with the same stem, batch and optimizer in `channels_last` (see
peers/torch_step.py). Both run on the same two cores, with two threads and with
huge pages, in processes of their own that take turns: each round is a ratio.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recog_jax import backend
from recog_jax.errors import UserError

_CONFIG = Path(__file__).parent.parent / 'configs' / 'resnet50_cifar10.py'
_PEER = Path(__file__).parent / 'peers' / 'torch_step.py'
_CORES = 2
_WARM_STEPS = 2
# Read by the C library when a process starts: hence the processes.
_HUGE_PAGES = {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}


def make_step(batch_size: int):
  """Our step as a function that runs it n times and waits for the last."""
  import jax

  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment
  from recog_jax.engine import mesh as mesh_lib

  config = config_lib.load(str(_CONFIG))
  with config.unlocked():
    config.data.batch_size = batch_size
    config.data.source = {
      'name': 'fake',
      'shape': (32, 32, 3),
      'num_classes': 10,
      'sizes': {'train': 50_000, 'test': 1000},
      'seed': 0,
    }
  ex = experiment.build(config)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(
    rows, start_step=0, stop_step=1, total_steps=ex.total_steps
  ) as batches:
    host = next(iter(batches))
  program = experiment.compile_program(ex, host)
  batch = mesh_lib.to_global(ex.mesh, host)
  state = program.init(batch)

  def run(steps: int) -> None:
    nonlocal state
    for _ in range(steps):
      state, scalars = program.train_step(state, batch)
    jax.block_until_ready((state, scalars))

  return run


def serve(batch_size: int) -> None:
  """Answers each line `n` on stdin with the seconds that n steps took."""
  run = make_step(batch_size)
  run(_WARM_STEPS)
  print('ready', flush=True)
  for line in sys.stdin:
    start = time.perf_counter()
    run(int(line))
    print(time.perf_counter() - start, flush=True)


class Program:
  """A train step in a process of its own, which waits between its turns."""

  def __init__(self, name: str, command: Sequence[str]):
    self.name = name
    try:
      self._process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **_HUGE_PAGES},
      )
    except OSError as error:
      raise UserError(
        f'{command[0]} does not start ({error.strerror}): give the Python of '
        'an environment with torch and torchvision as --peer_python'
      ) from error

  def _read(self) -> str:
    line = self._process.stdout.readline().strip()
    if not line:
      raise UserError(f'{self.name} ended early; what it said is above')
    return line

  def wait_until_ready(self) -> None:
    while self._read() != 'ready':
      pass

  def seconds(self, steps: int) -> float:
    self._process.stdin.write(f'{steps}\n')
    self._process.stdin.flush()
    return float(self._read())

  def close(self) -> None:
    self._process.stdin.close()
    self._process.wait()


def _commands(args: argparse.Namespace) -> dict[str, list[str]]:
  size = f'--batch_size={args.batch_size}'
  commands = {
    'recog_jax': [sys.executable, '-m', 'experiments.bench_step', size]
  }
  if args.peer_python:
    peer = [args.peer_python, str(_PEER), size, f'--threads={_CORES}']
    commands['torch'] = peer
  return commands


def _report(rates: dict[str, list[float]]) -> None:
  for name, r in rates.items():
    print(
      f'{name:<10}{np.median(r):8.1f} images/s ({min(r):.1f} to {max(r):.1f})'
    )
  if 'torch' not in rates:
    print('no --peer_python given: nothing to compare with')
    return
  ratios = np.divide(rates['recog_jax'], rates['torch'])
  print(
    f'recog_jax/torch: median {np.median(ratios):.2f} '
    f'({ratios.min():.2f} to {ratios.max():.2f} over {len(ratios)} rounds)'
  )


def main(argv: Sequence[str]) -> None:
  """Prints a row a round and the ratio of the speeds."""
  parser = argparse.ArgumentParser(
    'experiments.bench step', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--peer_python', help='Python with torch, torchvision')
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=3, help='in a turn')
  args = parser.parse_args(argv[1:])
  # Inherited by the programs, whose numbers of threads follow.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
  programs = [Program(name, c) for name, c in _commands(args).items()]
  rates: dict[str, list[float]] = {program.name: [] for program in programs}
  try:
    for program in programs:
      program.wait_until_ready()
    print(f'ResNet-50, 32 x 32, batch {args.batch_size}, images/s')
    print('round' + ''.join(f'{name:>12}' for name in rates), flush=True)
    for i in range(args.rounds):
      for program in programs:
        images = args.steps * args.batch_size
        rates[program.name].append(images / program.seconds(args.steps))
      row = ''.join(f'{r[-1]:12.1f}' for r in rates.values())
      print(f'{i:5d}{row}', flush=True)
  finally:
    for program in programs:
      program.close()
  _report(rates)


if __name__ == '__main__':
  worker = argparse.ArgumentParser()
  worker.add_argument('--batch_size', type=int, required=True)
  backend.configure()
  serve(worker.parse_args().batch_size)
