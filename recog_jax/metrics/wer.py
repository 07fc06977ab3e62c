"""Word, character, phone and sentence error rates, from whole-corpus counts.

The alignments are jiwer's, and so are the rates. Counts are integers, summed
over the utterances and divided once, so that long utterances weigh more.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.metrics import bootstrap

# What `error_counts` has in its columns.
COLUMNS = ('substitutions', 'deletions', 'insertions', 'hits')
UNITS = ('word', 'character', 'phone')

_RATES = {'word': 'wer', 'character': 'cer', 'phone': 'per'}


@dataclasses.dataclass(frozen=True)
class ErrorCounts:
  """How the units of references came out; an empty reference adds no unit."""

  substitutions: int = 0
  deletions: int = 0
  insertions: int = 0
  hits: int = 0

  @classmethod
  def of(cls, counts: np.ndarray) -> 'ErrorCounts':
    """The sum of int `n 4` rows of `error_counts`."""
    return cls(*map(int, np.asarray(counts).sum(0)))

  def merge(self, other: 'ErrorCounts') -> 'ErrorCounts':
    return ErrorCounts(
      *(getattr(self, name) + getattr(other, name) for name in COLUMNS)
    )

  @property
  def errors(self) -> int:
    return self.substitutions + self.deletions + self.insertions

  @property
  def reference_units(self) -> int:
    return self.substitutions + self.deletions + self.hits

  @property
  def rate(self) -> float:
    """Errors by reference unit; as in jiwer, the errors if there is none."""
    return self.errors / max(self.reference_units, 1)


@dataclasses.dataclass(frozen=True)
class Piece:
  """A stretch of an alignment; `substitute` has as many units on both sides.

  Attributes:
    kind: `equal`, `substitute`, `delete` or `insert`.
    reference: the units that were said; none where `insert`.
    hypothesis: the units that were recognised; none where `delete`.
  """

  kind: str
  reference: tuple[str, ...]
  hypothesis: tuple[str, ...]


def align(
  references: Sequence[str], hypotheses: Sequence[str], unit: str = 'word'
) -> list[list[Piece]]:
  """The alignments with the fewest errors (Levenshtein), by jiwer.

  Args:
    references: n transcripts; empty ones are allowed.
    hypotheses: n recognised texts.
    unit: `word` or `phone` (what spaces separate), or `character`: there a
      space counts as a character, at either end it is taken off, and several
      in a row are as many characters. That is jiwer's `cer`.

  Returns:
    n lists of pieces, in order.

  Raises:
    ValueError: not as many hypotheses as references, another unit, or jiwer is
      missing.
  """
  if unit not in UNITS:
    raise ValueError(f"errors are counted in {', '.join(UNITS)}, not '{unit}'")
  if len(references) != len(hypotheses):
    raise ValueError(
      f'{len(references)} references and {len(hypotheses)} hypotheses: there '
      'must be one for each'
    )
  jiwer = _jiwer()
  characters = unit == 'character'
  process = jiwer.process_characters if characters else jiwer.process_words
  output = process(list(references), list(hypotheses))
  return [
    [
      Piece(
        chunk.type,
        tuple(reference[chunk.ref_start_idx : chunk.ref_end_idx]),
        tuple(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]),
      )
      for chunk in chunks
    ]
    for reference, hypothesis, chunks in zip(
      output.references, output.hypotheses, output.alignments, strict=True
    )
  ]


def counts_of(pieces: Sequence[Piece]) -> ErrorCounts:
  """The counts of one alignment."""
  sums = dict.fromkeys(('substitute', 'delete', 'insert', 'equal'), 0)
  for piece in pieces:
    sums[piece.kind] += max(len(piece.reference), len(piece.hypothesis))
  return ErrorCounts(*sums.values())


def error_counts(
  references: Sequence[str], hypotheses: Sequence[str], unit: str = 'word'
) -> np.ndarray:
  """Counts of each utterance; arguments and Raises as in `align`.

  Returns:
    int64 `n 4`, with columns as in `COLUMNS`.
  """
  rows = [
    dataclasses.astuple(counts_of(pieces))
    for pieces in align(references, hypotheses, unit)
  ]
  return np.array(rows, np.int64).reshape(-1, len(COLUMNS))


def speech_metrics(
  references: Sequence[str],
  hypotheses: Sequence[str],
  fields: Mapping[str, Sequence[str]] | None = None,
  *,
  unit: str = 'word',
  resample_by: str | None = None,
  seed: int = 0,
) -> dict[str, Any]:
  """The metrics of a corpus, with bootstrap intervals, also by group.

  Args:
    references: n transcripts, normalised (or folded) as hypotheses are.
    hypotheses: n recognised texts.
    fields: n strings of each name (speaker, gender, lang): each gets a table
      of its values. A field in which no two utterances agree, such as `id`, is
      left out.
    unit: `word`, or `phone`, which gives `per` instead of `wer` and no `cer`.
    resample_by: the field whose values the bootstrap draws, with all their
      utterances; by default it draws utterances. Utterances of one speaker
      are not independent, so `speaker` gives wider, more honest intervals.
    seed: of the bootstrap.

  Returns:
    `utterances`; `wer`, `cer` and `ser` (share of utterances with any error),
    each with `NAME_ci95` [low, high], left out where there is only one thing to
    draw; integers `substitutions`, `deletions`, `insertions`,
    `reference_words`, `character_errors`, `reference_characters`; and `groups`,
    {field: {value: the same for the utterances with this value}}.

  Raises:
    ValueError: no utterances, lists of different lengths, an unknown unit or
      `resample_by`, or jiwer is missing.
  """
  if unit not in ('word', 'phone'):
    raise ValueError(f"transcripts are of words or phones, not of '{unit}'")
  fields = dict(fields or {})
  for name, values in fields.items():
    if len(values) != len(references):
      raise ValueError(
        f"field '{name}' has {len(values)} values for {len(references)} "
        'utterances'
      )
  if resample_by is not None and resample_by not in fields:
    raise ValueError(
      f"cannot resample by '{resample_by}': the utterances have "
      f'{", ".join(sorted(fields)) or "no fields"}'
    )
  if not len(references):
    raise ValueError('there are no utterances to score')
  counts = {unit: error_counts(references, hypotheses, unit)}
  if unit == 'word':
    counts['character'] = error_counts(references, hypotheses, 'character')
  drawn = np.arange(len(references))
  if resample_by is not None:
    drawn = _codes(fields[resample_by])[1]
  result = _summary(counts, drawn, seed)
  result['groups'] = {}
  for name, values in fields.items():
    names, codes = _codes(values)
    if len(names) < len(values):
      result['groups'][name] = {
        value: _summary(
          {k: v[codes == i] for k, v in counts.items()}, drawn[codes == i], seed
        )
        for i, value in enumerate(names)
      }
  return result


def _codes(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
  """The distinct values, sorted, and which one each utterance has."""
  names, codes = np.unique(np.asarray(values, object), return_inverse=True)
  return [str(name) for name in names], codes


def _summary(
  counts: Mapping[str, np.ndarray], drawn: np.ndarray, seed: int
) -> dict[str, Any]:
  """The metrics of some utterances.

  Args:
    counts: unit -> int `n 4`; its first unit decides on `ser`.
    drawn: int `n`, equal for utterances that the bootstrap draws together.
    seed: of the bootstrap.
  """
  unit, rows = next(iter(counts.items()))
  wrong = rows[:, :3].any(1)
  # Of each rate the numerator and the denominator, by utterance.
  ratios = {
    _RATES[name]: (c[:, :3].sum(1), c[:, [0, 1, 3]].sum(1))
    for name, c in counts.items()
  }
  ratios['ser'] = (wrong, np.ones_like(wrong))
  columns = np.stack([x for pair in ratios.values() for x in pair], 1)

  def rates(sums):
    return {
      name: sums[:, 2 * i] / np.maximum(sums[:, 2 * i + 1], 1)
      for i, name in enumerate(ratios)
    }

  result: dict[str, Any] = {'utterances': len(rows)}
  units = _summed(columns.astype(np.int64), drawn)
  intervals = {}
  if len(units) > 1:
    intervals = bootstrap.of_rows(rates, units, seed=seed)
  for name, value in rates(units.sum(0, keepdims=True)).items():
    result[name] = float(value[0])
    if intervals:
      result[f'{name}_ci95'] = list(intervals[name])
  total = ErrorCounts.of(rows)
  for name in COLUMNS[:3]:
    result[name] = getattr(total, name)
  result[f'reference_{unit}s'] = total.reference_units
  if 'character' in counts:
    total = ErrorCounts.of(counts['character'])
    result['character_errors'] = total.errors
    result['reference_characters'] = total.reference_units
  return result


def _summed(columns: np.ndarray, drawn: np.ndarray) -> np.ndarray:
  """Rows `n k` that are drawn together become one."""
  _, codes = np.unique(drawn, return_inverse=True)
  sums = np.zeros((codes.max() + 1, columns.shape[1]), np.int64)
  np.add.at(sums, codes, columns)
  return sums


def _jiwer() -> Any:
  try:
    import jiwer
  except ImportError:
    raise ValueError(
      'error rates need the package jiwer: pip install jiwer'
    ) from None
  return jiwer
