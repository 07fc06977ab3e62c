"""The page: plain HTML and CSS, pictures inside, no script, no network."""

import base64
import collections
import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from etils import epath

from experiments.report import cards
from experiments.report.runs import Run, is_better_low, readable, shown
from launch import store
from recog_jax.errors import UserError, listed, warn
from recog_jax.report import transcripts, transcripts_pages

_PICTURE_WIDTH = 1100
_QUALITY = 82
# Transcripts of a run: so many with most errors, and of the middle.
_SHOWN = 4


def build(
  runs: Sequence[Run], figures: Sequence[epath.Path], title: str
) -> str:
  """The whole page.

  Args:
    runs: in the order of the page.
    figures: pictures that stand above them, PNG.
    title: of the page.

  Raises:
    UserError: a workdir alone whose files no training has written; of several,
      it is left out.
  """
  sections: dict[str, str] = {}
  for run in runs:
    try:
      with readable(run.workdir):
        _overview([run])
        sections[run.name] = _section(run)
    except UserError as error:
      if len(runs) == 1:
        raise
      warn(f'left out: {error}')
  body = [
    f'<h1>{_text(title)}</h1>',
    _overview([run for run in runs if run.name in sections]),
  ]
  body += [_figure(path.stem, path) for path in figures]
  body += sections.values()
  return _PAGE.format(
    title=_text(title),
    style=transcripts_pages.CELLS_STYLE + _STYLE,
    body='\n'.join(filter(None, body)),
  )


def _text(value: Any) -> str:
  return html.escape(str(value))


def _id(run: Run) -> str:
  return f'run-{run.name}'


# -- all runs ------------------------------------------------------------------


def _overview(runs: Sequence[Run]) -> str:
  """A table a kind of metric and of outputs, best first."""
  kinds: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
  for run in runs:
    name = run.headline[0] if run.headline else 'not ended'
    kind = f'{run.data_set}: {name}', run.outputs
    kinds.setdefault(kind, []).append(run)
  alike = collections.Counter(kind for kind, _ in kinds)
  parts = [f'<p>{len(runs)} trainings.</p>']
  for (kind, outputs), mine in kinds.items():
    low = is_better_low(kind)
    mine = sorted(
      mine,
      key=lambda r: (
        (r.headline[1] if low else -r.headline[1]) if r.headline else 0
      ),
    )
    rows = [_overview_row(run) for run in mine]
    head = ('run', 'result', '95 %', 'minutes', 'steps', 'parameters', 'model')
    if alike[kind] > 1:  # Numbers of other classes are not for comparing.
      kind += f' of {listed(outputs)}'
    parts.append(f'<h2>{_text(kind)}</h2>' + _table(head, rows))
  return '\n'.join(parts)


def _overview_row(run: Run) -> list[str]:
  link = f'<a href="#{_text(_id(run))}">{_text(run.name)}</a>'
  model = _text(run.config['model']['name'])
  if not run.summary or not run.headline:
    return [link, 'not ended', '', '', f'{_last_step(run):,}', '', model]
  name, value = run.headline
  interval = run.metrics().get(f'{name.split()[-1]}_ci95')
  return [
    link,
    f'<b>{_text(shown(name, value))}</b>',
    ' to '.join(_text(shown(name, v)) for v in interval or ()),
    f'{run.summary.get("seconds", 0) / 60:.1f}',
    f'{run.summary.get("step", 0):,}',
    f'{run.summary.get("parameters", 0):,}',
    model,
  ]


def _last_step(run: Run) -> int:
  return run.rows[-1]['step'] if run.rows else 0


# -- one run -------------------------------------------------------------------


def _section(run: Run) -> str:
  found = run.result()
  parts = [
    f'<section id="{_text(_id(run))}"><h2>{_text(run.name)}</h2>',
    _card('Model card', cards.model_card(run)),
    _card('Data card', cards.data_card(run)),
  ]
  if (path := run.workdir / 'curves.png').exists():
    parts.append(_more('Curves', _picture(path, 'curves of the training')))
  if found:
    name, result = found
    metrics = result['metrics']
    parts.append(_more('Metrics', _metrics(metrics)))
    for field, values in (metrics.get('groups') or {}).items():
      parts.append(_more(f'By {field}', _group(values)))
    for kind in ('confusion_matrix', 'worst_mistakes'):
      path = run.workdir / 'results' / f'{name}-{kind}.png'
      if path.exists():
        words = kind.replace('_', ' ').capitalize()
        parts.append(_more(words, _picture(path, words)))
    path = run.workdir / 'results' / f'{name}-transcripts.jsonl'
    if path.exists():
      parts.append(_more('Transcripts', _transcripts(path, run.unit)))
  others = sorted(set(run.results) - ({found[0]} if found else set()))
  if others:
    rows = [_other(n, run.results[n], run) for n in others]
    head = ('result', 'step', 'examples', 'checkpoint', 'value')
    parts.append(_more('Other evaluations', _table(head, rows)))
  config = _text(json.dumps(run.config, indent=1))
  parts.append(_more('Config', f'<pre>{config}</pre>'))
  return '\n'.join(parts) + '</section>'


