"""Pages of transcripts with their errors marked: all as HTML, the worst as PNG.

Orange is a substitution, red a deletion, blue an insertion.
"""

import html
import textwrap
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from recog_jax.report.transcripts import (
  GAP,
  Transcript,
  left_to_right,
  padded_cell,
  wrapped,
)

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


def write_html(
  path: Path,
  transcripts: Sequence[Transcript],
  title: str,
  summary: str = '',
  *,
  most: int = 1000,
) -> None:
  """Writes a page that needs nothing else, neither files nor a network.

  Each reference stands above its hypothesis, word above word; text runs in the
  direction of its script.

  Args:
    path: the HTML file.
    transcripts: in the order of the page.
    title: the page's.
    summary: text with line breaks, for example tables of metrics.
    most: utterances that the page shows; a browser bears no whole corpus.
  """
  shown = transcripts[:most]
  count = f'{len(transcripts)} utterances, those with most errors first'
  if len(shown) < len(transcripts):
    count += f'; the first {len(shown)} are shown'
  page = _PAGE.format(
    title=html.escape(title),
    style=CELLS_STYLE + _STYLE,
    summary=f'<pre>{html.escape(summary)}</pre>' if summary else '',
    count=count,
    body='\n'.join(map(_article, shown)),
  )
  path.write_text(page, encoding='utf-8')


def cells(transcript: Transcript) -> str:
  """Each reference above its hypothesis, for a paragraph of class `words`."""
  return '\n'.join(
    f'<span class="{kind}"><span>{html.escape(reference) or GAP}</span>'
    f'<span>{html.escape(hypothesis) or GAP}</span></span>'
    for kind, reference, hypothesis in transcript.cells()
  )


def _article(transcript: Transcript) -> str:
  fields = ''.join(f'; {k}: {v}' for k, v in transcript.fields.items())
  return (
    f'<article><h2>{html.escape(transcript.id)} '
    f'<small>{html.escape(transcript.caption + fields)}</small></h2>\n'
    f'<p class="words" dir="auto">{cells(transcript)}</p></article>'
  )


def draw_worst(
  path: Path, transcripts: Sequence[Transcript], title: str, *, most: int = 15
) -> None:
  """Draws the first transcripts that have errors.

  Scripts that need shaping (Arabic's, those of India) or that the font lacks
  are not drawn: the picture refers to the other files for those utterances.

  Args:
    path: the PNG to write.
    transcripts: those with most errors first.
    title: stands above, with the count of wrong utterances.
    most: utterances to draw.
  """
  wrong = [t for t in transcripts if t.counts.errors]
  lines: list[list[tuple[str, str, bool]]] = []
  for transcript in wrong[:most]:
    lines += [*_lines(transcript), []]
  width = _COLUMNS * _COLUMN + 0.4
  height = (len(lines) + 4.5) * _LINE
  figure = Figure((width, height))
  FigureCanvasAgg(figure)

  def write(text, row, column=0, **style):
    x, y = 0.2 + column * _COLUMN, height - (row + 1) * _LINE
    figure.text(
      x / width, y / height, text, size=_SIZE, parse_math=False, **style
    )

  heading = f'{title}: {len(wrong)} of {len(transcripts)} utterances are wrong'
  write(textwrap.shorten(heading, _COLUMNS), 0, weight='bold')
  column = 0
  for name, kind in zip(_LEGEND, list(_COLOURS)[1:], strict=True):
    write(name, 1, column, color=_COLOURS[kind], family='monospace')
    column += len(name) + 2
  for row, texts in enumerate(lines, 3):
    for text, color, bold in texts:
      weight = 'bold' if bold else 'normal'
      write(text, row, color=color, weight=weight, family='monospace')
  with path.open('wb') as file:  # On a bucket, too.
    figure.savefig(file, format='png', dpi=120)


def _lines(transcript: Transcript) -> list[list[tuple[str, str, bool]]]:
  """Lines of (text, colour, bold) that are drawn over each other.

  In a fixed-width font they do not touch: each has spaces where another kind
  has its words.
  """
  fields = '  '.join(f'{k}={v}' for k, v in transcript.fields.items())
  head = f'{transcript.id}  {transcript.caption}  {fields}'.rstrip()
  lines = [[(_cut(head), '#666666', False)]]
  if not _drawable(transcript.reference + transcript.hypothesis):
    note = '(in a script that this picture cannot draw: see the other files)'
    return [*lines, [(note, '#666666', False)]]
  for row in wrapped(transcript.cells(), _COLUMNS):
    sides = [dict.fromkeys(_COLOURS, '') for _ in range(2)]
    for kind, *pair in row:
      width = max(map(len, pair))
      for side, text in zip(sides, pair, strict=True):
        for other in side:
          own = padded_cell(text, width) if other == kind else ' ' * width
          side[other] += own + ' '
    lines += [
      [(_cut(s.rstrip()), _COLOURS[k], k != 'equal') for k, s in side.items()]
      for side in sides
    ]
  return lines


def _cut(text: str) -> str:
  return text if len(text) <= _COLUMNS else text[: _COLUMNS - 1] + '…'


def _drawable(text: str) -> bool:
  """Whether the font has each character, and letters do not join or stack."""
  font = get_font(findfont(FontProperties(family='monospace')))
  known = font.get_charmap()
  return left_to_right(text) and all(
    ord(c) in known and unicodedata.category(c)[0] != 'M' for c in text
  )


# Of `cells`: a page that has them has this.
CELLS_STYLE = """
:root { color-scheme: light dark; --s: #b35900; --d: #c00020; --i: #0050c8; }
@media (prefers-color-scheme: dark) {
  :root { --s: #ffb060; --d: #ff7080; --i: #80b0ff; }
}
.words > span { display: inline-block; margin: 0 0 .3em;
  margin-inline-end: .45em; text-align: start; }
.words > span > span { display: block; }
.equal > span + span { opacity: .6; }
.substitute { color: var(--s); font-weight: bold; }
.delete { color: var(--d); font-weight: bold; }
.insert { color: var(--i); font-weight: bold; }
"""
_STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 70em;
  padding: 0 1em; }
h2 { font-size: 1em; margin: 1.6em 0 .3em; }
small { font-weight: normal; opacity: .75; }
pre { overflow-x: auto; }
p { margin: 0; }
"""
_PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{summary}
<p>{count}. The reference stands above the hypothesis:
<span class="substitute">substitution</span>
<span class="delete">deletion</span>
<span class="insert">insertion</span></p>
{body}
</body>
</html>
"""
