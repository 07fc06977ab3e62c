"""Plans of four configs on TPU slices, as a table; nothing is trained.

  python -m experiments.tables.plans [--folder=plans] [--only=resnet50_imagenet]

Compiles each config's train step for each topology (extra `plan`), keeps the
programs in --folder, and takes from there what it finds: remove a file to have
it compiled again. Writes plan_table.md beside this file from all that is there.

The batch is the config's where that divides over the chips, else as few rows as
it can be; on v5p it is a number of rows a chip, so that the batch grows.
"""

import argparse
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

from recog_jax.planning import topology

_OUT = Path(__file__).with_name('plan_table.md')
TOPOLOGIES = ('v5e:2x2', 'v5e:16x16', 'v6e:16x16', 'v5p:8x8x16')


@dataclasses.dataclass(frozen=True)
class Row:
  """A config as it is planned.

  Attributes:
    config: name of its file.
    pod: overrides on 256 chips.
    v5p_rows: a chip, on the largest slice.
    label: in the table; None: the config's name.
    always: overrides everywhere.
    topologies: where it is planned.
  """

  config: str
  pod: tuple[tuple[str, object], ...]
  v5p_rows: int
  label: str | None = None
  always: tuple[tuple[str, object], ...] = ()
  topologies: tuple[str, ...] = TOPOLOGIES

  @property
  def name(self) -> str:
    return self.label or self.config


ROWS = (
  Row('resnet50_imagenet', (), 32),
  Row(
    'resnet50_imagenet',
    (),
    32,
    'resnet50_imagenet_local_norm',
    (('parallelism', 'pmap'), ('sync_batch_norm', False)),
    ('v5e:16x16',),
  ),
  Row('vit_s16_imagenet', (), 32),
  Row(
    'conformer_ctc_librispeech',
    (('accumulate_steps', 1), ('data.buckets.rows_multiple', 256)),
    8,
  ),
  Row('lstm_ctc_librispeech', (('data.buckets.rows_multiple', 256),), 16),
)


def request_of(row: Row, name: str, folder: Path):
  """What is asked of the planner for a row on a topology."""
  from recog_jax.engine import config as config_lib
  from recog_jax.planning.planner import Request

  overrides = dict(row.pod) if name != 'v5e:2x2' else {}
  overrides |= dict(row.always)
  per_chip = row.v5p_rows if name.startswith('v5p') else None
  if per_chip:
    overrides.pop('data.buckets.rows_multiple', None)
  path = Path(__file__).parents[2] / 'configs' / f'{row.config}.py'
  config = config_lib.load(str(path)).unlock()
  for key, value in overrides.items():
    *path, last = key.split('.')
    functools.reduce(getattr, path, config)[last] = value
  return Request(
    config=config, name=row.name, batch_per_chip=per_chip, save=folder
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--folder', type=Path, default=Path('plans'))
  parser.add_argument('--only', help='one config')
  parser.add_argument('--topology', help='one topology')
  parser.add_argument('--write', action='store_true', help='compile nothing')
  args = parser.parse_args()
  topology.simulate(TOPOLOGIES)
  lines = []
  for row in ROWS:
    for name in row.topologies:
      chosen = args.only in (None, row.name)
      chosen &= args.topology in (None, name) and not args.write
      lines += _row(row, name, args.folder, chosen)
  _OUT.write_text(_HEAD + ''.join(lines))
  print(_OUT.read_text())


def _row(row: Row, name: str, folder: Path, make: bool) -> Iterator[str]:
  from recog_jax.engine import experiment  # noqa: F401 jax starts here
  from recog_jax.planning import compiled, planner, report
  from recog_jax.planning.stand_in import stand_in

  request = request_of(row, name, folder)
  place = topology.get(name)
  config, _ = stand_in(request.config, None)
  ex = planner.build(config, request, place)
  kinds = compiled.kinds(ex)
  kind = kinds[-1]
  file = planner.file_name(request, place, kind)
  one = compiled.load(folder, file)
  if one is None:
    if not make:
      return
    print(f'{row.name} on {name}, batch {kind.shape}', flush=True)
    try:
      found = planner.compile_kind(ex, kind, request, place)
    except compiled.DoesNotFitError as error:
      print(error, flush=True)
      yield f'| {row.name} | {name} | {kind.shape} | does not fit |\n'
      return
    one = found.compiled
  found = report.read(one, place)
  mean = planner.with_mean_rows(found, kinds)
  speed = report.summary([mean], place.size, ex.total_steps)
  line = found.roofline
  table = report.kinds_of(found.collectives)
  collectives = '; '.join(
    f'{n} {kind} {report.size(b)}' for (kind, _), (n, b) in table.items()
  )
  yield (
    f'| {row.name} | {name} | {one.shape} | {one.rows / one.devices:g} '
    f'| {report.size(one.param_bytes)} | {report.size(one.optimizer_bytes)} '
    f'| {report.size(one.memory["temp"])} '
    f'| {report.size(one.peak_bytes)} ({one.peak_bytes / place.chip.hbm:.0%}) '
    f'| {one.flops / 1e9:,.0f} | {one.compiler_flops / one.flops - 1:+.1%} '
    f'| {report.size(found.hbm_bytes)} | {collectives} '
    f'| {report.seconds(line.compute)} | {report.seconds(line.hbm)} '
    f'| {report.seconds(line.interconnect)} | {line.binds} '
    f'| {speed["examples_per_second_per_chip_worst"]:,.0f} to '
    f'{speed["examples_per_second_per_chip_best"]:,.0f} '
    f'| {speed["days_best"]:.2g} to {speed["days_worst"]:.2g} '
    f'| {one.seconds:.0f} s |\n'
  )


_HEAD = """# Plans

`python -m experiments.tables.plans` compiled each config's train step with XLA's
compiler for TPUs; no TPU was used, nothing was measured but the time that
compiling took (on two shared CPU cores). Memory, FLOPs, traffic and collectives
are read from the compiled program, a chip and a step. "Agree" is how far the
compiler's FLOPs are from those counted in the traced products; it counts the
body of a loop (LSTM, accumulation) once. Times are ESTIMATES from published
peaks (`recog_jax/planning/chips.py`); of a loop over time they leave out
what each turn costs beside its work. Ranges go from collectives behind nothing
to behind all other work. LibriSpeech and ImageNet were not there: their
published sizes stand in for them. Speech is planned for its longest length
bucket.

| config | topology | batch | rows a chip | parameters | optimizer | temporaries | peak HBM | GFLOP | agree | HBM traffic | collectives | compute | HBM | interconnect | binds | examples/s a chip | days | compiled in |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501


if __name__ == '__main__':
  main()
