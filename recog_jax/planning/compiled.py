"""The train step compiled for devices that are not here, and what it says."""

import dataclasses
import gzip
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.programs import Program, Programs
from recog_jax.errors import UserError
from recog_jax.planning import flops
from recog_jax.storage import as_json


@dataclasses.dataclass(frozen=True)
class Kind:
  """One batch shape of a training.

  Attributes:
    rows: of the global batch.
    steps: of an epoch that have this shape.
    spec: shapes, dtypes and shardings.
  """

  rows: int
  steps: float
  spec: dict[str, jax.ShapeDtypeStruct]

  @property
  def shape(self) -> str:
    return 'x'.join(map(str, self.spec['inputs'].shape))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
  """What a compiled train step says of itself; all of it per device.

  Attributes:
    topology: the devices' name.
    devices: their number.
    shape: of the global batch's inputs.
    rows: of the global batch.
    steps: of an epoch that have this shape.
    parameters: number of the model's scalars.
    param_bytes: of the parameters, as sharded.
    optimizer_bytes: of the optimizer's state and the average of weights.
    other_bytes: of the rest of the state (running statistics).
    batch_bytes: of the batch.
    memory: the compiler's `argument`, `output`, `alias`, `temp`, `code` and
      `peak`, bytes.
    flops: of convolutions and matrix products, counted from what was traced.
    compiler_flops: the compiler's own count; a loop's body counts once.
    compiler_bytes: the compiler's count of bytes read and written, the same.
    seconds: that compiling took.
    hlo: the optimised program.
  """

  topology: str
  devices: int
  shape: str
  rows: int
  steps: float
  parameters: int
  param_bytes: int
  optimizer_bytes: int
  other_bytes: int
  batch_bytes: int
  memory: dict[str, int]
  flops: float
  compiler_flops: float
  compiler_bytes: float
  seconds: float
  hlo: str = dataclasses.field(repr=False)

  @property
  def peak_bytes(self) -> int:
    """Of memory, the program included.

    The TPU compiler's own peak of what lives at the same time. The CPU's leaves
    temporaries out: there it is all that goes in, comes out elsewhere and is
    between.
    """
    m = self.memory
    between = m['argument'] + m['output'] - m['alias'] + m['temp']
    simulated = self.topology.startswith('cpu:')
    return (between if simulated else m['peak']) + m['code']


class DoesNotFitError(UserError):
  """The compiler found that a program needs more memory than a chip has."""


def kinds(ex: Experiment) -> list[Kind]:
  """The batch shapes of an experiment; one row of each is made for it."""
  found = []
  total = ex.total_steps
  sharding = mesh_lib.batch_sharding(ex.mesh)

  def first_row(size: int) -> np.ndarray:
    del size
    return np.arange(1)

  for step, rows, steps in ex.data.batch_kinds():
    with ex.data.train(
      first_row, start_step=step, stop_step=step + 1, total_steps=total
    ) as batches:
      row = next(batches)
    spec = {
      k: jax.ShapeDtypeStruct((rows, *v.shape[1:]), v.dtype, sharding=sharding)
      for k, v in row.items()
    }
    found.append(Kind(rows, steps, spec))
  return found


def compile_step(ex: Experiment, kind: Kind, topology: str) -> Compiled:
  """Compiles the train step of one batch shape; nothing runs.

  Raises:
    DoesNotFitError: the compiler says that memory does not suffice.
  """
  program = Programs(ex, kind.spec).at(0)
  count = ex.mesh.size
  begin = time.perf_counter()
  try:
    done = program.train_step.lower(program.abstract, kind.spec).compile()
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise DoesNotFitError(_why_full(str(error), kind, topology)) from error
  seconds = time.perf_counter() - begin
  stats = done.memory_analysis()
  cost = done.cost_analysis()
  state = program.abstract
  return Compiled(
    topology=topology,
    devices=count,
    shape=kind.shape,
    rows=kind.rows,
    steps=kind.steps,
    parameters=program.parameters,
    param_bytes=_local_bytes(state.params),
    optimizer_bytes=_local_bytes((state.opt_state, state.ema)),
    other_bytes=_local_bytes((state.step, state.model_state)),
    batch_bytes=_local_bytes(kind.spec),
    memory={
      name: int(getattr(stats, f'{long}_size_in_bytes'))
      for name, long in (
        ('argument', 'argument'),
        ('output', 'output'),
        ('alias', 'alias'),
        ('temp', 'temp'),
        ('code', 'generated_code'),
      )
    }
    | {'peak': int(stats.peak_memory_in_bytes)},
    flops=2 * _multiply_adds(ex, kind, program) / count,
    compiler_flops=float(cost.get('flops', 0)),
    compiler_bytes=float(cost.get('bytes accessed', 0)),
    seconds=seconds,
    hlo=done.as_text(),
  )


def step_flops(ex: Experiment, kind: Kind) -> int:
  """Of all devices in a train step: two for each multiply-add; see `flops`."""
  return 2 * _multiply_adds(ex, kind, Programs(ex, kind.spec).at(0))


def _multiply_adds(ex: Experiment, kind: Kind, program: Program) -> int:
  """Of the whole batch, in one part.

  In parts, a first pass over them gives weights that need no product; tracing
  has them, and the compiler drops them.
  """
  if ex.settings.accumulate_steps > 1:
    settings = dataclasses.replace(ex.settings, accumulate_steps=1)
    program = Programs(
      dataclasses.replace(ex, settings=settings), kind.spec
    ).at(0)
  return flops.multiply_adds(program.train_step, program.abstract, kind.spec)


def _local_bytes(tree: Any) -> int:
  """Bytes that one device holds of abstract arrays with shardings."""
  return sum(
    int(np.prod(x.sharding.shard_shape(x.shape), dtype=np.int64))
    * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
  )


def _why_full(error: str, kind: Kind, topology: str) -> str:
  """The compiler's numbers in a sentence."""
  used = re.search(
    r'\(([\d.]+\w)\) exceeds available HBM \(([\d.]+\w)\)', error
  ) or re.search(r'Used ([\d.]+\w) of ([\d.]+\w) hbm', error)
  numbers = f' (temporaries {used[1]}iB of {used[2]}iB)' if used else ''
  return (
    f'a batch of {kind.shape} does not fit the memory of a chip of {topology}'
    f'{numbers}: lower the batch (--batch_per_chip, or --sweep=batch finds the '
    'largest), raise config.accumulate_steps, or take more chips'
  )


def save(
  found: Compiled, folder: Path, name: str, derived: Mapping[str, Any]
) -> None:
  """Keeps the program (`NAME.hlo.gz`) and its numbers (`NAME.json`).

  Args:
    found: what was compiled.
    folder: made if absent.
    name: of the two files.
    derived: what was read from the program, JSON.
  """
  folder.mkdir(parents=True, exist_ok=True)
  numbers = {**dataclasses.asdict(found), 'derived': derived}
  hlo = numbers.pop('hlo')
  with gzip.open(folder / f'{name}.hlo.gz', 'wt') as file:
    file.write(hlo)
  (folder / f'{name}.json').write_text(as_json(numbers, indent=1) + '\n')


def load(folder: Path, name: str) -> Compiled | None:
  """What `save` has kept; None where there is nothing."""
  numbers, program = folder / f'{name}.json', folder / f'{name}.hlo.gz'
  if not numbers.is_file() or not program.is_file():
    return None
  kept = json.loads(numbers.read_text())
  del kept['derived']
  with gzip.open(program, 'rt') as file:
    return Compiled(**kept, hlo=file.read())
