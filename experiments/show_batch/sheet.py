"""Draws rows of panels with names, of images or of speech, as one PNG.

A second is as long in every panel, and colours mean the same within a section
of a column.
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

DPI = 100
# In inches: what stands beside and above the panels.
LEFT, RIGHT, _NAME = 2.35, 0.15, 0.12
_HEAD, _SECTION = 0.95, 0.4
# Of a panel: an image's side, a waveform's and its frames' height.
IMAGE, _WAVE, _FRAMES = 0.96, 0.34, 0.8
# The narrowest column, as a share of the widest.
_NARROWEST = 0.3
# Percentiles of a section's values where the colours end.
_ENDS = (1.0, 99.7)
_WARP, _SOUND, _TITLE, _GREY = '#ffffff', '#30506e', '#a03000', '#555555'
# Red, green, blue and opacity of what lies over masks.
_MASK = (0.2, 0.9, 1.0, 0.4)
# Letters to an inch, of labels and of an op's keys.
_LETTERS, _SMALL_LETTERS = 12, 17


@dataclasses.dataclass(frozen=True)
class Panel:
  """An image, or an utterance, in one row.

  Attributes:
    image: uint8 `h w c`.
    wave: float32 `n`; None where the op works on frames.
    frames: float32 `t f`.
    seconds: that the frames span; columns are as wide as their longest.
    note: what was measured, above it.
    masked: bool `t f`, what masks cover.
    source: float32 `t`, the frame before warping that stands at each place.
  """

  image: np.ndarray | None = None
  wave: np.ndarray | None = None
  frames: np.ndarray | None = None
  seconds: float = 1.0
  note: str = ''
  masked: np.ndarray | None = None
  source: np.ndarray | None = None

  @property
  def height(self) -> float:
    """Inches."""
    if self.image is not None:
      return IMAGE
    return _FRAMES + (_WAVE if self.wave is not None else 0)


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the sheet.

  Attributes:
    section: rows of one section stand together, on one scale.
    name: of the op.
    detail: its keys.
    panels: one for each column.
  """

  section: str
  name: str
  detail: str
  panels: Sequence[Panel]


@dataclasses.dataclass(frozen=True)
class Sheet:
  """What is drawn.

  Attributes:
    labels: of each column, shown above it.
    captions: what else stands there.
    rows: as many panels in each as labels.
    width: of the sheet, in inches.
    gap: inches between rows.
    column_gap: inches between columns.
    axis: inches below a section.
    hop_s: seconds between frames.
    feature: what the numbers of a frame are, for the axis.
  """

  labels: Sequence[str]
  captions: Sequence[str]
  rows: Sequence[Row]
  width: float = 16.0
  gap: float = 0.18
  column_gap: float = 0.24
  axis: float = 0.36
  hop_s: float = 0.0
  feature: str = ''

  def sections(self) -> list[list[Row]]:
    found = itertools.groupby(self.rows, lambda row: row.section)
    return [list(rows) for _, rows in found]

  @property
  def height(self) -> float:
    """Inches."""
    rows = sum(row.panels[0].height + self.gap for row in self.rows)
    return _HEAD + len(self.sections()) * (_SECTION + self.axis) + rows

  def save(self, output: Path) -> None:
    """Draws it into a PNG file."""
    _Page(self).save(output)


