"""Drawings of verification: both curves, and two pictures beside each other."""

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtri

from recog_jax.metrics.verification import Pairs
from recog_jax.report import figures
from recog_jax.storage import AnyPath

_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def curves(path: AnyPath, pairs: Pairs) -> None:
  """Draws ROC and DET curves, and the scores of both kinds of pairs.

  The DET curve has normal deviates on both axes (Martin et al., "The DET curve
  in assessment of detection task performance", Eurospeech 1997).

  Args:
    path: the PNG to write.
    pairs: with scores.
  """
  figure = Figure((15, 4.6), layout='constrained')
  roc, det, scores = figure.subplots(1, 3)
  _, far, tar = pairs.roc()
  values = pairs.compute()
  roc.plot(far, tar)
  roc.set(
    xlabel='false accept rate',
    ylabel='true accept rate',
    title=f'ROC: AUC {values["auc"]:.4f}',
    xlim=(0, 1),
    ylim=(0, 1.01),
  )
  inside = (far > 0) & (far < 1) & (tar > 0) & (tar < 1)
  det.plot(ndtri(far[inside]), ndtri(1 - tar[inside]))
  ticks = ndtri(_TICKS)
  names = [f'{100 * t:g} %' for t in _TICKS]
  det.set_xticks(ticks, names)
  det.set_yticks(ticks, names)
  det.set(
    xlabel='false accept rate',
    ylabel='genuine pairs refused',
    title=f'DET: EER {100 * values["eer"]:.2f} %',
    xlim=(ticks[0], ticks[-1]),
    ylim=(ticks[0], ticks[-1]),
  )
  finite = pairs.score[np.isfinite(pairs.score)]
  bins = np.linspace(finite.min(), finite.max() + 1e-9, 60).tolist()
  for name, kind in (('one person', pairs.same), ('two people', ~pairs.same)):
    scores.hist(pairs.score[kind], bins, density=True, alpha=0.6, label=name)
  scores.set(xlabel='score', ylabel='density', title='scores of pairs')
  scores.legend()
  for axes in (roc, det, scores):
    axes.grid(alpha=0.3)
  figures.save(figure, path)


def beside(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Two pictures uint8 `h w c` of any sizes as one, with a gap between."""
  h = max(first.shape[0], second.shape[0])
  gap = max(2, h // 32)
  width = first.shape[1] + gap + second.shape[1]
  sheet = np.full((h, width, first.shape[2]), 255, np.uint8)
  sheet[: first.shape[0], : first.shape[1]] = first
  sheet[: second.shape[0], first.shape[1] + gap :] = second
  return sheet
