"""What a compiled train step needs, in words."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recog_jax.planning import hlo, roofline
from recog_jax.planning.compiled import Compiled
from recog_jax.planning.topology import Topology

_DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Read:
  """A compiled train step, read.

  Attributes:
    compiled: what the compiler said.
    hbm_bytes: read and written by a chip in a step.
    collectives: of a step.
    roofline: None of simulated devices.
  """

  compiled: Compiled
  hbm_bytes: int
  collectives: Sequence[hlo.Collective]
  roofline: roofline.Roofline | None


def read(found: Compiled, topology: Topology) -> Read:
  """Parses the program and estimates its time."""
  module = hlo.Module(found.hlo)
  moved, collectives = module.hbm_bytes(), module.collectives()
  estimate = None
  if topology.chip is not None:
    estimate = roofline.estimate(
      topology.chip,
      topology.shape,
      flops=found.flops,
      hbm_bytes=moved,
      collectives=collectives,
    )
  return Read(found, moved, collectives, estimate)


def size(number: float) -> str:
  """Bytes in decimal units."""
  for unit in ('B', 'kB', 'MB', 'GB'):
    if abs(number) < 999.5 or unit == 'GB':
      return f'{number:.3g} {unit}'
    number /= 1000
  return ''


def seconds(number: float) -> str:
  """A duration below a minute, in ms or us."""
  if number >= 1:
    return f'{number:.3g} s'
  return (
    f'{1e3 * number:.3g} ms' if number >= 1e-3 else f'{1e6 * number:.3g} us'
  )


def kinds_of(
  collectives: Sequence[hlo.Collective],
) -> dict[tuple[str, int], tuple[int, int]]:
  """{(kind, group): (number, bytes)} of a step."""
  table: dict[tuple[str, int], list[int]] = collections.defaultdict(
    lambda: [0, 0]
  )
  for c in collectives:
    entry = table[c.kind, c.group]
    entry[0] += c.times
    entry[1] += c.times * c.bytes
  return {k: (n, b) for k, (n, b) in sorted(table.items())}


def lines(found: Read, topology: Topology, hbm: float | None) -> Iterator[str]:
  """The report of one batch shape.

  Args:
    found: of `read`.
    topology: the devices.
    hbm: bytes of memory of a chip; None: not known.
  """
  c = found.compiled
  yield (
    f'{c.topology}, {c.devices} devices; batch {c.shape}, '
    f'{c.rows / c.devices:g} rows a device; compiled in {c.seconds:.0f} s'
  )
  yield f'  memory of a device: parameters {size(c.param_bytes)} ({_count(c)})'
  yield f'    optimizer state {size(c.optimizer_bytes)}, other state ' + (
    f'{size(c.other_bytes)}, batch {size(c.batch_bytes)}'
  )
  yield (
    f'    activations and temporaries {size(c.memory["temp"])} (not all at '
    f'once), program '
    f'{size(c.memory["code"])}'
  )
  of = f' of {size(hbm)} ({c.peak_bytes / hbm:.0%})' if hbm else ''
  yield f'    peak {size(c.peak_bytes)}{of}'
  yield (
    f'  work of a device in a step: {c.flops / 1e9:,.4g} GFLOP of products'
    f'{_agreement(c)}'
  )
  yield (
    f'    memory traffic {size(found.hbm_bytes)} (the compiler counts '
    f'{size(c.compiler_bytes)}, on-chip memory included, loops once)'
  )
  yield '  collectives of a step:'
  table = kinds_of(found.collectives)
  for (kind, group), (number, total) in table.items():
    time = _time_of(found, topology, kind, group)
    yield (
      f'    {number} {kind} over {group} devices, {size(total)} in all{time}'
    )
  if not table:
    yield '    none'
  if found.roofline:
    yield from _estimate(found.roofline, c)
  else:
    yield '  no estimate of time: simulated devices have no published peaks'


def _count(c: Compiled) -> str:
  return f'{c.parameters:,} scalars'


def _agreement(c: Compiled) -> str:
  if not c.compiler_flops:
    return ''
  return (
    f' (the compiler counts {c.compiler_flops / 1e9:,.4g}, '
    f'{c.compiler_flops / max(c.flops, 1) - 1:+.1%}; it takes loops once and '
    'element-wise work as well)'
  )


def _time_of(found: Read, topology: Topology, kind: str, group: int) -> str:
  if topology.chip is None:
    return ''
  wiring = roofline.wiring_of(topology.chip, topology.shape, group)
  total = sum(
    c.times * roofline.collective_seconds(c.kind, c.bytes, wiring)
    for c in found.collectives
    if (c.kind, c.group) == (kind, group)
  )
  return f', {seconds(total)} (estimate)'


def _estimate(line: roofline.Roofline, c: Compiled) -> Iterator[str]:
  yield (
    f'  ESTIMATE from published peaks, not measured: compute '
    f'{seconds(line.compute)}, HBM {seconds(line.hbm)}, interconnect '
    f'{seconds(line.interconnect)} ({seconds(line.latency)} of it latency): '
    f'{line.binds} binds'
  )
  yield (
    f'    a step {seconds(line.best)} if collectives overlap with all else, '
    f'{seconds(line.worst)} if with nothing'
  )


def total(found: Sequence[Read], chips: int, total_steps: int) -> Iterator[str]:
  """Speed over all batch shapes, weighted by their steps in an epoch.

  Args:
    found: the shapes that were compiled.
    chips: of the topology.
    total_steps: of the config's schedule.
  """
  if any(r.roofline is None for r in found):
    return
  speed = summary(found, chips, total_steps)
  yield (
    f'  ESTIMATE: {speed["examples_per_second_per_chip_worst"]:,.0f} to '
    f'{speed["examples_per_second_per_chip_best"]:,.0f} examples/s a chip, '
    f'{speed["steps_per_day_worst"]:,.0f} to '
    f'{speed["steps_per_day_best"]:,.0f} steps a day; the schedule of '
    f'{total_steps:,} steps in {speed["days_best"]:.3g} to '
    f'{speed["days_worst"]:.3g} days, without input, evaluation and checkpoints'
  )


def summary(
  found: Sequence[Read], chips: int, total_steps: int
) -> dict[str, float]:
  """The numbers of `total`, of full overlap (`best`) and none (`worst`)."""
  steps = sum(r.compiled.steps for r in found)
  rows = sum(r.compiled.steps * r.compiled.rows for r in found) / steps
  result = {}
  for name in ('best', 'worst'):
    mean = (
      sum(r.compiled.steps * getattr(r.roofline, name) for r in found) / steps
    )
    result |= {
      f'step_seconds_{name}': mean,
      f'examples_per_second_per_chip_{name}': rows / mean / chips,
      f'steps_per_day_{name}': _DAY / mean,
      f'days_{name}': total_steps * mean / _DAY,
    }
  return result


def numbers(found: Read) -> Mapping[str, Any]:
  """What was read, as JSON; the program's own numbers are beside it."""
  table = [
    {'kind': kind, 'group': group, 'count': n, 'bytes': b}
    for (kind, group), (n, b) in kinds_of(found.collectives).items()
  ]
  line = found.roofline
  return {
    'peak_bytes': found.compiled.peak_bytes,
    'hbm_bytes': found.hbm_bytes,
    'collectives': table,
    'estimate': line
    and {**dataclasses.asdict(line), 'best': line.best, 'worst': line.worst},
  }
