"""Hypotheses beside their references with the errors marked: JSON lines, text.

The pages for people, HTML and PNG, are in `transcripts_pages`.
"""

import dataclasses
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from recog_jax.errors import printable
from recog_jax.metrics.wer import ErrorCounts, Piece, align, counts_of
from recog_jax.storage import as_json
from recog_jax.text.script import isolated, right_to_left

# Stands for what is missing in one of the two lines.
GAP = '·'
_MARKS = {'equal': ' ', 'substitute': 'S', 'delete': 'D', 'insert': 'I'}
# ANSI: yellow, red, blue, as on the pages.
_COLOURS = {'substitute': '33', 'delete': '31', 'insert': '34'}


@dataclasses.dataclass(frozen=True)
class Transcript:
  """An utterance, what was recognised, and how the two align.

  Attributes:
    id: the utterance's name.
    reference: what was said.
    hypothesis: what was recognised.
    unit: `word` or `phone`.
    pieces: the alignment of words (or phones).
    characters: counts of characters; none for phones.
    fields: what else is known of it (speaker, ...), without the id.
  """

  id: str
  reference: str
  hypothesis: str
  unit: str
  pieces: Sequence[Piece]
  characters: ErrorCounts | None
  fields: Mapping[str, str]

  @property
  def counts(self) -> ErrorCounts:
    return counts_of(self.pieces)

  @property
  def caption(self) -> str:
    """The counts as text: `1 S, 0 D, 2 I of 9 words; CER 12.5 %`."""
    n = self.counts
    text = f'{n.substitutions} S, {n.deletions} D, {n.insertions} I of '
    text += f'{n.reference_units} {self.unit}{"s" * (n.reference_units != 1)}'
    if self.characters:
      text += f'; CER {100 * self.characters.rate:.1f} %'
    return text

  def cells(self) -> Iterator[tuple[str, str, str]]:
    """(kind, reference, hypothesis) of each unit; one of them may be ''."""
    for piece in self.pieces:
      n = max(len(piece.reference), len(piece.hypothesis))
      reference = piece.reference or ('',) * n
      hypothesis = piece.hypothesis or ('',) * n
      for pair in zip(reference, hypothesis, strict=True):
        yield piece.kind, *pair


def make_transcripts(
  references: Sequence[str],
  hypotheses: Sequence[str],
  fields: Mapping[str, Sequence[str]] | None = None,
  *,
  unit: str = 'word',
) -> list[Transcript]:
  """Aligns hypotheses with references.

  Args:
    references: n transcripts.
    hypotheses: n recognised texts.
    fields: n strings of each name; `id` names the utterances, which else are
      named by their number.
    unit: `word` or `phone`.

  Returns:
    n transcripts, those with most errors first, among equals those with the
    higher rate.

  Raises:
    ValueError: lists of different lengths, or jiwer is missing.
  """
  others = dict(fields or {})
  ids = others.pop('id', [str(i) for i in range(len(references))])
  words = align(references, hypotheses, unit)
  characters = [None] * len(words)
  if unit == 'word':
    aligned = align(references, hypotheses, 'character')
    characters = [counts_of(pieces) for pieces in aligned]
  rows = zip(ids, references, hypotheses, words, characters, strict=True)
  made = [
    Transcript(
      str(name),
      reference,
      hypothesis,
      unit,
      pieces,
      n,
      {k: str(v[i]) for k, v in others.items()},
    )
    for i, (name, reference, hypothesis, pieces, n) in enumerate(rows)
  ]
  return sorted(made, key=lambda t: (-t.counts.errors, -t.counts.rate))


