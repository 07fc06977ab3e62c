"""A private step beside the plain one: time and memory.

  python -m experiments.bench privacy [--config=configs/private_mnist.py]
      [--batch=256] [--microbatch=16,64,256] [--steps=3] [--rounds=3]

The config's model on made-up images, on one device; the plain step is that of
the same config without its key `privacy`, on as many rows. Steps take turns;
each number is the median of the rounds. Memory is what XLA plans for
intermediate values of the compiled step, beside weights and batch.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

from recog_jax.errors import UserError


def experiment_of(spec: str, batch: int, microbatch: int | None) -> Any:
  """The experiment; None as microbatch: the plain one."""
  import jax

  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment

  config = config_lib.load(f'{spec}:tiny')
  if 'privacy' not in config:
    raise UserError(f'{spec} has no config.privacy: take a private config')
  with config.unlocked():
    model = config_lib.load(spec).model
    config.model = model
    config.data.batch_size = batch
    config.data.source.sizes = {'train': 16 * batch, 'val': 16, 'test': 16}
    config.accumulate_steps, config.ema_decay = 1, None
    # The noise costs the same whatever its size.
    keys = {**config.privacy, 'epsilon': 1000.0, 'noise': 1.0}
    keys['microbatch'] = microbatch or 1
    if microbatch is None:
      del config.privacy
    else:
      config.privacy = keys
  return experiment.build(config, devices=jax.devices()[:1])


def batch_of(ex: Any) -> Any:
  """The first batch."""
  from recog_jax.engine import mesh as mesh_lib

  with ex.data.train(
    mesh_lib.rows_of(ex.mesh), start_step=0, stop_step=1, total_steps=4
  ) as batches:
    return next(batches)


class Timed:
  """A compiled step, its memory, and what it took."""

  def __init__(self, spec: str, batch: int, microbatch: int | None):
    from recog_jax.engine import mesh as mesh_lib
    from recog_jax.engine.programs import compile_program

    ex = experiment_of(spec, batch, microbatch)
    host = batch_of(ex)
    program = compile_program(ex, host)
    self._batch = mesh_lib.to_global(ex.mesh, host)
    self._state = program.init(self._batch)
    self._step = program.train_step.lower(self._state, self._batch).compile()
    self.rows = len(host['valid'])
    self.memory = self._step.memory_analysis().temp_size_in_bytes
    self.seconds: list[float] = []
    self.run(1)
    self.seconds.clear()

  def run(self, steps: int) -> None:
    import jax

    begin = time.perf_counter()
    for _ in range(steps):
      self._state, scalars = self._step(self._state, self._batch)
    jax.block_until_ready((self._state, scalars))
    self.seconds.append((time.perf_counter() - begin) / steps)


def main(argv: Sequence[str]) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.bench privacy',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--config', default='configs/private_mnist.py')
  parser.add_argument('--batch', type=int, default=256)
  parser.add_argument('--microbatch', default='16,64,256')
  parser.add_argument('--steps', type=int, default=3)
  parser.add_argument('--rounds', type=int, default=3)
  args = parser.parse_args(argv[1:])
  sizes = [int(word) for word in args.microbatch.split(',')]
  found = {size: Timed(args.config, args.batch, size) for size in sizes}
  # As many rows, padding among them.
  rows = max(timed.rows for timed in found.values())
  plain = Timed(args.config, rows, None)
  for _ in range(args.rounds):
    for timed in (plain, *found.values()):
      timed.run(args.steps)
  base = statistics.median(plain.seconds) / plain.rows
  print('step | rows | ms a row | of plain | MiB of intermediate values')
  for name, timed in (('plain', plain), *found.items()):
    each = statistics.median(timed.seconds) / timed.rows
    label = name if name == 'plain' else f'private, {name} at a time'
    print(
      f'{label} | {timed.rows} | {each * 1e3:.3f} | {each / base:.2f} | '
      f'{timed.memory / 2**20:.1f}'
    )
  return 0
