"""The worst transcripts as a picture, with their errors marked.

Orange is a substitution, red a deletion, blue an insertion. Scripts whose
letters join or stack, or that run from the right, are set word by word: letters
are shaped by matplotlib (libraqm, from 3.11 on).
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib.ft2font
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import (
  FontProperties,
  findfont,
  fontManager,
  get_font,
)

from recog_jax.report.transcripts import (
  GAP,
  Transcript,
  padded_cell,
  wrapped,
)
from recog_jax.text.script import right_to_left

_COLOURS = {
  'equal': '#222222',
  'substitute': '#b35900',
  'delete': '#c00020',
  'insert': '#0050c8',
}
_LEGEND = ('substitution', 'deletion', 'insertion')
# Of the picture: columns of a fixed-width font, its size in points, the height
# of a line and the width of a column in inches.
_COLUMNS, _SIZE, _LINE, _COLUMN = 120, 9, 0.17, 0.602 * 9 / 72
_WIDTH = _COLUMNS * _COLUMN
# Of shaped words: size in points, lines that a row takes, space between words.
_SHAPED_SIZE, _SHAPED_LINES, _SPACE = 12, 2, 0.12
_DPI = 120
_GREY = '#666666'


@dataclasses.dataclass(frozen=True)
class Ink:
  """A piece of text on a line.

  Attributes:
    text: what is drawn.
    color: of matplotlib.
    bold: whether it is.
    x: inches from the left margin.
    size: in points.
    family: names of fonts, the first that has a letter draws it.
    align: the side of the text that is at `x`.
  """

  text: str
  color: str = _COLOURS['equal']
  bold: bool = False
  x: float = 0.0
  size: float = _SIZE
  family: tuple[str, ...] = ('monospace',)
  align: str = 'left'


def draw_worst(
  path: Path, transcripts: Sequence[Transcript], title: str, *, most: int = 15
) -> None:
  """Draws the first transcripts that have errors.

  Of scripts that no installed font has, or that nothing here shapes, the
  picture refers to the other files.

  Args:
    path: the PNG to write.
    transcripts: those with most errors first.
    title: stands above, with the count of wrong utterances.
    most: utterances to draw.
  """
  wrong = [t for t in transcripts if t.counts.errors]
  rows: list[list[Ink]] = []
  for transcript in wrong[:most]:
    rows += [*lines(transcript), []]
  heading = f'{title}: {len(wrong)} of {len(transcripts)} utterances are wrong'
  legend, column = [], 0
  for name, kind in zip(_LEGEND, list(_COLOURS)[1:], strict=True):
    legend.append(Ink(name, _COLOURS[kind], x=column * _COLUMN))
    column += len(name) + 2
  above = [Ink(textwrap.shorten(heading, _COLUMNS), bold=True)]
  rows = [above, legend, [], *rows]
  width, height = _WIDTH + 0.4, (len(rows) + 1.5) * _LINE
  figure = Figure((width, height))
  FigureCanvasAgg(figure)
  for row, inks in enumerate(rows):
    y = height - (row + 1) * _LINE
    for ink in inks:
      _write(figure, ink, (0.2 + ink.x) / width, y / height)
  with path.open('wb') as file:  # On a bucket, too.
    figure.savefig(file, format='png', dpi=_DPI)


def _write(figure: Figure, ink: Ink, x: float, y: float):
  return figure.text(
    x,
    y,
    ink.text,
    size=ink.size,
    color=ink.color,
    weight='bold' if ink.bold else 'normal',
    family=list(ink.family),
    ha=ink.align,
    parse_math=False,
  )


def lines(transcript: Transcript) -> list[list[Ink]]:
  """Lines of what is drawn of a transcript, one below the other."""
  fields = '  '.join(f'{k}={v}' for k, v in transcript.fields.items())
  head = f'{transcript.id}  {transcript.caption}  {fields}'.rstrip()
  made = [[Ink(_cut(head), _GREY)]]
  text = transcript.reference + transcript.hypothesis
  if not _is_complex(text):
    if not _missing(text, 'monospace'):
      return made + list(_in_columns(transcript))
  elif _shapes() and (family := _family(text)):
    return made + list(_word_by_word(transcript, family))
  note = '(no font here has, or joins, these letters: see the other files)'
  return [*made, [Ink(note, _GREY)]]


def _in_columns(transcript: Transcript) -> Iterator[list[Ink]]:
  """In a fixed-width font, lines of one colour that are drawn over each other.

  They do not touch: each has spaces where another kind has its words.
  """
  for row in wrapped(transcript.cells(), _COLUMNS):
    sides = [dict.fromkeys(_COLOURS, '') for _ in range(2)]
    for kind, *pair in row:
      width = max(map(len, pair))
      for side, text in zip(sides, pair, strict=True):
        for other in side:
          own = padded_cell(text, width) if other == kind else ' ' * width
          side[other] += own + ' '
    for side in sides:
      yield [
        Ink(_cut(s.rstrip()), _COLOURS[k], k != 'equal')
        for k, s in side.items()
      ]


def _word_by_word(
  transcript: Transcript, family: tuple[str, ...]
) -> Iterator[list[Ink]]:
  """Each reference word above its hypothesis, in the text's direction."""
  turned = right_to_left(transcript.reference or transcript.hypothesis)
  sides: list[list[Ink]] = [[], []]
  used = 0.0
  for kind, *pair in transcript.cells():
    texts = [text or GAP for text in pair]
    inks = [
      Ink(
        text,
        _COLOURS[kind],
        size=_SHAPED_SIZE,
        family=family,
        align='right' if turned else 'left',
      )
      for text in texts
    ]
    width = max(map(_width, inks))
    if used and used + width > _WIDTH:
      yield from _shaped_rows(sides)
      sides, used = [[], []], 0.0
    x = _WIDTH - used if turned else used
    for side, ink in zip(sides, inks, strict=True):
      side.append(dataclasses.replace(ink, x=x))
    used += width + _SPACE
  yield from _shaped_rows(sides)