def _other(name: str, result: Mapping[str, Any], run: Run) -> list[str]:
  metric = run.headline_name
  value = result['metrics'].get(metric)
  return [
    _text(name),
    f'{result["step"]:,}',
    f'{result["examples"]:,}',
    _text(result['checkpoint']),
    '' if value is None else _text(f'{metric} {shown(metric, value)}'),
  ]


def _card(title: str, rows: cards.Card) -> str:
  body = ''.join(
    f'<dt>{_text(k)}</dt><dd>{_text(v)}</dd>' for k, v in rows if v
  )
  return f'<div class="card"><h3>{title}</h3><dl>{body}</dl></div>'


def _metrics(metrics: Mapping[str, Any]) -> str:
  rows = []
  for name, value in metrics.items():
    if isinstance(value, bool) or not isinstance(value, int | float):
      continue
    interval = metrics.get(f'{name}_ci95')
    shown = f'{interval[0]:.4g} to {interval[1]:.4g}' if interval else ''
    rows.append([_text(name), f'{value:.4g}', shown])
  text = _table(('metric', 'value', '95 %'), rows)
  for kind in ('per_class', 'per_language', 'language_confusion'):
    if not (classes := metrics.get(kind)):
      continue
    columns = [[_cell(v) for v in values] for values in classes.values()]
    text += _table(tuple(classes), list(zip(*columns, strict=True)))
  notes = metrics.get('notes') or ()
  return text + ''.join(f'<p>{_text(note)}</p>' for note in notes)


def _group(values: Mapping[str, Mapping[str, Any]]) -> str:
  names = list(
    dict.fromkeys(
      k
      for row in values.values()
      for k, v in row.items()
      if isinstance(v, int | float)
    )
  )
  rows = [
    [_text(value), *(_cell(row.get(name, '')) for name in names)]
    for value, row in values.items()
  ]
  return _table(('value', *names), rows)


def _cell(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else _text(value)


def _transcripts(path: epath.Path, unit: str) -> str:
  """Those with most errors, and some of the middle; the file is sorted."""
  rows = store.read_rows(path)
  middle = max(_SHOWN, len(rows) // 2)
  chosen = [*rows[:_SHOWN], *rows[middle : middle + _SHOWN]]
  made = transcripts.make_transcripts(
    [row['reference'] for row in chosen],
    [row['hypothesis'] for row in chosen],
    {'id': [row['id'] for row in chosen]},
    unit=unit,
  )
  note = (
    f'{len(chosen)} of {len(rows)}: those with most errors, and of the middle. '
    'Above what was said, below what was recognised.'
  )
  return f'<p>{note}</p>' + '\n'.join(map(_transcript, made))


def _transcript(made: transcripts.Transcript) -> str:
  return (
    f'<p class="words" dir="auto">{transcripts_pages.cells(made)}</p>'
    f'<p class="small">{_text(made.id)}: {_text(made.caption)}</p>'
  )


# -- pieces --------------------------------------------------------------------


def _more(title: str, body: str) -> str:
  return f'<details><summary>{_text(title)}</summary>{body}</details>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
  def line(cells: Iterable[str], kind: str) -> Iterator[str]:
    yield '<tr>'
    for cell in cells:
      yield f'<{kind}>{cell}</{kind}>'
    yield '</tr>'

  text = ''.join(line(map(_text, head), 'th'))
  text += ''.join(''.join(line(row, 'td')) for row in rows)
  return f'<div class="scroll"><table>{text}</table></div>'


def _figure(name: str, path: epath.Path) -> str:
  return f'<figure>{_picture(path, name)}</figure>'


def _picture(path: epath.Path, words: str) -> str:
  """The picture itself, as WebP, no wider than the page."""
  image = cv2.imdecode(
    np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR
  )
  if image is None:
    return f'<p>{_text(path.name)} cannot be read.</p>'
  height, width = image.shape[:2]
  if width > _PICTURE_WIDTH:
    height = round(height * _PICTURE_WIDTH / width)
    width = _PICTURE_WIDTH
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
  quality = [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
  data = base64.b64encode(cv2.imencode('.webp', image, quality)[1]).decode()
  return (
    f'<img alt="{_text(words)}" width="{width}" height="{height}" '
    f'loading="lazy" src="data:image/webp;base64,{data}">'
  )


_STYLE = """
:root { --line: #8885; --card: #8881; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 70rem;
  padding: 0 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
section { border-top: 1px solid var(--line); margin-top: 2rem; }
figure { margin: 1.5rem 0; }
img { max-width: 100%; height: auto; background: white; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
.card { background: var(--card); border-radius: .5rem; padding: .8rem 1rem;
  margin: .8rem 0; }
dl { display: grid; grid-template-columns: 10rem 1fr; gap: .25rem 1rem;
  margin: 0; }
dt { font-weight: 600; } dd { margin: 0; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; font-size: .8rem; overflow-wrap: normal; }
.small { font-size: .8rem; opacity: .75; margin: 0 0 1rem; }
.words { margin: .6rem 0 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; } }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
