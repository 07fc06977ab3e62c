"""Answers as text: lines and tables, JSON, subtitles, and what scorers read."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from recog_jax.answers import (
  Answer,
  Failed,
  Intent,
  Keywords,
  Label,
  Labels,
  Numbers,
  Outputs,
  Transcript,
  Word,
)
from recog_jax.errors import printable
from recog_jax.storage import as_json

# Of one subtitle: characters in two lines, seconds, and a pause that ends it.
_CHARACTERS, _SECONDS, _PAUSE = 84, 7.0, 1.0
_LINE = 42


def _name(answer: Answer) -> str:
  return '-' if answer.source is None else answer.source


def said(answer: Answer) -> str:
  """An answer in a few words."""
  if isinstance(answer, Failed):
    return f'not read: {answer.reason}'
  if isinstance(answer, Transcript):
    return answer.text
  if isinstance(answer, Intent):
    return answer.label or '(unknown)'
  if isinstance(answer, Keywords):
    return ', '.join(f'{e.word} {e.end:.2f} s' for e in answer.events) or '-'
  if isinstance(answer, Numbers):
    return ', '.join(f'{k} {v:.4g}' for k, v in answer.values.items())
  if isinstance(answer, Outputs):
    return ' '.join(f'{x:.4g}' for x in answer.outputs)
  if isinstance(answer, Labels):
    return ', '.join(answer.labels) or '-'
  if isinstance(answer, Label):
    return '(unsure)' if answer.label is None else answer.label
  raise TypeError(f'{type(answer).__name__} is no answer')


def _table(answers: Iterable[Answer]) -> Iterator[str]:
  """The file, what it is, and how probable that and the next are."""
  for answer in answers:
    top = ''
    if isinstance(answer, Label | Labels):
      top = '  '.join(f'{name} {p:.1%}' for name, p in answer.top)
    cells = [_name(answer), said(answer), top]
    yield '\t'.join(printable(cell) for cell in cells).rstrip() + '\n'


def _text(answers: Iterable[Answer]) -> Iterator[str]:
  for answer in answers:
    note = ''
    if isinstance(answer, Transcript) and answer.hand_over:
      note = f'\thand over ({answer.confidence:.0%})'
    yield f'{printable(_name(answer))}\t{printable(said(answer))}{note}\n'


def _jsonl(answers: Iterable[Answer]) -> Iterator[str]:
  for answer in answers:
    fields = answer.as_json()
    if isinstance(answer, Failed):
      fields = {'file': answer.source, 'error': answer.reason}
    yield as_json(fields, ensure_ascii=False) + '\n'


def _csv(answers: Iterable[Answer]) -> Iterator[str]:
  """Columns of the first answer that could be given; others have `error`."""
  for number, row in enumerate(_csv_rows(answers)):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    if not number:
      writer.writerow(row)
    else:
      writer.writerow([_safe(cell) for cell in row])
    yield buffer.getvalue()


def _csv_rows(answers: Iterable[Answer]) -> Iterator[list[str]]:
  columns: list[str] | None = None
  waiting: list[Answer] = []
  for answer in answers:
    cells = _cells(answer)
    if columns is None:
      if isinstance(answer, Failed):
        waiting.append(answer)
        continue
      columns = [*cells]
      yield ['file', *columns, 'error']
      yield from (_csv_row(each, columns) for each in waiting)
    yield _csv_row(answer, columns)
  if columns is None and waiting:
    yield ['file', 'error']
    yield from (_csv_row(each, []) for each in waiting)


def _csv_row(answer: Answer, columns: list[str]) -> list[str]:
  cells = _cells(answer)
  error = answer.reason if isinstance(answer, Failed) else ''
  return [_name(answer), *(cells.get(name, '') for name in columns), error]


def _cells(answer: Answer) -> dict[str, str]:
  if isinstance(answer, Label | Labels):
    found = {}
    if isinstance(answer, Label):
      found['label'] = answer.label or ''
      found['probability'] = f'{answer.probability:.6g}'
    else:
      found['labels'] = '|'.join(answer.labels)
    for i, (name, p) in enumerate(answer.top, 1):
      found |= {f'top{i}': name, f'probability{i}': f'{p:.6g}'}
    return found
  if isinstance(answer, Numbers):
    return {name: f'{value:.9g}' for name, value in answer.values.items()}
  if isinstance(answer, Outputs):
    return {f'output{i}': f'{x:.9g}' for i, x in enumerate(answer.outputs)}
  if isinstance(answer, Intent):
    return {
      'label': answer.label or '',
      'probability': f'{answer.probability:.6g}',
      **answer.slots,
      'text': answer.text,
    }
  if isinstance(answer, Keywords):
    return {
      'keywords': '|'.join(event.word for event in answer.events),
      'times': '|'.join(f'{event.end:.3f}' for event in answer.events),
      'scores': '|'.join(f'{event.confidence:.4g}' for event in answer.events),
    }
  if isinstance(answer, Transcript):
    found = {
      'text': answer.text,
      'confidence': f'{answer.confidence:.4g}',
      'seconds': f'{answer.seconds:.3f}',
    }
    if answer.hand_over is not None:
      found['hand_over'] = 'yes' if answer.hand_over else 'no'
    if answer.language is not None:
      found['language'] = answer.language
    return found
  return {}


def _safe(cell: str) -> str:
  """A cell that no spreadsheet takes for a formula."""
  return (
    f"'{cell}" if re.match(r'[=+@]|-[^0-9]', cell) and cell != '-' else cell
  )


# -- of recordings -------------------------------------------------------------


def captions(transcript: Transcript) -> list[tuple[float, float, str]]:
  """Begin, end and text of subtitles: at most two lines and seven seconds."""
  found: list[list[Word]] = []
  for word in transcript.words:
    group = found[-1] if found else None
    if (
      group is None
      or word.begin - group[-1].end > _PAUSE
      or word.end - group[0].begin > _SECONDS
      or sum(len(w.word) + 1 for w in group) + len(word.word) > _CHARACTERS
    ):
      found.append([word])
    else:
      group.append(word)
  return [
    (
      group[0].begin,
      max(group[-1].end, group[0].begin + 0.001),
      _in_lines([word.word for word in group]),
    )
    for group in found
  ]


def _in_lines(words: list[str]) -> str:
  lines = ['']
  for word in words:
    if lines[-1] and len(lines[-1]) + 1 + len(word) > _LINE and len(lines) < 2:
      lines.append('')
    lines[-1] += (' ' if lines[-1] else '') + word
  return '\n'.join(lines)


def clock(seconds: float, mark: str) -> str:
  """Hours, minutes, seconds and milliseconds, as subtitles have them."""
  total = round(seconds * 1000)
  hours, rest = divmod(total, 3_600_000)
  minutes, rest = divmod(rest, 60_000)
  return f'{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}'


def _srt(answers: Iterable[Answer]) -> Iterator[str]:
  for answer in _transcripts(answers):
    for number, (begin, end, text) in enumerate(captions(answer), 1):
      times = f'{clock(begin, ",")} --> {clock(end, ",")}'
      yield f'{number}\n{times}\n{text}\n\n'


def _vtt(answers: Iterable[Answer]) -> Iterator[str]:
  yield 'WEBVTT\n\n'
  for answer in _transcripts(answers):
    for begin, end, text in captions(answer):
      text = text.replace('&', '&amp;').replace('<', '&lt;')
      text = text.replace('-->', '--&gt;')
      yield f'{clock(begin, ".")} --> {clock(end, ".")}\n{text}\n\n'


def _ctm(answers: Iterable[Answer]) -> Iterator[str]:
  """NIST's: recording, channel, begin, duration, word, confidence."""
  for answer in _transcripts(answers):
    name = _id(answer)
    for word in answer.words:
      yield (
        f'{name} 1 {word.begin:.3f} {word.end - word.begin:.3f} {word.word} '
        f'{word.confidence:.4f}\n'
      )


def _trn(answers: Iterable[Answer]) -> Iterator[str]:
  """NIST's: the text, and the recording in brackets."""
  for answer in _transcripts(answers):
    yield f'{answer.text} ({_id(answer)})\n'


def _id(answer: Answer) -> str:
  return re.sub(r'[\s()]+', '_', Path(_name(answer)).stem)


def _transcripts(answers: Iterable[Answer]) -> Iterator[Transcript]:
  for answer in answers:
    if isinstance(answer, Transcript):
      yield answer


Format = Callable[[Iterable[Answer]], Iterator[str]]
OF_ALL: dict[str, Format] = {'table': _table, 'jsonl': _jsonl, 'csv': _csv}
OF_SPEECH: dict[str, Format] = {
  'text': _text,
  'jsonl': _jsonl,
  'csv': _csv,
  'srt': _srt,
  'vtt': _vtt,
  'ctm': _ctm,
  'trn': _trn,
}
# Of which one file holds one recording.
ONE_FILE_EACH = ('srt', 'vtt')