def _shaped_rows(sides: Sequence[list[Ink]]) -> Iterator[list[Ink]]:
  for side in sides:
    yield from [[]] * (_SHAPED_LINES - 1)
    yield side


def _width(ink: Ink) -> float:
  """Inches of a text as it is drawn."""
  figure = Figure((1, 1), dpi=_DPI)
  renderer = FigureCanvasAgg(figure).get_renderer()
  box = _write(figure, ink, 0, 0).get_window_extent(renderer)
  return box.width / _DPI


def _cut(text: str) -> str:
  return text if len(text) <= _COLUMNS else text[: _COLUMNS - 1] + '…'


def _is_complex(text: str) -> bool:
  """Whether letters join or stack, or run from the right."""
  return right_to_left(text) or any(
    unicodedata.category(c)[0] == 'M' for c in text
  )


def _shapes() -> bool:
  """Whether matplotlib joins letters and turns words around."""
  return hasattr(matplotlib.ft2font, '__libraqm_version__')


@functools.cache
def _characters(file: str) -> frozenset[int]:
  return frozenset(get_font(file).get_charmap())


def _missing(text: str, family: str) -> set[str]:
  """The characters of a text that a font does not have."""
  known = _characters(findfont(FontProperties(family=family)))
  return {c for c in text if ord(c) not in known}


def _family(text: str) -> tuple[str, ...]:
  """The fewest fonts that have all letters of a text; () if none have.

  Letters of one word come from one font, so that they join.
  """
  missing = {
    c
    for c in text
    if not c.isascii() and unicodedata.category(c)[0] not in 'CZ'
  }
  fonts, found = _fonts(), []
  while missing:
    name, file = max(
      fonts, key=lambda font: len(missing & _letters(font[1], missing))
    )
    here = missing & _letters(file, missing)
    if not here:
      return ()
    missing -= here
    found.append(name)
  return (*found, 'DejaVu Sans')


def _letters(file: str, some: set[str]) -> set[str]:
  """Those of some letters that a font has."""
  known = _characters(file)
  return {c for c in some if ord(c) in known}


@functools.cache
def _fonts() -> tuple[tuple[str, str], ...]:
  """(name, file) of the fonts that are installed, and of fontpkg's packages."""
  for point in importlib.metadata.entry_points(group='fontpkg.family'):
    with contextlib.suppress(ImportError, OSError, RuntimeError):
      for file in Path(point.load().__file__).parent.glob('files/*.[to]tf'):
        fontManager.addfont(file)
  found = dict.fromkeys(
    (font.name, font.fname)
    for font in fontManager.ttflist
    if font.style == 'normal' and not font.name.startswith('Last Resort')
  )
  return tuple(sorted(found, key=lambda font: (font[0] != 'DejaVu Sans', font)))
