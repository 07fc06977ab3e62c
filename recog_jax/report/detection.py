"""The curve of a detector: what it misses, by false alarms an hour."""

import numpy as np
from matplotlib.figure import Figure

from recog_jax.metrics.detection import Trials
from recog_jax.report import figures
from recog_jax.storage import AnyPath


def curve(path: AnyPath, trials: Trials, rate: float) -> None:
  """Draws the trade of misses against false alarms (a DET curve).

  False alarms an hour are logarithmic, as they are told for keywords; what no
  false alarm costs stands at the left edge.

  Args:
    path: the PNG to write.
    trials: with positives.
    rate: false alarms an hour that are marked.
  """
  _, missed, false = trials.curve()
  figure = Figure((6.4, 4.4), layout='constrained')
  axes = figure.subplots()
  least = 0.5 / max(trials.negative_hours, 1e-9)
  axes.step(np.maximum(false, least), 100 * missed, where='post')
  axes.set_xscale('log')
  if rate > 0:
    axes.axvline(max(rate, least), color='0.6', ls=':')
  axes.set(
    xlabel=f'false alarms an hour, of {trials.negative_hours:.2g} hours',
    ylabel=f'missed, of {len(trials.best)} keywords, in %',
    title=f'{100 * trials.frr(rate):.2f} % missed at {rate:g} an hour',
    ylim=(0, None),
  )
  axes.grid(alpha=0.3, which='both')
  figures.save(figure, path)
