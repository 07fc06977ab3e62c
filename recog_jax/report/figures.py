"""Pictures of a run: confusion matrix, contact sheet, scatter, curves.

They are drawn on `Figure` objects, without pyplot's global state, so they can
be made in any thread and on machines without a display.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recog_jax.storage import AnyPath

_ANNOTATED = 20  # Classes up to which every cell shows its count.
_NAMED = 60  # Classes up to which every row and column shows its name.
_CAPTION = 30  # Letters of size 8 above an image.
_CELLS = 350  # Rows of a picture in which single cells can still be seen.
_PANELS = 9  # Numbers that are drawn, of several to predict.
_CONFUSED = 10  # Pairs that are listed where the cells show no count.


def confusion_matrix(
  path: AnyPath, counts: np.ndarray, label_names: Sequence[str]
) -> None:
  """Draws a confusion matrix: colours by share of the row, counts as text.

  With many classes single cells cannot be read, so the pairs that are confused
  most often are listed beside the matrix.

  Args:
    path: the PNG to write.
    counts: int `v v`, rows true and columns predicted.
    label_names: v names.
  """
  counts = np.asarray(counts)
  v = len(counts)
  names = [_short(name, 16) for name in label_names]
  side = float(np.clip(2.5 + 0.5 * v, 5, 11))
  if v <= _ANNOTATED:
    figure = _figure(side + 1.2, side)
    axes = figure.add_subplot()
  else:
    figure = _figure(side + 4.5, side)
    axes, text = figure.subplots(1, 2, width_ratios=[side + 1.2, 3.3])
    text.axis('off')
    text.text(0, 1, _confused(counts, names), va='top', size=9)
  share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  # The square root shows the rare errors, which a linear scale would not.
  image = axes.imshow(
    _pooled(share),
    cmap='Blues',
    norm=PowerNorm(0.5, 0, 1),
    interpolation='nearest',
    extent=(-0.5, v - 0.5, v - 0.5, -0.5),
  )
  bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.02)
  bar.set_label('share of the true class')
  bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
  bar.set_ticklabels(['0', '1 %', '5 %', '10 %', '25 %', '50 %', '100 %'])
  axes.set(xlabel='predicted class', ylabel='true class')
  total, right = counts.sum(), np.trace(counts)
  axes.set_title(f'Confusion matrix: {right} of {total} examples right')
  if v <= _NAMED:
    size = 9 if v <= _ANNOTATED else 6
    axes.set_xticks(range(v), names, rotation=90 if v > 6 else 0, size=size)
    axes.set_yticks(range(v), names, size=size)
  if v <= _ANNOTATED:
    _write_counts(axes, counts, share)
  save(figure, path)


def contact_sheet(
  path: AnyPath,
  images: Sequence[np.ndarray],
  captions: Sequence[str],
  title: str,
  *,
  columns: int = 6,
) -> None:
  """Draws images in a grid, each with its caption.

  Args:
    path: the PNG to write.
    images: uint8 `h w c` each (c 1 or 3, sizes may differ), or `k h w c`.
    captions: one for each image; line breaks are kept, long lines are cut.
    title: stands above the sheet.
    columns: images in a row.
  """
  rows = max(1, math.ceil(len(images) / columns))
  lines = max((caption.count('\n') + 1 for caption in captions), default=1)
  text = 0.15 * lines + 0.1
  width, height = 1.9 * columns, (1.7 + text) * rows + 0.45
  # Placed by hand: the automatic layout takes seconds for so many axes.
  figure = Figure((width, height))
  figure.suptitle(title, y=1 - 0.1 / height, va='top')
  figure.subplots_adjust(
    left=0.1 / width,
    right=1 - 0.1 / width,
    bottom=0.1 / height,
    top=1 - (0.45 + text) / height,
    wspace=0.1,
    hspace=text / 1.7,
  )
  for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
    axes = figure.add_subplot(rows, columns, i + 1)
    image = np.asarray(image)
    if image.shape[-1] == 1:
      axes.imshow(image[..., 0], cmap='gray', vmin=0, vmax=255)
    else:
      axes.imshow(image)
    lines = [_short(line, _CAPTION) for line in caption.split('\n')]
    axes.set_title('\n'.join(lines), size=8)
    axes.axis('off')
  save(figure, path)


def scatter(
  path: AnyPath,
  target: np.ndarray,
  prediction: np.ndarray,
  names: Sequence[str],
) -> None:
  """Draws predicted over true numbers, a panel for each of the first nine.

  Args:
    path: the PNG to write.
    target: float `n v`.
    prediction: float `n v`.
    names: v names.
  """
  shown = min(len(names), _PANELS)
  columns = math.ceil(math.sqrt(shown))
  rows = math.ceil(shown / columns)
  figure = _figure(4.4 * columns, 4.4 * rows)
  for i in range(shown):
    axes = figure.add_subplot(rows, columns, i + 1)
    x, y = target[:, i], prediction[:, i]
    axes.scatter(x, y, s=8, alpha=0.4, linewidths=0)
    known = x[np.isfinite(x)]
    ends = [known.min(initial=np.inf), known.max(initial=-np.inf)]
    if ends[0] < ends[1]:
      axes.plot(ends, ends, color='0.5', linewidth=1)
    axes.set(xlabel='true', ylabel='predicted', title=_short(names[i], 40))
    axes.grid(alpha=0.3)
  save(figure, path)


def curves(
  path: AnyPath,
  rows: Sequence[Mapping[str, Any]],
  *,
  panels: Sequence[str] | None = None,
  title: str = '',
) -> None:
  """Draws metrics over the steps, one panel for each metric.

  Args:
    path: the PNG to write.
    rows: the lines of metrics.jsonl, `{'step': 100, 'kind': 'train', 'loss':
      ...}`. Each kind is a line. A row need not hold every metric; what is not
      a finite number is left out.
    panels: the metrics to draw, in this order; those without a number are left
      out. By default all, in the order in which they first appear.
    title: stands above the panels.
  """
  lines = _lines(rows)
  shown = [p for p in (lines if panels is None else panels) if p in lines]
  columns = min(3, max(1, math.ceil(math.sqrt(len(shown)))))
  height = max(1, math.ceil(len(shown) / columns))
  figure = _figure(5 * columns, 3.2 * height + (0.4 if title else 0))
  figure.suptitle(_short(title, 80))
  kinds = dict.fromkeys(kind for panel in lines.values() for kind in panel)
  colors = {kind: f'C{i}' for i, kind in enumerate(kinds)}
  for i, panel in enumerate(shown):
    axes = figure.add_subplot(height, columns, i + 1)
    for kind, points in lines[panel].items():
      few = {'marker': 'o', 'markersize': 3} if len(points) <= 60 else {}
      axes.plot(
        *zip(*points, strict=True), label=kind, color=colors[kind], **few
      )
    name = _short(panel.replace('_', ' '), 60)
    axes.set(title=name, xlabel='step', ylabel=name)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend()
  if not shown:
    figure.text(0.5, 0.5, 'no numbers were logged', ha='center')
  save(figure, path)


def wer_curves(
  path: AnyPath,
  runs: Mapping[str, Sequence[Mapping[str, Any]]],
  *,
  metrics: Sequence[str] = ('wer', 'cer'),
  title: str = '',
) -> None:
  """Draws error rates of several runs over wall minutes and over steps.

  Args:
    path: the PNG to write.
    runs: name -> the lines of its metrics.jsonl. Rates are taken from `val`
      lines; their minutes lie between those of the `train` lines around them
      (`time/seconds`, with evaluations and compilation).
    metrics: rates in [0, 1], a row of panels each; those that no run has are
      left out. A run's last value stands in the legend.
    title: stands above the panels.
  """
  points = {run: _lines(rows) for run, rows in runs.items()}
  shown = [
    m for m in metrics if any('val' in p.get(m, {}) for p in points.values())
  ]
  figure = _figure(10, 3.4 * max(1, len(shown)) + (0.4 if title else 0))
  figure.suptitle(title)
  if not shown:
    figure.text(0.5, 0.5, 'no error rates were logged', ha='center')
    save(figure, path)
    return
  panels = figure.subplots(len(shown), 2, sharey='row', squeeze=False)
  for (minutes, steps), metric in zip(panels, shown, strict=True):
    for i, (run, lines) in enumerate(points.items()):
      if 'val' not in lines.get(metric, {}):
        continue
      step, rate = np.array(lines[metric]['val']).T
      label = f'{_short(run, _CAPTION)}: {100 * rate[-1]:.1f} %'
      style = {'color': f'C{i}', 'marker': 'o', 'markersize': 3}
      steps.plot(step, 100 * rate, label=label, **style)
      clock = lines.get('time/seconds', {}).get('train')
      if clock:
        minutes.plot(wall_minutes(clock, step), 100 * rate, **style)
    minutes.set(ylabel=f'{metric.upper()} in %', xlabel='wall minutes')
    steps.set(xlabel='step')
    steps.legend()
    for axes in (minutes, steps):
      axes.set_ylim(bottom=0)
      axes.set_xlim(left=0)
      axes.grid(alpha=0.3)
  save(figure, path)


def wall_minutes(
  clock: Sequence[tuple[int, float]], steps: np.ndarray | float
) -> np.ndarray | float:
  """Minutes of steps, between those that the log tells.

  Args:
    clock: (step, seconds since the begin) of log lines.
    steps: whose minutes are asked for.
  """
  at, seconds = np.array([(0, 0.0), *clock]).T
  return np.interp(steps, at, seconds) / 60


def _figure(width: float, height: float) -> Figure:
  return Figure((width, height), layout='constrained')


def save(figure: Figure, path: AnyPath) -> None:
  """Writes a figure as a PNG."""
  FigureCanvasAgg(figure)
  with path.open('wb') as file:  # On a bucket, too.
    figure.savefig(file, format='png', dpi=120)


def _short(name: str, length: int) -> str:
  name = name if len(name) <= length else name[: length - 1] + '…'
  return name.replace('$', r'\$')  # Else matplotlib reads it as a formula.


def _pooled(share: np.ndarray) -> np.ndarray:
  """The largest of each block, so that no error falls between two pixels."""
  block = math.ceil(len(share) / _CELLS)
  starts = np.arange(0, len(share), block)
  rows = np.maximum.reduceat(share, starts, axis=0)
  return np.maximum.reduceat(rows, starts, axis=1)


def _write_counts(axes, counts: np.ndarray, share: np.ndarray) -> None:
  size = 10 if len(counts) <= 12 else 7
  for (row, column), count in np.ndenumerate(counts):
    if count:
      color = 'white' if share[row, column] > 0.4 else 'black'
      axes.text(
        column, row, count, ha='center', va='center', color=color, size=size
      )


def _confused(counts: np.ndarray, names: Sequence[str]) -> str:
  """The most frequent errors as lines of text."""
  errors = counts.copy()
  np.fill_diagonal(errors, 0)
  order = np.argsort(-errors, axis=None, kind='stable')[:_CONFUSED]
  lines = ['most frequent errors', '(true → predicted)', '']
  for row, column in zip(*np.unravel_index(order, errors.shape), strict=True):
    if errors[row, column]:
      lines.append(f'{errors[row, column]}  {names[row]} → {names[column]}')
  return '\n'.join(lines)


def _lines(rows) -> dict[str, dict[str, list[tuple[int, float]]]]:
  """metric -> kind -> points (step, value)."""
  lines = {}
  for row in rows:
    for name, value in row.items():
      number = isinstance(value, (int, float)) and math.isfinite(value)
      if number and name != 'step':
        kinds = lines.setdefault(name, {})
        kinds.setdefault(row['kind'], []).append((row['step'], value))
  return lines
