"""What an evaluation of speech recognition says: rates, groups, transcripts."""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.answers import Span, Transcript, Word
from recog_jax.errors import warn
from recog_jax.metrics import code_switch, wer
from recog_jax.report import (
  transcripts,
  transcripts_pages,
  transcripts_picture,
)
from recog_jax.storage import as_json
from recog_jax.tasks.speech import confidence, languages, n_best, scores
from recog_jax.tasks.speech.spec import Spec
from recog_jax.text.script import WORD_FIELD

# A field with more values than this tells records apart, and groups nothing.
_MOST_GROUPS = 200
_SHOWN = 3  # Of the worst utterances, on the terminal.


def report(
  spec: Spec,
  records: Mapping[str, np.ndarray],
  lookup: Callable[..., Any],
  directory: Path,
  prefix: str,
) -> dict[str, Any]:
  """Error rates of a split with intervals, and what was recognised.

  Writes PREFIX-transcripts.jsonl, .html and .png (the worst ones), and with
  timestamps PREFIX-words.jsonl: [word, start, end] of each, in seconds. Of
  lists of hypotheses PREFIX-nbest.jsonl.

  Args:
    spec: of the records.
    records: rows of `Speech.records`, each example once, no padding.
    lookup: record numbers -> `text` and `fields`.
    directory: where the files go.
    prefix: of their names.

  Returns:
    What `wer.speech_metrics`, `languages.language_metrics` and
    `languages.recognised` give; of lists of hypotheses `oracle_wer` and so on,
    the rates if the best of each were chosen.
  """
  references, hypotheses, fields = scores.texts(spec, records, lookup)
  ids = fields.get('id', [str(i) for i in records['index']])
  groups = {
    name: values
    for name, values in fields.items()
    if name not in ('id', WORD_FIELD)
    and 1 < len(set(values)) <= min(_MOST_GROUPS, len(ids) / 2)
  }
  unit = spec.units[0]
  result = wer.speech_metrics(references, hypotheses, groups, unit=unit)
  if unit == 'word':
    found = languages.language_metrics(references, hypotheses, fields)
    tables = result['groups'] | found.pop('groups', {})
    result |= {**found, 'groups': tables}
  known = {**groups, 'id': ids}
  if spec.says_language and 'lang' in fields:
    result |= languages.recognised(spec, records, references, fields['lang'])
    said = languages.said_languages(spec, records)
    known['said_lang'] = [code or code_switch.NO_LANGUAGE for code in said]
  made = transcripts.make_transcripts(references, hypotheses, known, unit=unit)
  transcripts.write_jsonl(directory / f'{prefix}-transcripts.jsonl', made)
  summary = f'{spec.headline.upper()} {result[spec.headline]:.2%}'
  transcripts_pages.write_html(
    directory / f'{prefix}-transcripts.html', made, prefix, summary
  )
  transcripts_picture.draw_worst(
    directory / f'{prefix}-transcripts.png', made, f'{prefix}: {summary}'
  )
  transcripts.show(made[:_SHOWN])
  if 'start' in records:
    path = directory / f'{prefix}-words.jsonl'
    with path.open('w', encoding='utf-8', errors='backslashreplace') as file:
      for row in _word_rows(spec, records, ids):
        file.write(as_json(row, ensure_ascii=False) + '\n')
  if 'n_best_ids' in records:
    found = n_best.texts(spec, records)
    result |= n_best.oracle(spec, found, references)
    n_best.write(directory / f'{prefix}-nbest.jsonl', ids, found)
  if any(records.get('unfinished', ())):
    count, n = int(records['unfinished'].sum()), len(ids)
    result['notes'] = [_UNFINISHED.format(f'{count} of {n} texts were')]
  return result


_UNFINISHED = (
  '{} ended by the bound of symbols and not by the attention decoder: they may '
  'repeat themselves, or lack their end'
)


def _word_rows(
  spec: Spec, records: Mapping[str, np.ndarray], ids: Sequence[str]
) -> Iterator[dict[str, Any]]:
  """For each utterance its `id` and `words`: [word, start, end] in seconds."""
  for i, name in enumerate(ids):
    row = {key: records[key][i] for key in _ALIGNED}
    words = [[w, round(a, 3), round(b, 3)] for w, a, b, _ in _words(spec, row)]
    yield {'id': name, 'words': words}


_ALIGNED = ('ids', 'num', 'start', 'end', 'frame_s')


def _words(
  spec: Spec,
  row: Mapping[str, np.ndarray],
  seconds: float = 0.0,
  scaling: confidence.Scaling = confidence.UNSCALED,
) -> list[confidence.Word]:
  """(word, begin, end, confidence) of one row, in seconds.

  Of one that is not aligned the words follow each other from 0 to its end, and
  are as long as their letters are many.

  Args:
    spec: of the task.
    row: of a part of a recording.
    seconds: its length.
    scaling: of the confidences.
  """
  if 'start' in row:
    return confidence.words_of(spec, row, scaling)
  num = int(row['num'])
  words = spec.text(row['ids'], num).split()
  # By symbol, of which the end is one.
  sure = float(np.exp(min(float(row['score']), 0.0) / (num + 1)))
  places = np.cumsum([0, *(len(word) + 1 for word in words)])
  times = (seconds * places / max(places[-1], 1)).tolist()
  return [
    (word, begin, end, sure)
    for word, begin, end in zip(words, times[:-1], times[1:], strict=True)
  ]


def transcript(
  spec: Spec,
  rows: Sequence[Mapping[str, Any]],
  spans: Sequence[Span],
  source: str | None,
  scaling: confidence.Scaling,
  threshold: float | None = None,
) -> Transcript:
  """What is said in a recording.

  Args:
    spec: of the task.
    rows: of each part of it, see `Speech.answer_rows`.
    spans: of each part.
    source: the file.
    scaling: of the confidences.
    threshold: a recording of lower confidence is handed over; None: none is.

  Returns:
    The answer; its language is that of most of the time.
  """
  words, parts, unfinished = [], [], 0
  heard: dict[str, float] = collections.defaultdict(float)
  for row, span in zip(rows, spans, strict=True):
    seconds = span.end - span.begin
    for word, begin, end, sure in _words(spec, row, seconds, scaling):
      words.append(Word(word, span.begin + begin, span.begin + end, sure))
    unfinished += bool(row.get('unfinished', False))
    ids = [int(i) for i in row['ids'][: int(row['num'])]]
    if said := row.get('language') or spec.language(ids, len(ids)):
      heard[said] += seconds
    text = spec.tokenizer.decode(ids).strip()
    if text:
      parts.append((span.begin, span.end, text))
  if unfinished:
    count = f'{source or "a recording"}: {unfinished} of {len(rows)} parts were'
    warn(_UNFINISHED.format(count))
  sure = scaling.of_utterance(np.array([word.confidence for word in words]))
  return Transcript(
    source,
    ' '.join(text for _, _, text in parts),
    tuple(words),
    sure,
    max((span.total for span in spans), default=0.0),
    tuple(parts),
    None if threshold is None else sure < threshold,
    max(heard, key=lambda code: heard[code], default=None),
  )
