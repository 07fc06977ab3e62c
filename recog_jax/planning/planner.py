"""Plans trainings: builds a config for a topology, compiles, reports."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from recog_jax.engine import experiment
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.experiment import Experiment
from recog_jax.errors import UserError
from recog_jax.planning import compiled, report, topology
from recog_jax.planning.stand_in import stand_in
from recog_jax.planning.topology import Topology

# A sweep's bisection ends at an eighth of the size found.
_FINENESS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """What is asked of a plan.

  Attributes:
    config: of the experiment.
    name: of the config, for files.
    data_dir: where data sets are looked for.
    batch_per_chip: rows that replace the config's batch; of length buckets
      those of the longest.
    all_shapes: compile every batch shape, not the longest alone.
    hbm: bytes of memory of a chip, in place of the published.
    save: folder that keeps what was compiled.
  """

  config: ConfigDict
  name: str
  data_dir: str | None = None
  batch_per_chip: int | None = None
  all_shapes: bool = False
  hbm: float | None = None
  save: Path | None = None


def plan(request: Request, name: str) -> Iterator[str]:
  """The report for one topology, line by line as it is found out.

  Raises:
    UserError: an unknown topology, a batch that does not divide, no libtpu.
  """
  place = topology.get(name)
  config, notes = stand_in(request.config, request.data_dir)
  yield from (f'note: {note}' for note in notes)
  ex = build(config, request, place)
  limit = _hbm(request, place)
  kinds = compiled.kinds(ex)
  chosen = kinds if request.all_shapes else kinds[-1:]
  if len(chosen) < len(kinds):
    yield (
      f'note: of {len(kinds)} batch shapes of about equal seconds the longest '
      'is compiled; time is taken to be its (--all_shapes compiles all)'
    )
  found = []
  for kind in chosen:
    one = compile_kind(ex, kind, request, place)
    yield from report.lines(one, place, limit)
    found.append(one)
  if len(found) > 1:
    most = max(found, key=lambda r: r.compiled.peak_bytes)
    yield (
      f'  most memory: {report.size(most.compiled.peak_bytes)}, by the batch '
      f'{most.compiled.shape}'
    )
  if len(chosen) < len(kinds):
    found = [with_mean_rows(found[0], kinds)]
  yield from report.total(found, place.size, ex.total_steps)
  peak = max(r.compiled.peak_bytes for r in found)
  if limit and peak > limit:
    yield (
      f'  DOES NOT FIT: {report.size(peak)} of {report.size(limit)}; lower the '
      'batch (--batch_per_chip) or raise config.accumulate_steps'
    )


def with_mean_rows(
  found: report.Read, kinds: Sequence[compiled.Kind]
) -> report.Read:
  """One batch shape for the speed of all: its time, and the rows of their mean.

  Steps of what was not compiled have more, shorter rows.
  """
  rows = sum(k.rows * k.steps for k in kinds) / sum(k.steps for k in kinds)
  one = dataclasses.replace(found.compiled, rows=round(rows))
  return dataclasses.replace(found, compiled=one)


def _hbm(request: Request, place: Topology) -> float | None:
  return request.hbm or (place.chip and place.chip.hbm)


def build(config: ConfigDict, request: Request, place: Topology) -> Experiment:
  """The experiment on the topology's devices, its batch made to fit them.

  Raises:
    UserError: the config's batch does not divide over the devices.
  """
  if request.batch_per_chip is not None:
    config = with_batch(config, request.batch_per_chip, place.size)
  ex = experiment.build(
    config, request.data_dir, train_batch=False, devices=place.devices
  )
  parts = ex.settings.accumulate_steps
  over = mesh_lib.batch_parts(ex.mesh)
  for size in ex.data.batch_sizes:
    if size % (over * parts):
      each = f' in accumulate_steps={parts} parts' if parts > 1 else ''
      raise UserError(
        f'a batch of {size} rows does not divide over {over} devices of '
        f'{place.name}{each}: give --batch_per_chip=N (a multiple of {parts}), '
        f'or set config.data.batch_size (of length buckets '
        f'config.data.buckets.rows_multiple) to a multiple of {over * parts}'
      )
  return ex


def with_batch(config: ConfigDict, per_chip: int, chips: int) -> ConfigDict:
  """The config with so many rows a chip, of length buckets of the longest.

  Raises:
    UserError: not in whole parts, or buckets of unknown length.
  """
  parts = config.get('accumulate_steps', 1)
  if per_chip < 1 or per_chip % parts:
    raise UserError(
      f'--batch_per_chip={per_chip} is not a positive multiple of '
      f'config.accumulate_steps={parts}'
    )
  config = config.copy_and_resolve_references().unlock()
  rows = per_chip * chips
  if 'buckets' not in config.data:
    config.data.batch_size = rows
    return config
  buckets = config.data.buckets
  buckets.rows_multiple = chips * parts
  if 'batch_seconds' not in buckets or buckets.batch_seconds is None:
    buckets.batch_size = rows
    return config
  if config.data.get('max_seconds') is None:
    raise UserError(
      '--batch_per_chip needs config.data.max_seconds, to know what the '
      'longest batch is'
    )
  # Widths are rounded up to a multiple of frames, a tenth of a second or so.
  buckets.batch_seconds = float(rows * (config.data.max_seconds + 0.1))
  return config


def compile_kind(
  ex: Experiment,
  kind: compiled.Kind,
  request: Request,
  place: Topology,
) -> report.Read:
  """Compiles and reads one batch shape, and keeps it where that is asked."""
  one = compiled.compile_step(ex, kind, place.name)
  found = report.read(one, place)
  if request.save is not None:
    name = file_name(request, place, kind)
    compiled.save(one, request.save, name, report.numbers(found))
  return found


def file_name(request: Request, place: Topology, kind: compiled.Kind) -> str:
  """Of what is kept of one batch shape."""
  return f'{request.name}-{place.name.replace(":", "-")}-{kind.shape}'


def sweep(request: Request, name: str) -> Iterator[str]:
  """Finds the largest batch a chip that fits: doubling, then bisection.

  Args:
    request: its `batch_per_chip` is where the search begins.
    name: the topology.

  Raises:
    UserError: simulated devices, and no memory was given.
  """
  place = topology.get(name)
  limit = _hbm(request, place)
  if limit is None:
    raise UserError(
      f'{name} has no memory of its own: say how much a device has with '
      '--hbm_gb'
    )
  config, notes = stand_in(request.config, request.data_dir)
  yield from (f'note: {note}' for note in notes)
  unit = config.get('accumulate_steps', 1)
  said: list[str] = []

  def fits(units: int) -> bool:
    rows = units * unit
    ask = dataclasses.replace(request, batch_per_chip=rows)
    ex = build(config, ask, place)
    try:
      found = compile_kind(ex, compiled.kinds(ex)[-1], ask, place)
    except compiled.DoesNotFitError:
      said.append(f'  {rows} rows a chip: do not fit, says the compiler')
      return False
    peak = found.compiled.peak_bytes
    good = peak <= limit
    said.append(
      f'  {rows} rows a chip: peak {report.size(peak)} of '
      f'{report.size(limit)}' + ('' if good else ', does not fit')
    )
    return good

  begin = max(1, (request.batch_per_chip or unit) // unit)
  best = 0
  for units in largest(fits, begin):
    best = units
    yield from said
    said.clear()
  if not best:
    yield f'  not even {unit} row(s) a chip fit {name}'
    return
  rows = best * unit
  yield (
    f'  largest batch that fits {name}: {rows} rows a chip, '
    f'{rows * place.size} in all, to an eighth'
  )


def largest(fits: Callable[[int], bool], begin: int) -> Iterator[int]:
  """Yields the largest number known to fit after each trial; 0: none does.

  Args:
    fits: whether a number does; larger ones need more.
    begin: the first that is tried.
  """
  low, high, number = 0, None, begin
  while True:
    if fits(number):
      low = number
    else:
      high = number
    yield low
    if high is None:
      number = 2 * low
      continue
    step = max(1, low // _FINENESS)
    if high - low <= step:
      return
    if low == 0:
      number = high // 2
      continue
    number = low + max(step, (high - low) // 2 // step * step)
