"""Pictures of what augmentation does to speech, in rows with names, as one PNG.

A second is as long in every picture, and colours mean the same within a
section of a column.
"""

import dataclasses
import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator

from experiments.show_batch import speech_rows
from experiments.show_batch.speech_rows import Panel, Row
from experiments.show_batch.utterances import choose
from recog_jax import registry
from recog_jax.data.speech.batch import Normaliser
from recog_jax.data.speech.items import Join
from recog_jax.data.splits import split_bounds
from recog_jax.features import Mfcc

DPI = 100
# In inches: the sheet, what stands beside and above the panels, the panels.
_WIDTH, _LEFT, _RIGHT, _NAME = 16.0, 2.35, 0.15, 0.12
_HEAD, _SECTION, _AXIS, _GAP, _COLUMN_GAP = 0.95, 0.4, 0.36, 0.18, 0.24
_WAVE, _FRAMES = 0.34, 0.8
# The narrowest column, as a share of the widest.
_NARROWEST = 0.3
# Percentiles of a section's values where the colours end.
_ENDS = (1.0, 99.7)
_WARP, _SOUND, _TITLE, _GREY = '#ffffff', '#30506e', '#a03000', '#555555'
# Red, green, blue and opacity of what lies over masks.
_MASK = (0.2, 0.9, 1.0, 0.4)
# Letters to an inch, of transcripts and of an op's keys.
_LETTERS, _SMALL_LETTERS = 12, 17


@dataclasses.dataclass(frozen=True)
class Shown:
  """What a sheet is made of.

  Attributes:
    labels: transcript of each column, shown above it.
    captions: what else stands there.
    rows: as many panels in each as labels.
    hop_s: seconds between frames.
    feature: what the numbers of a frame are, for the axis.
  """

  labels: Sequence[str]
  captions: Sequence[str]
  rows: Sequence[Row]
  hop_s: float
  feature: str = 'mel index'


# Keys of `config.data` that may be left out.
_DEFAULTS = {
  'augment': (),
  'speeds': (1.0,),
  'join': None,
  'cmvn': None,
  'deliver': 'features',
  'max_seconds': None,
}


def read(config: Any, data_dir: str | None, count: int) -> Shown:
  """All rows, of utterances of a config's training split.

  Args:
    config: of the experiment.
    data_dir: where data sets are looked for.
    count: utterances.

  Raises:
    UserError: the config or its data have a fault.
  """
  keys = dict(config.data)
  source = registry.build('source', keys.pop('source'), data_dir=data_dir)
  data = registry.build(
    'data', keys, source=source, seed=config.seed, data_dir=data_dir
  )
  keys = {**_DEFAULTS, **keys}
  name, start, stop = split_bounds(keys['splits']['train'], source.sizes())
  records = source.records(name)
  features = data.info.features
  chosen = choose(
    records,
    start,
    records.utterances.take(np.arange(start, stop)),
    data.training_texts(),
    count=count,
    join=None if keys['join'] is None else Join(**keys['join']),
    sample_rate=features.sample_rate,
    max_seconds=keys['max_seconds'],
  )
  plain = dataclasses.replace(features, normalise='none', deltas=0)
  normaliser = Normaliser.read(keys['cmvn'], data_dir)
  rows = [
    *speech_rows.wave_rows(chosen, plain),
    *speech_rows.frame_rows(chosen, plain),
    *speech_rows.config_rows(
      chosen, data.info, normaliser, keys, config.seed, data_dir
    ),
  ]
  captions = [
    f'{first}, speaker {speaker}' if speaker else first
    for first, speaker in zip(
      chosen.fields('id'), chosen.fields('speaker'), strict=True
    )
  ]
  feature = 'cepstrum' if isinstance(features, Mfcc) else 'mel index'
  return Shown(chosen.labels, captions, rows, features.hop_s, feature)


def speech_sheet(shown: Shown, output: Path) -> None:
  """Writes rows of panels, with each column's transcript above it.

  Args:
    shown: the rows.
    output: the PNG file.
  """
  sheet = _Sheet(shown)
  sheet.write_head(shown.labels, shown.captions)
  top = _HEAD
  for section, rows in itertools.groupby(shown.rows, lambda row: row.section):
    top = sheet.write_section(section, list(rows), top)
  sheet.figure.savefig(output)


def sheet_size(rows: Sequence[Row]) -> tuple[float, float]:
  """Width and height of the sheet in inches."""
  sections = len(list(itertools.groupby(rows, lambda row: row.section)))
  tall = sum(_row_height(row) for row in rows)
  return _WIDTH, _HEAD + sections * (_SECTION + _AXIS) + tall


def _row_height(row: Row) -> float:
  return _FRAMES + _GAP + (_WAVE if row.panels[0].wave is not None else 0)


