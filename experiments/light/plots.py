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
_MARKERS = 'osD^vPX*<>'
_COSTS = (
  ('p50_ms', 'latency of one input, ms (to p99)'),
  ('bytes', 'size, kB'),
)
Row = Mapping[str, Any]


def draw(stem: Path, rows: Sequence[Row]) -> None:
  """Writes STEM.png and STEM.svg: two panels for what is to be compared."""
  families = list(dict.fromkeys(map(_family, rows)))
  figure = Figure((11.5, 3.2 * len(families) + 0.9), layout='constrained')
  panels = figure.subplots(len(families), 2, squeeze=False)
  for family, line in zip(families, panels, strict=True):
    here = [row for row in rows if _family(row) == family]
    for axes, (cost, label) in zip(line, _COSTS, strict=True):
      _panel(axes, here, cost, label)
    line[0].set(ylabel=f'{here[0]["metric"]} in %', title=family)
    line[1].legend(loc='center left', bbox_to_anchor=(1.02, 0.5), fontsize=8)
  figure.suptitle('What lighter models cost')
  save(figure, stem, _caption(rows))


def _family(row: Row) -> str:
  return row['name'].partition(',')[0]


def _panel(axes: Axes, rows: Sequence[Row], cost: str, label: str) -> None:
  scale = 1e3 if cost == 'bytes' else 1.0
  for i, row in enumerate(rows):
    x, value = row[cost] / scale, 100 * row['value']
    name = row['name'].partition(', ')[2] or 'as trained'
    axes.errorbar(
      x,
      value,
      [[value - 100 * row['low']], [100 * row['high'] - value]],
      xerr=[[0], [row['p99_ms'] - x]] if cost == 'p50_ms' else None,
      fmt=_MARKERS[i % len(_MARKERS)],
      color=_COLOURS[i % len(_COLOURS)],
      ms=6,
      elinewidth=0.8,
      capsize=2,
      alpha=0.9,
      label=f'{name} ({row["format"]})',
    )
  axes.set_xscale('log')
  axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f'{x:g}'))
  axes.xaxis.set_minor_formatter(NullFormatter())
  axes.margins(x=0.15, y=0.12)
  axes.set(xlabel=label)
  axes.grid(alpha=0.3, which='both')


def _caption(rows: Sequence[Row]) -> str:
  cores = ' or '.join(sorted({str(row['cores']) for row in rows}))
  examples = ', '.join(
    dict.fromkeys(f'{row["examples"]:,} of {_family(row)}' for row in rows)
  )
  return (
    f'Bars: 95 % intervals over the examples ({examples}), and from the '
    f'median to the 99th percentile of {rows[0]["runs"]} runs of one picture '
    f'or of 4 s of speech with its front end; cores of a process: {cores}. '
    'Workdirs are run by jax. Size: of a workdir the float32 weights, of an '
    'export its programs.'
  )
