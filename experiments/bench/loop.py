"""The training loop's own cost: its wall time beside that of the bare step.

  python -m experiments.bench loop [--data_dir=DIR] [--steps=60] [--rounds=5]

`resnet20_cifar10` from tfds (without --data_dir: made-up images of its shape).
The bare step is the same compiled program, fed with batches that already lie in
the device's memory. The loop is `engine.train.train` itself: input pipeline,
log lines and scalars, with evaluation and checkpoints left out of the window
that is timed. Both take turns; each round gives a ratio.
"""

import argparse
import tempfile
import time
from pathlib import Path
from unittest import mock

import jax
import numpy as np

from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, logbook, train
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.programs import Programs
from recog_jax.engine.stopping import StopRequest

_CONFIG = Path(__file__).parents[2] / 'configs' / 'resnet20_cifar10.py'
# Steps of a loop run before the window: threads start, buffers fill.
_LEAD = 10
# Batches that the bare step takes in turn.
_RESIDENT = 8


def _experiment(data_dir: str | None, steps: int) -> experiment.Experiment:
  config = config_lib.load(str(_CONFIG))
  with config.unlocked():
    if data_dir is None:
      config.data.source = {
        'name': 'fake',
        'shape': (32, 32, 3),
        'num_classes': 10,
        'sizes': {'train': 50_000, 'test': 1000},
        'seed': 0,
      }
    # Small: they are evaluated after the window, in each round.
    config.data.splits.val = 'train[49800:]'
    config.data.splits.test = 'test[:200]'
    config.stop_step = _LEAD + steps
    config.log_every_steps = _LEAD
    config.evaluation = {'every_steps': 10**6}
    config.checkpoint = {'every_steps': 10**6}
  return experiment.build(config, data_dir)


def _bare(program, state, batches, steps: int):
  """Seconds per step of the program alone; the state, since it is donated."""
  begin = time.perf_counter()
  for i in range(steps):
    state, scalars = program.train_step(state, batches[i % len(batches)])
  jax.block_until_ready((state, scalars))
  return state, (time.perf_counter() - begin) / steps


def _loop(ex: experiment.Experiment, programs, steps: int) -> float:
  """Seconds per step of the whole loop, between two of its log lines."""
  with tempfile.TemporaryDirectory() as folder:
    workdir = Path(folder)
    with (
      mock.patch.object(train, 'Programs', lambda *_: programs),
      mock.patch.object(logbook.Logbook, 'say', lambda *_: None),
    ):
      train.train(ex, workdir, stop=StopRequest())
    rows = logbook.read(workdir / 'metrics.jsonl')
  at = {r['step']: r['time/seconds'] for r in rows if r['kind'] == 'train'}
  return (at[_LEAD + steps] - at[_LEAD]) / steps


def main(argv: list[str]) -> int:
  """Prints a row a round and the median ratio."""
  parser = argparse.ArgumentParser(
    'experiments.bench loop', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--data_dir')
  parser.add_argument('--steps', type=int, default=60)
  parser.add_argument('--rounds', type=int, default=5)
  args = parser.parse_args(argv[1:])

  ex = _experiment(args.data_dir, args.steps)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(
    rows, start_step=0, stop_step=_RESIDENT, total_steps=_RESIDENT
  ) as it:
    host = list(it)
  programs = Programs(ex, host[0])
  program = programs.at(0)
  batches = [mesh_lib.to_global(ex.mesh, batch) for batch in host]
  state, _ = _bare(program, program.init(batches[0]), batches, 3)
  source = 'CIFAR-10' if args.data_dir else 'made-up images'
  print(f'resnet20_cifar10, batch {ex.data.batch_size}, {source}')
  print('round  bare ms/step  loop ms/step  loop/bare')
  ratios = []
  for i in range(args.rounds):
    state, before = _bare(program, state, batches, args.steps // 2)
    loop = _loop(ex, programs, args.steps)
    state, after = _bare(program, state, batches, args.steps // 2)
    # The machine drifts: the loop stands between two halves of the bare step.
    bare = (before + after) / 2
    ratios.append(loop / bare)
    print(f'{i:5d}  {bare * 1e3:12.1f}  {loop * 1e3:12.1f}  {ratios[-1]:9.3f}')
  print(
    f'loop/bare: median {np.median(ratios):.3f}, '
    f'{min(ratios):.3f} to {max(ratios):.3f}'
  )
  return 0
