"""What an evaluation of speech recognition says: rates, groups, transcripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recog_jax.metrics import transcripts, transcripts_pages, wer

if TYPE_CHECKING:
  from recog_jax.tasks.ctc import Ctc

# A field with more values than this tells records apart, and groups nothing.
_MOST_GROUPS = 200
_SHOWN = 3  # Of the worst utterances, on the terminal.


def report(
  task: Ctc,
  records: Mapping[str, np.ndarray],
  lookup: Callable[..., Any],
  directory: Path,
  prefix: str,
) -> dict[str, Any]:
  """Error rates of a split with intervals, and what was recognised.

  Writes PREFIX-transcripts.jsonl, .html and .png (the worst ones), and with
  timestamps PREFIX-words.jsonl: `word`, `start_s` and `stop_s` of each.

  Args:
    task: of the records.
    records: rows of `task.records`, each example once, no padding.
    lookup: record numbers -> `text` and `fields`.
    directory: where the files go.
    prefix: of their names.

  Returns:
    What `wer.speech_metrics` gives.
  """
  references, hypotheses, fields = task.texts(records, lookup)
  ids = fields.get('id', [str(i) for i in records['index']])
  groups = {
    name: values
    for name, values in fields.items()
    if name != 'id' and 1 < len(set(values)) <= min(_MOST_GROUPS, len(ids) / 2)
  }
  unit = 'phone' if task.unit == 'phone' else 'word'
  result = wer.speech_metrics(references, hypotheses, groups, unit=unit)
  made = transcripts.make_transcripts(
    references, hypotheses, {**groups, 'id': ids}, unit=unit
  )
  transcripts.write_jsonl(directory / f'{prefix}-transcripts.jsonl', made)
  summary = f'{task.headline.upper()} {result[task.headline]:.2%}'
  transcripts_pages.write_html(
    directory / f'{prefix}-transcripts.html', made, prefix, summary
  )
  transcripts_pages.draw_worst(
    directory / f'{prefix}-transcripts.png', made, f'{prefix}: {summary}'
  )
  transcripts.show(made[:_SHOWN])
  if 'start' in records:
    path = directory / f'{prefix}-words.jsonl'
    with path.open('w') as file:
      for row in word_times(task, records, ids):
        file.write(json.dumps(row, ensure_ascii=False) + '\n')
  return result


def word_times(
  task: Ctc, records: Mapping[str, np.ndarray], ids: list[str]
) -> list[dict[str, Any]]:
  """Start and end of each recognised word, in seconds.

  Returns:
    A row an utterance: `id` and `words`, each `word`, `start_s`, `stop_s`.
  """
  rows = []
  for i, name in enumerate(ids):
    num, frame_s = int(records['num'][i]), float(records['frame_s'][i])
    tokens = [int(t) for t in records['ids'][i][:num]]
    words: list[dict[str, Any]] = []
    for first, last in _word_bounds(task.tokenizer, tokens):
      words.append(
        {
          'word': task.tokenizer.decode(tokens[first:last]).strip(),
          'start_s': round(float(records['start'][i][first]) * frame_s, 3),
          'stop_s': round(float(records['stop'][i][last - 1]) * frame_s, 3),
        }
      )
    rows.append({'id': name, 'words': words})
  return rows


def _word_bounds(tokenizer: Any, tokens: list[int]) -> list[tuple[int, int]]:
  """Where words begin and end among tokens; those that are a space are none."""
  bounds: list[tuple[int, int]] = []
  begin = None
  for i, token in enumerate(tokens):
    text = tokenizer.tokens[token]
    space = not text.strip(' \u2581')
    starts = space or text.startswith('\u2581')
    if starts and begin is not None:
      bounds.append((begin, i))
      begin = None
    if not space and begin is None:
      begin = i
  if begin is not None:
    bounds.append((begin, len(tokens)))
  return bounds
