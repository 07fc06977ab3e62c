"""Drawings of confidence: whether it is right, and what a person would save."""

import numpy as np
from matplotlib.figure import Figure

from recog_jax.metrics import confidence as metrics
from recog_jax.report import figures
from recog_jax.storage import AnyPath

_BINS = 10


def draw(
  path: AnyPath,
  words: np.ndarray,
  right: np.ndarray,
  utterances: np.ndarray,
  errors: np.ndarray,
  units: np.ndarray,
) -> None:
  """Draws the share of right words by confidence, and handing over.

  Args:
    path: the PNG to write.
    words: `w`, confidences in 0..1.
    right: bool `w`.
    utterances: `n`, confidences.
    errors: `n`, errors of each utterance.
    units: `n`, reference words of each.
  """
  figure = Figure((10, 4.4), layout='constrained')
  reliability, saved = figure.subplots(1, 2)
  bins = np.clip((words * _BINS).astype(int), 0, _BINS - 1)
  count = np.bincount(bins, minlength=_BINS)
  there = count > 0
  share = np.bincount(bins, right, _BINS)[there] / count[there]
  mean = np.bincount(bins, words, _BINS)[there] / count[there]
  reliability.plot([0, 1], [0, 1], ':', color='0.5')
  reliability.plot(mean, share, 'o-')
  for x, y, n in zip(mean, share, count[there], strict=True):
    reliability.annotate(f'{n}', (x, y), size=7, color='0.3')
  reliability.set(
    xlabel='confidence of words',
    ylabel='share that is right (numbers: words)',
    xlim=(0, 1),
    ylim=(0, 1.03),
  )
  shares = np.linspace(0, 0.95, 39).tolist()
  rows = metrics.hand_over(utterances, errors, units, shares)
  x = [100 * row['handed_over'] for row in rows]
  for name, label in (
    ('accuracy', 'utterances without error'),
    ('error_rate', 'word error rate'),
  ):
    saved.plot(x, [100 * row[name] for row in rows], label=label)
  saved.set(
    xlabel='share handed over to a person, in %',
    ylabel='of the others, in %',
    ylim=(0, None),
  )
  saved.legend()
  for axes in (reliability, saved):
    axes.grid(alpha=0.3)
  figures.save(figure, path)