class _Sheet:
  """A figure that is filled from the top; places are in inches from there."""

  def __init__(self, shown: Shown):
    rows = shown.rows
    self._width, self._height = sheet_size(rows)
    self._hop_s, self._feature = shown.hop_s, shown.feature
    self.figure = Figure((self._width, self._height), dpi=DPI)
    FigureCanvasAgg(self.figure)
    longest = [
      max(panel.seconds for panel in column)
      for column in zip(*(row.panels for row in rows), strict=True)
    ]
    self._seconds = [max(s, _NARROWEST * max(longest)) for s in longest]
    room = self._width - _LEFT - _RIGHT - _COLUMN_GAP * (len(longest) - 1)
    self._wide = [s * room / sum(self._seconds) for s in self._seconds]
    self._left = _LEFT + np.cumsum([0, *(w + _COLUMN_GAP for w in self._wide)])

  def _write(self, x: float, top: float, text: str, **style: Any) -> None:
    self.figure.text(
      x / self._width,
      1 - top / self._height,
      text,
      parse_math=False,
      **{'va': 'top', **style},
    )

  def _axes(self, column: int, top: float, tall: float) -> Axes:
    place = (
      self._left[column] / self._width,
      1 - (top + tall) / self._height,
      self._wide[column] / self._width,
      tall / self._height,
    )
    axes = self.figure.add_axes(place, facecolor='#e4e4e4')
    axes.set_xlim(0, self._seconds[column])
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    return axes

  def write_head(self, labels: Sequence[str], captions: Sequence[str]) -> None:
    for k, (label, caption) in enumerate(zip(labels, captions, strict=True)):
      lines = textwrap.wrap(
        _drawable(label),
        int(self._wide[k] * _LETTERS),
        max_lines=4,
        placeholder=' …',
      )
      x, text = self._left[k], '\n'.join(lines)
      caption = _cut(caption, int(self._wide[k] * _SMALL_LETTERS))
      self._write(x, _HEAD - 0.24, text, size=9, weight='bold', va='bottom')
      self._write(x, _HEAD - 0.2, caption, size=8, color=_GREY)

  def write_section(
    self, section: str, rows: Sequence[Row], top: float
  ) -> float:
    """Draws rows below their common name; returns where the next one begins."""
    self._write(
      _NAME, top + 0.08, section, size=11, weight='bold', color=_TITLE
    )
    top += _SECTION
    scales = [
      _Scale.of(column)
      for column in zip(*(row.panels for row in rows), strict=True)
    ]
    for row in rows:
      self._write(_NAME, top + 0.04, row.name, size=9.5, weight='bold')
      detail = textwrap.fill(row.detail, int((_LEFT - 0.55) * _SMALL_LETTERS))
      self._write(_NAME, top + 0.23, detail, size=7.5, color=_GREY)
      for k, panel in enumerate(row.panels):
        axes = self._draw_panel(k, panel, top, scales[k])
        if k:
          axes.set_yticklabels([])
        else:
          axes.set_ylabel(self._feature, size=8, labelpad=2)
        if row is rows[-1]:
          axes.set_xlabel('time in s', size=8, labelpad=1)
        else:
          axes.set_xticklabels([])
      top += _row_height(row)
    return top + _AXIS

  def _draw_panel(
    self, column: int, panel: Panel, top: float, scale: '_Scale'
  ) -> Axes:
    """Returns the axes of the frames."""
    self._write(
      self._left[column] + self._wide[column],
      top - 0.02,
      panel.note,
      size=7,
      ha='right',
      va='bottom',
      color='#333333',
    )
    if panel.wave is not None:
      axes = self._axes(column, top, _WAVE)
      time = np.linspace(0, panel.seconds, len(panel.wave), endpoint=False)
      axes.plot(time, panel.wave, linewidth=0.4, color=_SOUND)
      axes.set_ylim(-scale.loudest, scale.loudest)
      axes.axis('off')
      top += _WAVE
    axes = self._axes(column, top, _FRAMES)
    t, f = panel.frames.shape
    # Frames stand in the middle, be the signal's ends padded or cut.
    start = (panel.seconds - t * self._hop_s) / 2
    stop = panel.seconds - start
    place = {
      'origin': 'lower',
      'aspect': 'auto',
      'interpolation': 'nearest',
      'extent': (start, stop, 0, f),
    }
    axes.imshow(
      panel.frames.T, cmap='magma', vmin=scale.low, vmax=scale.high, **place
    )
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    if panel.masked is not None:
      tint = np.zeros((f, t, 4), np.float32)
      tint[panel.masked.T] = _MASK
      axes.imshow(tint, **place)
    if panel.source is not None:
      _draw_warp(axes, start + panel.source * self._hop_s, start, stop, f)
    return axes


@dataclasses.dataclass(frozen=True)
class _Scale:
  """What all panels of one column and section share.

  Attributes:
    low: value at the colours' lower end.
    high: value at their upper end.
    loudest: sample at the waveforms' upper edge.
  """

  low: float
  high: float
  loudest: float

  @staticmethod
  def of(panels: Sequence[Panel]) -> '_Scale':
    values = np.concatenate([panel.frames.ravel() for panel in panels])
    low, high = np.percentile(values, _ENDS)
    peaks = [np.abs(p.wave).max() for p in panels if p.wave is not None]
    return _Scale(low, max(high, low + 1e-6), max([*peaks, 1e-6]))


def _draw_warp(
  axes: Axes, source: np.ndarray, start: float, stop: float, f: int
) -> None:
  """Lines that begin at a time of the original and lead to where it went.

  Args:
    axes: of the frames.
    source: float `t`, seconds in the original of what stands at each place.
    start: seconds at the first frame.
    stop: seconds behind the last one.
    f: features.
  """
  now = np.linspace(start, stop, len(source), endpoint=False)
  if np.allclose(source, now):
    return
  for before in axes.get_xticks():
    if start < before < stop:
      after = np.interp(before, source, now)
      axes.plot(
        [before, after, after], [f, 0.75 * f, 0], color=_WARP, linewidth=0.8
      )


def _cut(text: str, letters: int) -> str:
  return text if len(text) <= letters else text[: letters - 1] + '…'


def _drawable(text: str) -> str:
  """The text, or that the font lacks some of its letters."""
  known = get_font(findfont(FontProperties())).get_charmap()
  if all(ord(c) in known for c in text):
    return text
  return '(in a script that this picture cannot draw)'
