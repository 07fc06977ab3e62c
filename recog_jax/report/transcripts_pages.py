"""Pages of transcripts with their errors marked.

Orange is a substitution, red a deletion, blue an insertion.
"""

import html
from collections.abc import Sequence
from pathlib import Path

from recog_jax.report.transcripts import GAP, Transcript


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
  # Isolated: a name in letters from the right turns nothing else around.
  fields = ''.join(
    f'; {html.escape(k)}: <bdi>{html.escape(v)}</bdi>'
    for k, v in transcript.fields.items()
  )
  return (
    f'<article><h2><bdi>{html.escape(transcript.id)}</bdi> '
    f'<small>{html.escape(transcript.caption)}{fields}</small></h2>\n'
    f'<p class="words" dir="auto">{cells(transcript)}</p></article>'
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
