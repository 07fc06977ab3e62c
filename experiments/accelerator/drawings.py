"""The pictures of a day's report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.accelerator.lines import Line

_TYPES = ('float32', 'tf32', 'bfloat16')


def parity(path: Path, rows: Sequence[Line]) -> None:
  """A dot a case: its error by the bound, in columns of groups and types."""
  columns: dict[tuple[str, str], list[float]] = {}
  for row in rows:
    key = row['group'], row['type']
    columns.setdefault(key, []).append(row['error'] / row['bound'])
  figure = Figure((max(6.0, 0.75 * len(columns) + 1.5), 4.4))
  axes = figure.add_subplot()
  least = 1e-8
  for i, ((_, kind), found) in enumerate(columns.items()):
    spread = i + 0.25 * np.linspace(-1, 1, len(found)) * (len(found) > 1)
    color = f'C{_TYPES.index(kind)}'
    axes.plot(spread, np.maximum(found, least), 'o', color=color, ms=4)
  axes.axhline(1, color='black', lw=1)
  axes.text(-0.45, 1.3, 'bound', size=8)
  axes.set_yscale('log')
  highest = max(max(found) for found in columns.values())
  axes.set_ylim(top=max(5.0, 2 * highest))
  names = [f'{group}\n{kind}' for group, kind in columns]
  axes.set_xticks(range(len(names)), names, size=7.5, rotation=45, ha='right')
  axes.set_ylabel('error / bound')
  axes.grid(axis='y', alpha=0.3)
  axes.set_title('Device beside float64 on the host, a dot a case')
  _save(figure, path)


def steps(path: Path, rows: Sequence[Line]) -> None:
  """Bars of examples a second, torch's beside; a panel a kind of step."""
  panels: dict[tuple[str, str], list[Line]] = {}
  for row in rows:
    panels.setdefault((row['mode'], row['type']), []).append(row)
  figure = Figure(
    (9.0, 0.6 + sum(0.9 + 0.42 * len(r) for r in panels.values()))
  )
  heights = [1 + 0.42 * len(r) for r in panels.values()]
  every = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
  for axes, ((mode, kind), found) in zip(
    every[:, 0], panels.items(), strict=True
  ):
    places = np.arange(len(found))
    ours = axes.barh(places - 0.2, [r['ours'] for r in found], 0.36, color='C0')
    ours.set_label('recog_jax')
    theirs = [r.get('torch', np.nan) for r in found]
    if np.isfinite(theirs).any():
      bars = axes.barh(places + 0.2, theirs, 0.36, color='C1')
      bars.set_label('torch')
    for i, r in enumerate(found):
      share = r['share']
      text = f' {r["ours"]:.0f}'
      text += '' if share is None else f', {100 * share:.0f} % of the peak'
      axes.text(r['ours'], i - 0.2, text, va='center', size=7.5)
      if 'torch' in r:
        text = f' {r["torch"]:.0f}'
        axes.text(r['torch'], i + 0.2, text, va='center', size=7.5)
    names = [f'{r["model"]}, batch {r["batch"]}' for r in found]
    axes.set_yticks(places, names, size=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_title(f'{mode}, {kind}', size=10)
    axes.set_xlabel('images or utterances a second', size=8)
    axes.legend(fontsize=8)
    axes.grid(axis='x', alpha=0.3)
  _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
  FigureCanvasAgg(figure)
  figure.set_layout_engine('constrained')
  figure.savefig(path, dpi=120)
