"""Groups side by side: tables and a figure of what a model is worth to each."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from recog_jax.report import figures
from recog_jax.report.table import aligned
from recog_jax.storage import AnyPath

# Okabe and Ito's blue and vermilion, which the colour-blind tell apart; the
# worst group has another marker too.
_COLOUR, _WORST = '#0072B2', '#D55E00'
_LINES = 40  # Groups of a field that are shown, those with most examples.


def tables(result: Mapping[str, Any]) -> str:
  """Of each field a table, and what can be said of its gap.

  Args:
    result: `metric`, `clusters` and `fields` of `fairness.by_group`.
  """
  metric, unit = result['metric'], result['clusters']
  parts = []
  for field, table in result['fields'].items():
    counted = ['examples', 'clusters'][: 1 + (unit != 'example')]
    names = ['examples', f'{unit}s'][: len(counted)]
    heads = [field, *names, metric, '95 % interval']
    heads += ['difference', 'detectable', 'p (Holm)']
    rows: list[list[str]] = [heads]
    shown, more = _shown(table['groups'])
    for name, row in shown.items():
      cells = [name, *(str(row[key]) for key in counted)]
      cells += [_number(row['value']), ' - '.join(map(_number, row['ci95']))]
      if row['compared']:
        cells += [f'{row["difference"]:+.4f}', _number(row['detectable'])]
        cells.append(_p(row['p_holm']))
      else:
        cells += ['not compared', '', '']
      rows.append(cells)
    text = aligned(rows)
    if more:
      text += f'\nand {more} more groups'
    if 'gap' in table:
      low, high = map(_number, table['gap_ci95'])
      text += (
        f'\ngap {_number(table["gap"])} ({low} to {high}), ratio '
        f'{_number(table["ratio"])}, worst: {table["worst"]}'
      )
    if 'equalised_odds_difference' in table:
      value = _number(table['equalised_odds_difference'])
      text += f', equalised odds difference {value}'
    parts.append(text)
  return '\n\n'.join(parts)


def _shown(groups: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
  """Those with most examples, in their own order; and how many more."""
  kept = sorted(groups, key=lambda name: -groups[name]['examples'])[:_LINES]
  rows = {name: row for name, row in groups.items() if name in kept}
  return rows, len(groups) - len(rows)


def _number(value: float) -> str:
  return '-' if not math.isfinite(value) else f'{value:.4f}'


def _p(value: float) -> str:
  return f'{value:.3f}' if value >= 0.001 else '< 0.001'


def draw(path: AnyPath, result: Mapping[str, Any], *, higher: bool) -> None:
  """Writes a PNG: the metric of each group with its interval.

  Args:
    path: of the picture.
    result: see `tables`.
    higher: whether a higher metric is better.
  """
  fields = result['fields']
  shown = {name: _shown(table['groups'])[0] for name, table in fields.items()}
  heights = [max(len(rows), 2) for rows in shown.values()]
  size = 8, 0.34 * sum(heights) + 1.1 * len(fields) + 0.4
  figure = Figure(size, layout='constrained')
  panels = figure.subplots(
    len(fields), 1, squeeze=False, sharex=True, height_ratios=heights
  )[:, 0]
  for axes, (name, rows) in zip(panels, shown.items(), strict=True):
    worst = fields[name].get('worst')
    for place, (label, row) in enumerate(rows.items()):
      low, high = row['ci95']
      colour = _WORST if label == worst else _COLOUR
      value = row['value']
      if math.isfinite(low):
        axes.plot([low, high], [place, place], color=colour, lw=1.5)
      axes.plot(
        value,
        place,
        'D' if label == worst else 'o',
        color=colour,
        mfc=colour if row['compared'] else 'white',
      )
    names = [f'{_plain(k)} ({r["examples"]:,})' for k, r in rows.items()]
    axes.set_yticks(range(len(rows)), names, size=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis='x', alpha=0.3)
    axes.set_title(_title(name, fields[name]), size=9, loc='left')
  better = 'higher' if higher else 'lower'
  panels[-1].set_xlabel(
    f'{result["metric"]} ({better} is better), 95 % intervals over '
    f'{result["clusters"]}s; hollow: too few to be compared',
    size=8,
  )
  figures.save(figure, path)


def _title(name: str, table: Mapping[str, Any]) -> str:
  if 'gap' not in table:
    return _plain(name)
  sure = [row['p_holm'] for row in table['groups'].values() if 'p_holm' in row]
  p = min(sure)
  least = f'p = {p:.3f}' if p >= 0.001 else 'p < 0.001'
  return _plain(f'{name}: gap {table["gap"]:.3f}, {least} (Holm)')


def _plain(text: str) -> str:
  return text.replace('$', r'\$')
