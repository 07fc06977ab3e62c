"""Accuracy against latency, and against size: a panel a metric."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.figures.plots import save

# Okabe and Ito's, which the colour-blind tell apart; markers say it again.
_COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00')
_MARKERS = {'workdir': 'o', 'stablehlo': 's', 'onnx': 'D', 'litert': '^'}
_COSTS = (
  ('p50_ms', 'latency of one input, ms (to p99)'),
  ('bytes', 'size, kB'),
)
Row = Mapping[str, Any]


def draw(stem: Path, rows: Sequence[Row]) -> None:
  """Writes STEM.png and STEM.svg."""
  metrics = list(dict.fromkeys(row['metric'] for row in rows))
  families = list(dict.fromkeys(_family(row) for row in rows))
  colours = {
    family: _COLOURS[i % len(_COLOURS)] for i, family in enumerate(families)
  }
  height = 3.6 * len(metrics) + 0.8
  figure = Figure((10.5, height), layout='constrained')
  panels = figure.subplots(len(metrics), 2, squeeze=False)
  for metric, line in zip(metrics, panels, strict=True):
    here = [row for row in rows if row['metric'] == metric]
    for axes, (cost, label) in zip(line, _COSTS, strict=True):
      _panel(axes, here, cost, label, colours)
    line[0].set(ylabel=f'{metric} in %')
  figure.suptitle('What lighter models cost')
  save(figure, stem, _caption(rows))


def _family(row: Row) -> str:
  return row['name'].partition(',')[0]


def _panel(
  axes: Axes,
  rows: Sequence[Row],
  cost: str,
  label: str,
  colours: Mapping[str, str],
) -> None:
  scale = 1e3 if cost == 'bytes' else 1.0
  for i, row in enumerate(rows):
    x, value = row[cost] / scale, 100 * row['value']
    colour = colours[_family(row)]
    errors = [[value - 100 * row['low']], [100 * row['high'] - value]]
    later = [[0], [row['p99_ms'] - x]] if cost == 'p50_ms' else None
    axes.errorbar(
      x,
      value,
      errors,
      xerr=later,
      fmt=_MARKERS.get(row['format'], 'o'),
      color=colour,
      ms=6,
      elinewidth=0.8,
      capsize=2,
      alpha=0.9,
    )
    axes.annotate(
      row['name'],
      (x, value),
      xytext=(5, 4 if i % 2 else -10),
      textcoords='offset points',
      size=7,
      color=colour,
    )
  axes.set_xscale('log')
  axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f'{x:g}'))
  axes.xaxis.set_minor_formatter(NullFormatter())
  axes.margins(x=0.25, y=0.12)
  axes.set(xlabel=label)
  axes.grid(alpha=0.3, which='both')


def _caption(rows: Sequence[Row]) -> str:
  cores = ' or '.join(sorted({str(row['cores']) for row in rows}))
  formats = ', '.join(dict.fromkeys(row['format'] for row in rows))
  examples = ', '.join(
    dict.fromkeys(f'{row["examples"]:,} of {_family(row)}' for row in rows)
  )
  return (
    'Circles: workdirs, run by jax; squares StableHLO, diamonds ONNX, '
    f'triangles LiteRT ({formats} here). Bars: 95 % intervals over the '
    f'examples ({examples}), and from the median to the 99th percentile of '
    f'{rows[0]["runs"]} runs of one picture or of 4 s of speech with its front '
    f'end, on {cores} core(s). Size: of a workdir the float32 weights, of an '
    'export its programs.'
  )