def write_jsonl(path: Path, transcripts: Iterable[Transcript]) -> None:
  """Writes one JSON object a line: texts, counts and fields."""
  # Half a surrogate pair has no encoding, but an escape in JSON.
  with path.open('w', encoding='utf-8', errors='backslashreplace') as file:
    for t in transcripts:
      row = {
        'id': t.id,
        'reference': t.reference,
        'hypothesis': t.hypothesis,
        **dataclasses.asdict(t.counts),
      }
      if t.characters:
        row['character_errors'] = t.characters.errors
        row['reference_characters'] = t.characters.reference_units
      row['fields'] = dict(t.fields)
      file.write(as_json(row, ensure_ascii=False) + '\n')


def show(
  transcripts: Iterable[Transcript], stream: TextIO | None = None
) -> None:
  """Prints transcripts; in colour where a person reads them on a terminal."""
  stream = stream or sys.stdout
  colour = stream.isatty() and 'NO_COLOR' not in os.environ
  columns = shutil.get_terminal_size().columns
  for transcript in transcripts:
    print(
      as_text(transcript, columns, colour=colour), '', sep='\n', file=stream
    )


def as_text(
  transcript: Transcript, columns: int = 80, *, colour: bool = False
) -> str:
  """Reference and hypothesis in columns, with S, D, I below what is wrong.

  Languages written from the right have no columns on a terminal: their errors
  are listed below the two lines. Each of their texts is isolated, so that a
  terminal that turns it around turns nothing else.

  Args:
    transcript: the utterance.
    columns: of the terminal.
    colour: with ANSI sequences.
  """
  head = f'{printable(transcript.id)}  {transcript.caption}'
  fields = '  '.join(
    f'{k}={printable(v)}' for k, v in transcript.fields.items()
  )
  lines = [f'{head}  {fields}'.rstrip()]
  cells = [
    (kind, printable(reference), printable(hypothesis))
    for kind, reference, hypothesis in transcript.cells()
  ]
  if right_to_left(transcript.reference + transcript.hypothesis):
    lines += [
      f'REF: {isolated(printable(transcript.reference))}',
      f'HYP: {isolated(printable(transcript.hypothesis))}',
    ]
    for kind, *pair in cells:
      if kind != 'equal':
        text = ' | '.join(isolated(side) if side else GAP for side in pair)
        lines.append(f'  {_MARKS[kind]}  {_painted(text, kind, colour)}')
    return '\n'.join(lines)
  for row in wrapped(cells, columns - len('REF: ')):
    sides = {'REF:': '', 'HYP:': '', '    ': ''}
    for kind, reference, hypothesis in row:
      width = max(display_width(reference), display_width(hypothesis))
      cell = (reference, hypothesis, _MARKS[kind])
      for side, text in zip(sides, cell, strict=True):
        padded = padded_cell(text, width)
        sides[side] += ' ' + _painted(padded, kind, colour)
    lines += [f'{side}{text}'.rstrip() for side, text in sides.items()]
  return '\n'.join(line for line in lines if line)


def wrapped(
  cells: Iterable[tuple[str, str, str]], columns: int
) -> Iterator[list[tuple[str, str, str]]]:
  """Cuts cells into rows that fit, a space between cells; at least one each."""
  row, used = [], 0
  for cell in cells:
    width = max(map(display_width, cell[1:])) + 1
    if row and used + width > columns:
      yield row
      row, used = [], 0
    row.append(cell)
    used += width
  if row:
    yield row


def padded_cell(text: str, width: int) -> str:
  """A unit, or the gap where there is none, as wide as its column."""
  text = text or GAP * width
  return text + ' ' * (width - display_width(text))


def display_width(text: str) -> int:
  """Columns of a text on a terminal: combining marks 0, East Asian wide 2."""
  return sum(
    0
    if unicodedata.category(c) in ('Mn', 'Me', 'Cf')
    else 2
    if unicodedata.east_asian_width(c) in 'WF'
    else 1
    for c in text
  )


def _painted(text: str, kind: str, colour: bool) -> str:
  if colour and kind in _COLOURS:
    return f'\x1b[{_COLOURS[kind]}m{text}\x1b[0m'
  return text
