"""Confidence of words and utterances, calibrated, and beside the truth."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

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
  def of(keys: Mapping[str, Any]) -> 'Scaling':
    """From what `fit` gave.

    Raises:
      UserError: it is something else.
    """
    found = {}
    for name in KEYS:
      if name not in keys:
        continue
      try:
        made = metrics.of_json(keys[name])
        good = len(made.weights) == _INPUTS[name]
      except (KeyError, TypeError, ValueError):
        good = False
      if not good:
        raise UserError(
          f"the calibration of each '{name}' is not what `recog_jax.evaluate "
          '--calibrate --confidence` writes: run that again'
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
  tokens = spec.pieces
  if spec.unit == 'phone':  # Each one is a word of its own.
    tokens = [f'\u2581{t}' for t in tokens]
  num = int(row['num'])

  def timed(sure: Any) -> list[Word]:
    return word_times(
      [tokens[int(t)] for t in row['ids'][:num]],
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
  """What confidences are worth on a split.

  Texts are taken as they are, not folded.

  Args:
    spec: of the task.
    records: with `measures`, see `Speech.records`.
    lookup: of the split.
    scaling: that is in use.
    path: of the picture.

  Returns:
    `confidence_auroc`, `_ece` and `_nce` of words with intervals, the same of
    utterances as `utterance_confidence_...`; `hand_over`, a curve.
  """
  seen = _look(spec, records, lookup)
  words = scaling.of_words(seen.measures)
  whole = np.array([scaling.of_utterance(w) for w in seen.parted(words)])
  result: dict[str, Any] = {}
  for name, found in (
    ('confidence', metrics.summary(words, seen.right, seen.utterance)),
    ('utterance_confidence', metrics.summary(whole, seen.errors == 0)),
  ):
    result |= {f'{name}_{key}': value for key, value in found.items()}
  result['hand_over'] = metrics.hand_over(whole, seen.errors, seen.units)
  drawing.draw(path, words, seen.right, whole, seen.errors, seen.units)
  return result


class _Seen(NamedTuple):
  """Words w of utterances n.

  Attributes:
    measures: float `w 3`.
    right: bool `w`.
    counts: int `n`, how many words each has.
    errors: int `n`, of each utterance.
    units: int `n`, words of the reference or wrongly inserted.
  """

  measures: np.ndarray
  right: np.ndarray
  counts: np.ndarray
  errors: np.ndarray
  units: np.ndarray

  @property
  def utterance(self) -> np.ndarray:
    """int `w`: which each word belongs to."""
    return np.repeat(np.arange(len(self.counts)), self.counts)

  def parted(self, words: np.ndarray) -> list[np.ndarray]:
    """Numbers of all words, by utterance."""
    return np.split(words, np.cumsum(self.counts)[:-1])


def _look(
  spec: Spec, records: Mapping[str, np.ndarray], lookup: Callable[..., Any]
) -> _Seen:
  """What the words of a split are, and which of them are right."""
  if 'measures' not in records:
    raise UserError(
      'config.task.confidence needs the head of CTC, and a decoder that does '
      'not align by itself: leave it out, or take --decoder=beam'
    )
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
  return _Seen(
    np.concatenate(measures),
    np.concatenate(right),
    np.array([len(r) for r in right]),
    counts[:, :3].sum(1),
    counts[:, [0, 1, 3]].sum(1),
  )


def fit(
  spec: Spec, records: Mapping[str, np.ndarray], lookup: Callable[..., Any]
) -> dict[str, Any]:
  """How confidences become probabilities, learned from a split.

  Args:
    spec: of the task.
    records: with `measures`, see `Speech.records`.
    lookup: of the split.

  Returns:
    JSON: `word`, and `utterance` of words that the first has scaled; see
    `metrics.Calibration`. `examples`; `notes`, sentences.

  Raises:
    UserError: all words are right, or all are wrong.
  """
  seen = _look(spec, records, lookup)
  word = metrics.fit(metrics.log_odds(seen.measures), seen.right)
  scaled = Scaling(word=word).of_words(seen.measures)
  inputs = np.stack([utterance_inputs(part) for part in seen.parted(scaled)])
  whole = metrics.fit(inputs, seen.errors == 0)
  found = {
    name: {'weights': list(made.weights), 'bias': made.bias}
    for name, made in (('word', word), ('utterance', whole))
    if made is not None
  }
  if not found:
    raise UserError(
      '--calibrate: nothing can be learned of confidence from words that are '
      'all right, or all wrong'
    )
  return {**found, 'examples': len(seen.counts), 'notes': []}


@dataclasses.dataclass(frozen=True)
class Confident:
  """What a task has of confidences that are calibrated.

  Attributes:
    spec: of the task.
    confidence: whether evaluation says what confidences are worth.
    scaling: what makes probabilities of confidences.
  """

  spec: Spec
  confidence: bool = dataclasses.field(default=False, kw_only=True)
  scaling: Scaling = dataclasses.field(default=UNSCALED, kw_only=True)

  def calibrate(
    self, records: Mapping[str, np.ndarray], lookup: Callable[..., Any]
  ) -> dict[str, Any]:
    """How confidences are scaled, as a split says; see `fit`.

    Raises:
      UserError: the records are none with confidences, or teach nothing.
    """
    if not self.confidence:
      raise UserError(
        '--calibrate of speech is of its confidences: add --confidence'
      )
    return fit(self.spec, records, lookup)

  def calibrated(self, chosen: Mapping[str, Any]) -> Self:
    """The task whose confidences are scaled.

    Raises:
      UserError: `calibrate` has not chosen this.
    """
    return dataclasses.replace(self, scaling=Scaling.of(chosen))

  def calibration(self) -> str:
    """What was chosen, in words."""
    scaled = [name for name in KEYS if getattr(self.scaling, name)]
    return f'confidences of each {" and each ".join(scaled)} are scaled'
