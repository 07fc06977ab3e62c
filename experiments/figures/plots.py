"""Draws the three figures from their rows, and says what stands under them."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.figures.rows import Row, pareto
from recog_jax.metrics.bootstrap import interval_of_mean

_MARKERS = 'osD^vPX*<>'
_LETTERS = 17  # Of the caption, in an inch.
_CAPTION = {'size': 7.5, 'color': '0.3', 'ha': 'left', 'va': 'bottom'}


def accuracy(stem: Path, rows: Sequence[Row], caption: str) -> None:
  """A bar a network, with the interval of its mean and a dot a seed."""
  names = list(dict.fromkeys(row['network'] for row in rows))
  figure = Figure((max(6.0, 1.35 * len(names) + 1), 4.6), layout='constrained')
  axes = figure.add_subplot()
  lowest = 1.0
  for i, name in enumerate(names):
    mine = [row for row in rows if row['network'] == name]
    shares = [row['accuracy'] for row in mine]
    mean = float(np.mean(shares))
    low, high = interval_of_mean(shares, mine[0]['test_examples'])
    lowest = min(lowest, low, *shares)
    axes.bar(i, 100 * mean, color=f'C{i}', alpha=0.75, width=0.65)
    error = [[100 * (mean - low)], [100 * (high - mean)]]
    axes.errorbar(i, 100 * mean, error, color='black', capsize=5)
    spread = i + 0.06 * (np.arange(len(shares)) - (len(shares) - 1) / 2) - 0.2
    axes.plot(spread, [100 * s for s in shares], 'ko', markersize=3)
    axes.annotate(
      f'{100 * mean:.1f}',
      (i + 0.08, 100 * high),
      xytext=(0, 3),
      textcoords='offset points',
      size=9,
    )
  labels = [_label([r for r in rows if r['network'] == name]) for name in names]
  axes.set_xticks(range(len(names)), labels, size=8.5)
  # Bars are compared by length, so they begin at zero unless that hides all.
  axes.set_ylim(bottom=0 if lowest < 0.8 else 100 * (lowest - 0.05))
  axes.set(ylabel='test accuracy in %')
  axes.set_title(f'Accuracy on {rows[0]["data"]} after equal epochs')
  axes.grid(axis='y', alpha=0.3)
  save(figure, stem, caption)


def _label(rows: Sequence[Row]) -> str:
  row = rows[0]
  size = f'\n{row["size"]}' if row['size'] else ''
  return f'{row["network"]}{size}\n{row["parameters"] / 1e6:.2f} M'


def wer(stem: Path, rows: Sequence[Row], caption: str) -> None:
  """A panel a data set: lines of validation WER over wall minutes."""
  sets = list(dict.fromkeys(row['data'] for row in rows))
  names = list(dict.fromkeys(row['network'] for row in rows))
  figure = Figure((5.4 * len(sets) + 0.6, 4.8), layout='constrained')
  panels = figure.subplots(1, len(sets), squeeze=False)[0]
  for axes, data in zip(panels, sets, strict=True):
    here = [row for row in rows if row['data'] == data]
    for name in names:
      mine = [row for row in here if row['network'] == name]
      for decoder, style in (('greedy', '-'), ('language model', '--')):
        _wer_line(axes, mine, decoder, f'C{names.index(name)}', style)
    axes.set(
      title=f'{data}: validation',
      xlabel='wall minutes of training',
      ylabel='word error rate in %',
    )
    highest = max(row['wer'] for row in here if row['split'] == 'val')
    axes.set_ylim(0, max(105, 100 * highest + 3))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7.5, title='test WER at the end', title_fontsize=8)
  save(figure, stem, caption)


def _wer_line(
  axes: Axes, rows: Sequence[Row], decoder: str, color: str, style: str
) -> None:
  mine = [row for row in rows if row['decoder'] == decoder]
  points = sorted(
    (row['minutes'], 100 * row['wer']) for row in mine if row['split'] == 'val'
  )
  if not points:
    return
  label = f'{mine[0]["network"]}, {decoder}'
  for row in mine:
    if row['split'] == 'test':
      label += f': {100 * row["wer"]:.1f}'
      if row['wer_low'] is not None:
        label += f' ({100 * row["wer_low"]:.1f} to {100 * row["wer_high"]:.1f})'
  axes.plot(
    *zip(*points, strict=True),
    style,
    marker='o',
    ms=3,
    color=color,
    label=label,
  )


def tradeoff(stem: Path, rows: Sequence[Row], caption: str) -> None:
  """Accuracy over minutes, over FLOPs and over estimated TPU seconds."""
  costs: list[tuple[str, Callable[[Row], float | None]]] = [
    ('training, minutes here', lambda row: row['train_seconds'] / 60),
    ('training, TFLOP', lambda row: 1000 * row['train_pflop']),
    (
      f'training, seconds on one {rows[0]["tpu"].partition(":")[0]} chip: '
      'ESTIMATE',
      lambda row: row['tpu_seconds_estimated'],
    ),
  ]
  shown = [
    (label, cost)
    for label, cost in costs
    if all(cost(row) is not None for row in rows)
  ]
  names = list(dict.fromkeys(row['network'] for row in rows))
  figure = Figure((4.3 * len(shown) + 0.4, 4.8), layout='constrained')
  panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
  for axes, (label, cost) in zip(panels, shown, strict=True):
    points = []
    for i, name in enumerate(names):
      mine = [
        (cost(row), 100 * row['accuracy'])
        for row in rows
        if row['network'] == name
      ]
      points += mine
      style = {'marker': _MARKERS[i % len(_MARKERS)], 'color': f'C{i}'}
      axes.scatter(*zip(*mine, strict=True), s=28, label=name, **style)
    front = pareto(points)
    axes.plot(
      *zip(*front, strict=True),
      color='black',
      lw=1,
      ls=':',
      label='Pareto front',
    )
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f'{x:g}'))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=label)
    axes.grid(alpha=0.3, which='both')
  panels[0].set(ylabel='test accuracy in %')
  handles, labels = panels[0].get_legend_handles_labels()
  figure.legend(handles, labels, fontsize=8, loc='outside right upper')
  figure.suptitle(f'Training cost against accuracy, {rows[0]["data"]}')
  save(figure, stem, caption)


def save(figure: Figure, stem: Path, caption: str) -> None:
  """Writes STEM.png and STEM.svg, the caption beneath."""
  # Constrained layout keeps room for this label, below all panels.
  width = round(_LETTERS * figure.get_figwidth())
  figure.supxlabel(textwrap.fill(caption, width), x=0.01, **_CAPTION)
  FigureCanvasAgg(figure)
  figure.savefig(stem.with_suffix('.png'), dpi=130)
  # The same rows give the same bytes.
  with mpl.rc_context({'svg.hashsalt': stem.name}):
    figure.savefig(stem.with_suffix('.svg'), metadata={'Date': None})


# -- captions ------------------------------------------------------------------


def caption(study: str, budget: str, rows: Sequence[Row]) -> str:
  """Budget, hardware, data, lengths and widths of a figure's trainings."""
  count = len({row['trial'] for row in rows})
  devices = _either(row['devices'] for row in rows)
  begin = f'Budget `{budget}`: {count} trainings on {devices}'
  if study == 'wer':
    return f'{begin}, one seed each. {_steps(rows)} {_decoding(rows)}'
  images = f'{rows[0]["test_examples"]:,} test images'
  text = (
    f'{begin}, {_either(row["epochs"] for row in rows)} epochs of '
    f'{rows[0]["data"]} ({_either(row["split"] for row in rows)}), batch '
    f'{_either(row["batch"] for row in rows)}; {images}. '
  )
  if study == 'accuracy':
    seeds = len({row['seed'] for row in rows})
    text += f'{seeds} seeds (dots); bars are means with 95 % intervals. '
  return text + _sizes(rows)


def _either(values: Iterable[Any]) -> str:
  """Each value once: 0.5 or 1."""
  each = sorted(set(values))
  return ' or '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in each)


def _sizes(rows: Sequence[Row]) -> str:
  sizes = {row['network']: row['size'] for row in rows if row['size']}
  if not sizes:
    return ''
  return '; '.join(f'{name}: {size}' for name, size in sizes.items()) + '.'


def _steps(rows: Sequence[Row]) -> str:
  parts = []
  for data in dict.fromkeys(row['data'] for row in rows):
    steps = {
      row['network']: row['total_steps'] for row in rows if row['data'] == data
    }
    each = ', '.join(f'{name} {n:,}' for name, n in steps.items())
    parts.append(f'{data}: {each}')
  return f'Steps: {"; ".join(parts)}.'


def _decoding(rows: Sequence[Row]) -> str:
  with_model = {row['data'] for row in rows if row['decoder'] != 'greedy'}
  if not with_model:
    return 'Greedy decoding.'
  return (
    'Solid: greedy. Dashed: beam search with 6-grams of tokens of the training '
    f'transcripts ({", ".join(sorted(with_model))}).'
  )
