"""The transducer's loss with its gradient beside torchaudio's `rnnt_loss`.

  python -m experiments.bench transducer --peer_python=PYTHON

For b, t, u, v of (8, 100, 40, 32) and (4, 150, 40, 500), all rows full: from
scores `b t u+1 v` to the gradient at them, which is what torchaudio has; and
with a joiner of 256 units from encoder and predictor to the gradients of both
and of the output layer, which is what a training step does. Programs are
processes of their own on the same two cores, with two threads each, and take
turns: each round is a ratio, of the time and of what all cores worked in it.
Memory is how much the first run grew a process at its peak, the gradient
included, the scores that are given not. Losses and gradients of both are
compared first, on rows of several lengths.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.bench.peers.turns import serve
from experiments.bench.programs import CORES, Program, made_by

_PEER = Path(__file__).parent / 'peers' / 'torch_transducer.py'
_SHAPES = ((8, 100, 40, 32), (4, 150, 40, 500))
_JOINER = 256


def case(b: int, t: int, u: int, v: int, j: int):
  """A function that computes the loss of all rows and its gradient."""
  import jax
  import jax.numpy as jnp

  from recog_jax.losses import transducer

  draw = np.random.default_rng(0)

  def normal(*shape):
    return jnp.asarray(draw.standard_normal(shape, np.float32))

  targets = jnp.asarray(draw.integers(1, v, (b, u)))
  lens = jnp.full(b, t), jnp.full(b, u)
  if j:
    shapes = (b, t, j), (b, u + 1, j), (j, v), (v,)
    given = transducer.Joint(*(0.1 * normal(*shape) for shape in shapes))
    loss = transducer.transducer_loss
  else:
    given, loss = normal(b, t, u + 1, v), transducer.logits_loss

  def total(given):
    return loss(given, targets, *lens, blank_id=0).sum()

  program = jax.jit(jax.value_and_grad(total)).lower(given).compile()
  return lambda: jax.block_until_ready(program(given))


def parity(peer_python: str) -> tuple[float, float]:
  """The largest differences of losses and of gradients at the scores.

  Raises:
    UserError: the peer does not run.
  """
  import jax
  import jax.numpy as jnp

  from recog_jax.losses.transducer import logits_loss

  draw = np.random.default_rng(0)
  b, t, u, v = 6, 12, 5, 9
  given = {
    'logits': draw.normal(0, 2, (b, t, u + 1, v)).astype(np.float32),
    'targets': draw.integers(1, v, (b, u)).astype(np.int32),
    'frame_len': np.array([t, t, 7, 3, 1, t], np.int32),
    'target_len': np.array([u, 2, 4, 5, 1, 0], np.int32),
  }
  theirs = made_by(peer_python, _PEER, given)

  def losses(logits):
    rest = (jnp.asarray(given[k]) for k in list(given)[1:])
    found = logits_loss(logits, *rest, blank_id=0)
    return found.sum(), found

  (_, loss), grad = jax.value_and_grad(losses, has_aux=True)(given['logits'])
  return (
    float(np.abs(loss - theirs['loss']).max()),
    float(np.abs(grad - theirs['grad']).max()),
  )


def _compare(shape: tuple[int, ...], args: argparse.Namespace) -> None:
  b, t, u, v, j = shape
  option = '--shape=' + ','.join(map(str, shape))
  ours = [sys.executable, '-m', 'experiments.bench.transducer', option]
  commands = {'recog_jax': ours}
  if args.peer_python:
    peer = [args.peer_python, str(_PEER), option, f'--threads={CORES}']
    commands['torchaudio'] = peer
  programs = [Program(name, command) for name, command in commands.items()]
  spent: dict[str, list[float]] = {p.name: [] for p in programs}
  used: dict[str, list[float]] = {p.name: [] for p in programs}
  try:
    for program in programs:
      program.wait_until_ready()
    start = f'a joiner of {j}' if j else 'scores'
    size = 4e-6 * b * t * (u + 1) * v
    print(f'{b, t, u, v}, from {start}; scores have {size:.1f} MB')
    memory = [int(p.ask('memory')) / 1e6 for p in programs]
    for _ in range(args.rounds):
      for program in programs:
        ms = 1e3 / args.passes
        spent[program.name].append(ms * program.seconds(args.passes))
        used[program.name].append(ms * float(program.ask('cpu')))
  finally:
    for program in programs:
      program.close()
  for program, size in zip(programs, memory, strict=True):
    s, cpu = spent[program.name], np.median(used[program.name])
    print(
      f'  {program.name:<12}{np.median(s):8.1f} ms ({min(s):.1f} to '
      f'{max(s):.1f}), of all cores {cpu:.1f} ms, memory {size:.1f} MB'
    )
  if len(programs) > 1:
    for what, times in (('speed', spent), ('work', used)):
      ratios = np.divide(times['torchaudio'], times['recog_jax'])
      print(
        f'  {what} by torchaudio: median {np.median(ratios):.1f} '
        f'({ratios.min():.1f} to {ratios.max():.1f} over {len(ratios)} rounds)',
        flush=True,
      )


def main(argv: Sequence[str]) -> None:
  """Prints parity, then times, memory and the ratio of speeds of each case."""
  parser = argparse.ArgumentParser(
    'experiments.bench transducer', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--peer_python', help='Python with torch, torchaudio')
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--passes', type=int, default=5, help='in a turn')
  args = parser.parse_args(argv[1:])
  # Inherited by the programs.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  if args.peer_python:
    loss, grad = parity(args.peer_python)
    print(f'largest difference: losses {loss:.1e}, gradients {grad:.1e}')
  else:
    print('no --peer_python given: nothing to compare with')
  for joiner in (0, _JOINER):
    for shape in _SHAPES:
      _compare((*shape, joiner), args)


if __name__ == '__main__':
  worker = argparse.ArgumentParser()
  worker.add_argument('--shape', required=True)
  shape = worker.parse_args().shape.split(',')
  serve(case(*map(int, shape)))
