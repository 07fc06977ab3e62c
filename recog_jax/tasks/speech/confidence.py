"""Confidence of words and utterances, calibrated, and beside the truth."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.decode.align import word_times
from recog_jax.errors import UserError
from recog_jax.metrics import confidence as metrics
from recog_jax.metrics import wer
from recog_jax.report import confidence as drawing
from recog_jax.tasks.speech.spec import Spec

KEYS = ('word', 'utterance')
# Inputs of a word: its measures. Of an utterance: the least and the mean log
# odds of its words, and how many they are.
_INPUTS = {'word': 3, 'utterance': 3}

Word = tuple[str, float, float, float]


@dataclasses.dataclass(frozen=True)
class Scaling:
  """What makes probabilities of measures; None leaves them as they are.

  Attributes:
    word: from the log odds of the measures of a word.
    utterance: from the log odds of its words.
  """

  word: metrics.Calibration | None = None
  utterance: metrics.Calibration | None = None

  @staticmethod
  def of(keys: Mapping[str, Any] | None) -> 'Scaling':
    """From `config.task.calibration`.

    Raises:
      UserError: it is none that `evaluate --calibrate` has written.
    """
    found = {}
    for name, numbers in (keys or {}).items():
      try:
        made = metrics.of_json(numbers)
        good = name in KEYS and len(made.weights) == _INPUTS[name]
      except (KeyError, TypeError, ValueError):
        good = False
      if not good:
        raise UserError(
          'config.task.calibration is not what `recog_jax.evaluate '
          '--calibrate` writes: remove calibration.json and run that again'
        )
      found[name] = made
    return Scaling(**found)

  def of_words(self, measures: np.ndarray) -> np.ndarray:
    """Probabilities `w` of measures `w 3`; the first one where not scaled."""
    if self.word is None:
      return measures[:, 0]
    return self.word(metrics.log_odds(measures))

  def of_utterance(self, words: np.ndarray) -> float:
    """That all words are right, of theirs `w`; the mean where not scaled."""
    if self.utterance is None:
      return float(np.mean(words)) if len(words) else 0.0
    return float(self.utterance(utterance_inputs(words)[None])[0])


UNSCALED = Scaling()


def utterance_inputs(words: np.ndarray) -> np.ndarray:
  """float `3` of the confidences `w` of an utterance's words."""
  if not len(words):
    return np.zeros(3)
  odds = metrics.log_odds(words)
  return np.array([odds.min(), odds.mean(), np.log1p(len(words))])


def words_of(
  spec: Spec, row: Mapping[str, np.ndarray], scaling: Scaling
) -> list[Word]:
  """(word, begin, end, confidence) of one aligned row, in seconds."""
  tokens = spec.tokenizer.tokens
  if spec.unit == 'phone':  # Each one is a word of its own.
    tokens = [f'\u2581{t}' for t in tokens]
  num = int(row['num'])

  def timed(sure: Any) -> list[Word]:
    return word_times(
      [tokens[t] for t in row['ids'][:num]],
      row['start'][:num],
      row['end'][:num],
      frame_shift=float(row['frame_s']),
      confidence=sure,
    )

  if 'measures' not in row:  # Of streams.
    return timed(row.get('confidence'))
  columns = [timed(column) for column in np.asarray(row['measures']).T]
  sure = np.array([[w[3] for w in column] for column in columns]).T
  sure = scaling.of_words(sure.reshape(-1, len(columns)))
  return [
    (*word[:3], float(s)) for word, s in zip(columns[0], sure, strict=True)
  ]


def _measured(
  spec: Spec, row: Mapping[str, np.ndarray], count: int
) -> np.ndarray:
  """float `w 3`: the measures of the words of a row; 0 if they do not fit."""
  found = []
  for k in range(3):
    column = {**row, 'confidence': row['measures'][:, k]}
    del column['measures']
    found.append([w[3] for w in words_of(spec, column, UNSCALED)])
  measures = np.array(found).T.reshape(-1, 3)
  return measures if len(measures) == count else np.zeros((count, 3))


def report(
  spec: Spec,
  records: Mapping[str, np.ndarray],
  lookup: Callable[..., Any],
  scaling: Scaling,
  path: Path,
) -> dict[str, Any]:
  """What confidences are worth on a split, and how to scale them.

  Texts are taken as they are, not folded.

  Args:
    spec: of the task.
    records: with `measures`, see `Speech.records`.
    lookup: of the split.
    scaling: that is in use.
    path: of the picture.

  Returns:
    `confidence_auroc`, `_ece` and `_nce` of words with intervals, the same of
    utterances as `utterance_confidence_...`; `hand_over`, a curve;
    `calibration`, fitted on this very split, keys as of `Scaling`.
  """
  references = lookup(records['index'])['text']
  names = ('ids', 'num', 'start', 'end', 'frame_s', 'measures')
  rows = [
    {k: records[k][i] for k in names} for i in range(len(records['index']))
  ]
  hypotheses = [spec.text(row['ids'], row['num']) for row in rows]
  right = metrics.right_words(references, hypotheses)
  measures = [
    _measured(spec, row, len(r)) for row, r in zip(rows, right, strict=True)
  ]
  counts = wer.error_counts(references, hypotheses, 'word')
  errors, units = counts[:, :3].sum(1), counts[:, [0, 1, 3]].sum(1)
  flat, all_right = np.concatenate(measures), np.concatenate(right)
  unit = np.repeat(np.arange(len(right)), [len(r) for r in right])
  words = scaling.of_words(flat)
  split = np.split(words, np.cumsum([len(r) for r in right])[:-1])
  whole = np.array([scaling.of_utterance(w) for w in split])
  result: dict[str, Any] = {}
  for name, found in (
    ('confidence', metrics.summary(words, all_right, unit)),
    ('utterance_confidence', metrics.summary(whole, errors == 0)),
  ):
    result |= {f'{name}_{key}': value for key, value in found.items()}
  result['hand_over'] = metrics.hand_over(whole, errors, units)
  result['calibration'] = _fitted(flat, all_right, right, errors == 0)
  drawing.draw(path, words, all_right, whole, errors, units)
  return result


def _fitted(
  measures: np.ndarray,
  all_right: np.ndarray,
  right: list[np.ndarray],
  whole: np.ndarray,
) -> dict[str, Any]:
  """Both calibrations, the second of words that the first has scaled."""
  found = {}
  word = metrics.fit(metrics.log_odds(measures), all_right)
  scaled = Scaling(word=word).of_words(measures)
  parts = np.split(scaled, np.cumsum([len(r) for r in right])[:-1])
  inputs = np.stack([utterance_inputs(part) for part in parts])
  for name, made in (('word', word), ('utterance', metrics.fit(inputs, whole))):
    if made is not None:
      found[name] = {'weights': list(made.weights), 'bias': made.bias}
  return found
