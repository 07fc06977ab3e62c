"""What probabilities and decisions are worth: a table, and a figure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recog_jax.metrics import operating_point
from recog_jax.metrics.calibration import Bins
from recog_jax.metrics.roc import Ranking
from recog_jax.report import figures
from recog_jax.report.table import aligned
from recog_jax.storage import AnyPath

# (name, probability `n`, there bool `n`) of what is looked for.
Case = tuple[str, np.ndarray, np.ndarray]
# Okabe and Ito's colours, which the colour-blind tell apart.
_COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
_RATES = ('sensitivity', 'specificity', 'ppv', 'npv')
_MARKERS = 'osD^vP*X'


def points_table(points: Sequence[Mapping[str, Any]]) -> str:
  """A line for each label and operating point, with intervals.

  Args:
    points: of `clinical.measure`, `operating_points`.
  """
  many = len({row['label'] for row in points}) > 1
  heads = ['operating point of val', 'threshold', *_RATES]
  rows = [[*(['label'] if many else []), *heads]]
  for row in points:
    cells = [row['label']] if many else []
    cells += [row['rule'], _number(row['threshold'])]
    for name in _RATES:
      low, high = map(_number, row[f'{name}_ci95'])
      cells.append(f'{_number(row[name])} ({low} - {high})')
    rows.append(cells)
  return aligned(rows)


def prevalence_table(points: Sequence[Mapping[str, Any]]) -> str:
  """Predictive values of each operating point at each prevalence."""
  first = points[0]['at_prevalence']['prevalence']
  many = len({row['label'] for row in points}) > 1
  rows = [['PPV / NPV at a prevalence of', *(f'{p:.1%}' for p in first)]]
  for row in points:
    found = row['at_prevalence']
    cells = [f'{row["label"]}, {row["rule"]}' if many else row['rule']]
    for ppv, npv in zip(found['ppv'], found['npv'], strict=True):
      cells.append(f'{_number(ppv)} / {_number(npv)}')
    rows.append(cells)
  return aligned(rows)


def _number(value: float) -> str:
  return f'{value:.3f}' if math.isfinite(value) else '-'


def draw(
  path: AnyPath,
  bins: Mapping[str, Bins],
  cases: Sequence[Case],
  nested: Mapping[str, Any],
) -> None:
  """Writes a PNG: reliability, and of what is looked for five curves.

  ROC and precision-recall with the operating points, predictive values over
  prevalence, the decision curve, and how right the surer answers are.

  Args:
    path: the PNG.
    bins: the reliability diagram, before and after a temperature.
    cases: what is looked for; (): several classes, of which nothing more is
      drawn than reliability and abstention.
    nested: `operating_points` and `selective` of `clinical.measure`.
  """
  figure = Figure((15, 8.6 if cases else 4.6), layout='constrained')
  axes = figure.subplots(2 if cases else 1, 3 if cases else 2).ravel()
  reliability(axes[0], bins)
  rest = axes[1:]
  if cases:
    points = nested.get('operating_points', ())
    roc_and_precision(axes[1], axes[2], cases, points)
    over_prevalence(axes[3], points)
    decision_curve(axes[4], cases)
    rest = axes[5:]
  if 'selective' in nested:
    selective(rest[0], nested['selective'])
  else:
    rest[0].set_axis_off()
  figures.save(figure, path)


def reliability(axes: Any, bins: Mapping[str, Bins]) -> None:
  """How often answers of each confidence are right."""
  axes.plot([0, 1], [0, 1], color='0.7', lw=1)
  colours = _COLOURS[:2] if len(bins) == 1 else _COLOURS[1::-1]
  for (name, each), colour in zip(bins.items(), colours, strict=False):
    size = 12 + 200 * each.count / max(each.count.sum(), 1)
    axes.plot(each.confidence, each.right, color=colour, lw=1)
    axes.scatter(
      each.confidence,
      each.right,
      size,
      color=colour,
      label=f'{name}: ECE {each.error():.3f}',
    )
  axes.set(
    xlabel='probability of the answer',
    ylabel='share that is right',
    title='reliability (areas: examples)',
    xlim=(0, 1),
    ylim=(-0.02, 1.02),
  )
  axes.legend(loc='upper left')


def roc_and_precision(
  roc: Any,
  precision: Any,
  cases: Sequence[Case],
  points: Sequence[Mapping[str, Any]],
) -> None:
  """Both curves of each case, and where thresholds of another split lie."""
  many = len(cases) > 1
  for (name, score, positive), colour in zip(cases, _COLOURS, strict=False):
    if positive.all() or not positive.any():
      continue
    _, false, found = Ranking(score, positive).curve()
    area = float(np.trapezoid(found, false))
    roc.plot(false, found, color=colour, label=f'{name}: AUC {area:.3f}')
    n, p = (~positive).sum(), positive.sum()
    said = found * p + false * n
    some = said > 0
    right = found[some] * p / said[some]
    mean = float((np.diff(found[some], prepend=0) * right).sum())
    precision.step(
      found[some],
      right,
      where='pre',
      color=colour,
      label=f'{name}: average precision {mean:.3f}',
    )
    precision.axhline(positive.mean(), color=colour, lw=0.5, ls=':')
    own = [row for row in points if row['label'] == name]
    for row, marker in zip(own, _MARKERS, strict=False):
      label = None if many else row['rule']
      style = {'color': 'k', 'marker': marker, 'ls': '', 'zorder': 3}
      roc.plot(1 - row['specificity'], row['sensitivity'], label=label, **style)
      precision.plot(row['sensitivity'], row['ppv'], **style)
  roc.plot([0, 1], [0, 1], color='0.7', lw=1)
  roc.set(xlabel='1 - specificity', ylabel='sensitivity', title='ROC')
  precision.set(
    xlabel='sensitivity (recall)',
    ylabel='PPV (precision)',
    title='precision and recall (dotted: prevalence)',
    ylim=(0, 1.02),
  )
  for axes in (roc, precision):
    if axes.get_legend_handles_labels()[0]:
      axes.legend(loc='lower right' if axes is roc else 'lower left')


def over_prevalence(axes: Any, points: Sequence[Mapping[str, Any]]) -> None:
  """What an answer means, by how many of those tested are ill."""
  at = np.logspace(-3, np.log10(0.9), 60)
  first = points[0]['label'] if points else ''
  own = [row for row in points if row['label'] == first]
  for row, colour in zip(own, _COLOURS, strict=False):
    ppv, npv = operating_point.predictive_values(
      np.asarray(row['sensitivity']), np.asarray(row['specificity']), at
    )
    axes.plot(at, ppv, color=colour, label=f'PPV, {row["rule"]}')
    axes.plot(at, npv, color=colour, ls='--', label=f'NPV, {row["rule"]}')
    given = row['at_prevalence']
    for p, (low, high) in zip(
      given['prevalence'], given['ppv_ci95'], strict=True
    ):
      axes.plot([p, p], [low, high], color=colour, lw=3, alpha=0.4)
  axes.set(
    xscale='log',
    xlabel='prevalence',
    title=f'predictive values{f" of {first}" if first else ""}',
    ylim=(0, 1.02),
  )
  if own:
    axes.legend(fontsize=8)
  else:
    _say(axes, 'no operating point was chosen:\nevaluate --calibrate')


def decision_curve(axes: Any, cases: Sequence[Case]) -> None:
  """Net benefit over the threshold from which on somebody wants treatment."""
  at = np.arange(1, 96) / 100
  lowest = 0.0
  for (name, score, positive), colour in zip(cases, _COLOURS, strict=False):
    if not len(score):
      continue
    found = operating_point.net_benefit(score, positive, at)
    axes.plot(at, found['model'], color=colour, label=name)
    axes.plot(at, found['all'], color=colour, lw=0.7, ls=':')
    lowest = max(lowest, float(positive.mean()))
  axes.axhline(0, color='0.5', lw=1)
  axes.set(
    xlabel='threshold probability',
    ylabel='net benefit',
    title='decision curve (dotted: treat all; 0: treat nobody)',
    ylim=(-0.15 * max(lowest, 0.1), 1.1 * max(lowest, 0.1)),
  )
  axes.legend()


def selective(axes: Any, found: Mapping[str, Any]) -> None:
  """How right answers are if the least sure are left to somebody else."""
  axes.plot(found['coverage'], found['accuracy'], color=_COLOURS[0], marker='o')
  axes.set(
    xlabel='share that is answered, the surest first',
    ylabel='share of these that is right',
    title='abstention (area of risk and coverage '
    f'{found["risk_coverage_area"]:.4f})',
    xlim=(0, 1.02),
  )


def _say(axes: Any, text: str) -> None:
  axes.text(0.5, 0.5, text, ha='center', va='center', transform=axes.transAxes)
