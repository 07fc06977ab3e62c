"""How light models are, and what that costs: a table and two figures.

  python -m experiments.light WORKDIR EXPORT ... [--data_dir=DATA]
      [--output=DIR] [--cores=1] [--runs=200] [--split=test]

Of each training or export: parameters, and of a training those that are not
zero; multiply-adds (MACs) of one picture, or of a second of speech; bytes of
the weights, of an export those of its programs; the headline metric with its 95
% interval; latency of one picture or of four seconds of speech, front end and
all; peak memory of the process that measured it. Each model has a process of
its own, on so many cores. The metric is read from `results` where it stands,
and evaluated where not; of a training it is that of the latest checkpoint.
Writes light.csv, light.png and light.svg into --output, which is `runs/light`.

A name may stand before each: NAME=PATH. Entries with equal names up to the
first comma are drawn in one panel: `digits, int8` beside `digits`.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.exit_code import exit_code_of
from experiments.figures.rows import write_csv
from recog_jax.errors import UserError

COLUMNS = (
  'name',
  'format',
  'metric',
  'value',
  'low',
  'high',
  'examples',
  'parameters',
  'nonzero',
  'macs',
  'bytes',
  'p50_ms',
  'p99_ms',
  'runs',
  'cores',
  'peak_mb',
)


def _named(words: Sequence[str]) -> dict[str, Path]:
  """{name: folder}."""
  found: dict[str, Path] = {}
  for word in words:
    name, equals, path = word.partition('=')
    place = Path(path if equals else word).absolute()
    usual = place.name
    if usual.startswith('export-'):
      usual = f'{place.parent.name}, {usual.removeprefix("export-")}'
    name = name if equals else usual
    if name in found:
      raise UserError(f"two models are called '{name}': write NAME={place}")
    if not place.is_dir():
      raise UserError(f'{place} is no folder: give a workdir or an export')
    found[name] = place
  return found


def _measured(place: Path, args: argparse.Namespace) -> dict[str, Any]:
  """A row, from a process of its own."""
  words = [str(place), f'--cores={args.cores}', f'--runs={args.runs}']
  words += [f'--split={args.split}']
  if args.data_dir:
    words += [f'--data_dir={Path(args.data_dir).absolute()}']
  done = subprocess.run(
    [sys.executable, '-m', 'experiments.light.measure', *words],
    stdout=subprocess.PIPE,
    text=True,
  )
  if done.returncode:
    raise UserError(f'{place} could not be measured, see above')
  return json.loads(done.stdout.splitlines()[-1])


def table(rows: Sequence[Mapping[str, Any]]) -> str:
  """Markdown."""
  lines = [
    '| model | format | metric | parameters | not zero | MACs | kB | '
    'p50 / p99, ms | peak, MB |',
    '|---|---|---|---|---|---|---|---|---|',
  ]
  for row in rows:
    value, low, high = (100 * row[k] for k in ('value', 'low', 'high'))
    nonzero = '' if row['nonzero'] is None else f'{row["nonzero"]:,}'
    lines.append(
      f'| {row["name"]} | {row["format"]} | {row["metric"]} {value:.2f} % '
      f'({low:.2f} to {high:.2f}) | {row["parameters"]:,} | '
      f'{nonzero} | {row["macs"] / 1e6:.2f} M | '
      f'{row["bytes"] / 1e3:,.0f} | {row["p50_ms"]:.2f} / '
      f'{row["p99_ms"]:.2f} | {row["peak_mb"]:.0f} |'
    )
  return '\n'.join(lines)


def _make(args: argparse.Namespace) -> int:
  from experiments.light import plots

  places = _named(args.models)
  rows = []
  for name, place in places.items():
    print(f'{name} ...', file=sys.stderr, flush=True)
    rows.append({'name': name, **_measured(place, args)})
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  write_csv(out / 'light.csv', rows, COLUMNS)
  plots.draw(out / 'light', rows)
  print(table(rows))
  print(f'wrote {out}/light.csv, light.png and light.svg')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.light',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('models', nargs='+', metavar='[NAME=]WORKDIR')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--output', default='runs/light', help='folder')
  parser.add_argument('--cores', type=int, default=1, help='of each process')
  parser.add_argument('--runs', type=int, default=200, help='that are timed')
  parser.add_argument('--split', default='test', help='of the metric')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