class _Page:
  """A figure that is filled from the top; places are in inches from there."""

  def __init__(self, sheet: Sheet):
    self._sheet = sheet
    self._figure = Figure((sheet.width, sheet.height), dpi=DPI)
    FigureCanvasAgg(self._figure)
    columns = zip(*(row.panels for row in sheet.rows), strict=True)
    longest = [max(panel.seconds for panel in column) for column in columns]
    self._seconds = [max(s, _NARROWEST * max(longest)) for s in longest]
    room = sheet.width - LEFT - RIGHT - sheet.column_gap * (len(longest) - 1)
    self._wide = [s * room / sum(self._seconds) for s in self._seconds]
    self._left = LEFT + np.cumsum(
      [0, *(w + sheet.column_gap for w in self._wide)]
    )

  def save(self, output: Path) -> None:
    self._write_head()
    top = _HEAD
    for rows in self._sheet.sections():
      top = self._write_section(rows, top)
    self._figure.savefig(output)

  def _write(self, x: float, top: float, text: str, **style: Any) -> None:
    self._figure.text(
      x / self._sheet.width,
      1 - top / self._sheet.height,
      text,
      parse_math=False,
      **{'va': 'top', **style},
    )

  def _write_head(self) -> None:
    for k, label in enumerate(self._sheet.labels):
      lines = textwrap.wrap(
        _drawable(label),
        max(1, int(self._wide[k] * _LETTERS)),
        max_lines=4,
        placeholder=' …',
      )
      x, text = self._left[k], '\n'.join(lines)
      letters = int(self._wide[k] * _SMALL_LETTERS)
      caption = self._sheet.captions[k]
      if len(caption) > letters:
        caption = caption[: letters - 1] + '…'
      self._write(x, _HEAD - 0.24, text, size=9, weight='bold', va='bottom')
      self._write(x, _HEAD - 0.2, caption, size=8, color=_GREY)

  def _write_section(self, rows: Sequence[Row], top: float) -> float:
    """Draws rows below their common name; returns where the next one begins."""
    section = rows[0].section
    self._write(
      _NAME, top + 0.08, section, size=11, weight='bold', color=_TITLE
    )
    top += _SECTION
    columns = zip(*(row.panels for row in rows), strict=True)
    scales = [_Scale.of(column) for column in columns]
    for row in rows:
      self._write(_NAME, top + 0.04, row.name, size=9.5, weight='bold')
      detail = textwrap.fill(row.detail, int((LEFT - 0.55) * _SMALL_LETTERS))
      self._write(_NAME, top + 0.23, detail, size=7.5, color=_GREY)
      for k, panel in enumerate(row.panels):
        axes = self._draw_panel(k, panel, top, scales[k])
        if panel.image is not None:
          continue
        if k:
          axes.set_yticklabels([])
        else:
          axes.set_ylabel(self._sheet.feature, size=8, labelpad=2)
        if row is rows[-1]:
          axes.set_xlabel('time in s', size=8, labelpad=1)
        else:
          axes.set_xticklabels([])
      top += row.panels[0].height + self._sheet.gap
    return top + self._sheet.axis

  def _axes(self, column: int, top: float, tall: float) -> Axes:
    width, height = self._sheet.width, self._sheet.height
    left, wide = self._left[column], self._wide[column]
    axes = self._figure.add_axes(
      (left / width, 1 - (top + tall) / height, wide / width, tall / height),
      facecolor='#e4e4e4',
    )
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    return axes

  def _draw_panel(
    self, column: int, panel: Panel, top: float, scale: '_Scale | None'
  ) -> Axes:
    """Returns the axes of the image, or of the frames."""
    if panel.image is not None:
      axes = self._axes(column, top, IMAGE)
      axes.imshow(_coloured(panel.image))
      axes.axis('off')
      return axes
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
      axes.set(
        xlim=(0, self._seconds[column]),
        ylim=(-scale.loudest, scale.loudest),
      )
      axes.axis('off')
      top += _WAVE
    axes = self._axes(column, top, _FRAMES)
    t, f = panel.frames.shape
    # Frames stand in the middle, be the signal's ends padded or cut.
    start = (panel.seconds - t * self._sheet.hop_s) / 2
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
    axes.set_xlim(0, self._seconds[column])
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    if panel.masked is not None:
      tint = np.zeros((f, t, 4), np.float32)
      tint[panel.masked.T] = _MASK
      axes.imshow(tint, **place)
    if panel.source is not None:
      _draw_warp(axes, start + panel.source * self._sheet.hop_s, start, stop, f)
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
  def of(panels: Sequence[Panel]) -> '_Scale | None':
    if panels[0].frames is None:
      return None
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


def _coloured(image: np.ndarray) -> np.ndarray:
  return np.repeat(image, 3, -1) if image.shape[-1] == 1 else image[..., :3]


def _drawable(text: str) -> str:
  """The text, or that the font lacks some of its letters."""
  known = get_font(findfont(FontProperties())).get_charmap()
  if all(ord(c) in known for c in text):
    return text
  return '(in a script that this picture cannot draw)'
