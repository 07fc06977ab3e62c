"""Confidence of words and utterances, calibrated, and beside the truth.

A recogniser of letters is often sure of words that nobody says. What
probability a word has of being right is therefore learned from how sure its
letters are, how long it is, and how often the training texts have it.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from recog_jax.decode.align import word_times
from recog_jax.errors import UserError
from recog_jax.metrics import confidence as metrics
from recog_jax.metrics import wer
from recog_jax.report import confidence as drawing
from recog_jax.tasks.speech.spec import Spec

KEYS = ('word', 'utterance')
# Inputs of a word: the log odds of its measures, its length, and how often
# the training has it. Of an utterance: the least and the mean log odds of its
# words, and how many they are.
_INPUTS = {'word': 5, 'utterance': 3}
# Of the words of the training, so many are kept: the most frequent.
_MOST_WORDS = 50_000

Word = tuple[str, float, float, float]


@dataclasses.dataclass(frozen=True)
class Scaling:
  """What makes probabilities of measures; None leaves them as they are.

  Attributes:
    word: from `inputs` of a word.
    utterance: from the log odds of its words.
    seen: how often the training texts have a word.
  """

  word: metrics.Calibration | None = None
  utterance: metrics.Calibration | None = None
  seen: Mapping[str, int] = dataclasses.field(default_factory=dict)

  @staticmethod
  def of(keys: Mapping[str, Any]) -> 'Scaling':
    """From what `fit` gave.

    Raises:
      UserError: it is something else.
    """
    found: dict[str, Any] = {'seen': dict(keys.get('seen', {}))}
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

  def inputs(self, words: Sequence[str], measures: np.ndarray) -> np.ndarray:
    """float `w 5` of some words and their measures `w 3`."""
    length = np.log([max(len(word), 1) for word in words])
    often = np.log1p([self.seen.get(word, 0) for word in words])
    return np.column_stack([metrics.log_odds(measures), length, often])

  def of_words(self, words: Sequence[str], measures: np.ndarray) -> np.ndarray:
    """Probabilities `w` of words and their measures `w 3`.

    Not scaled, they are the first of the measures.
    """
    if self.word is None or not len(words):
      return measures[:, 0]
    return self.word(self.inputs(words, measures))

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
  words = [word for word, *_ in columns[0]]
  sure = scaling.of_words(words, sure.reshape(-1, len(columns)))
  return [
    (*word[:3], float(s)) for word, s in zip(columns[0], sure, strict=True)
  ]


def _measured(
  spec: Spec, row: Mapping[str, np.ndarray], count: int
) -> tuple[list[str], np.ndarray]:
  """The words of a row and their measures, float `w 3`; 0 if they misfit."""
  found = []
  for k in range(3):
    column = {**row, 'confidence': row['measures'][:, k]}
    del column['measures']
    found.append(words_of(spec, column, UNSCALED))
  if len(found[0]) != count:
    return [''] * count, np.zeros((count, 3))
  measures = np.array([[w[3] for w in column] for column in found])
  return [w[0] for w in found[0]], measures.T.reshape(-1, 3)


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
  words = scaling.of_words(seen.words, seen.measures)
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
    words: `w` of them.
    measures: float `w 3`.
    right: bool `w`.
    counts: int `n`, how many words each has.
    errors: int `n`, of each utterance.
    units: int `n`, words of the reference or wrongly inserted.
  """

  words: list[str]
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
  measured = [
    _measured(spec, row, len(r)) for row, r in zip(rows, right, strict=True)
  ]
  counts = wer.error_counts(references, hypotheses, 'word')
  return _Seen(
    [word for words, _ in measured for word in words],
    np.concatenate([measures for _, measures in measured]),
    np.concatenate(right),
    np.array([len(r) for r in right]),
    counts[:, :3].sum(1),
    counts[:, [0, 1, 3]].sum(1),
  )


def fit(
  spec: Spec,
  records: Mapping[str, np.ndarray],
  lookup: Callable[..., Any],
  texts: Iterable[str] = (),
) -> dict[str, Any]:
  """How confidences become probabilities, learned from a split.

  Args:
    spec: of the task.
    records: with `measures`, see `Speech.records`.
    lookup: of the split.
    texts: of the training; none may be had.

  Returns:
    JSON: `word`, and `utterance` of words that the first has scaled; see
    `metrics.Calibration`. `seen`, {word: count}; `examples`; `notes`,
    sentences.

  Raises:
    UserError: all words are right, or all are wrong.
  """
  seen = _look(spec, records, lookup)
  counts = collections.Counter(word for text in texts for word in text.split())
  scaling = Scaling(seen=dict(counts.most_common(_MOST_WORDS)))
  word = metrics.fit(scaling.inputs(seen.words, seen.measures), seen.right)
  scaling = dataclasses.replace(scaling, word=word)
  scaled = scaling.of_words(seen.words, seen.measures)
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
  notes = []
  if not counts:
    notes.append(
      'no texts of the training are known here: confidences do not say how '
      'usual a word is'
    )
  said = {'seen': scaling.seen, 'examples': len(seen.counts), 'notes': notes}
  return {**found, **said}


@dataclasses.dataclass(frozen=True)
class Confident:
  """What a task has of confidences that are calibrated.

  Attributes:
    spec: of the task.
    confidence: whether evaluation says what confidences are worth.
    scaling: what makes probabilities of confidences.
  """

  spec: Spec
  # `calibrate` takes the texts of the training.
  learns_of_texts: ClassVar[bool] = True

  confidence: bool = dataclasses.field(default=False, kw_only=True)
  scaling: Scaling = dataclasses.field(default=UNSCALED, kw_only=True)

  def calibrate(
    self,
    records: Mapping[str, np.ndarray],
    lookup: Callable[..., Any],
    texts: Iterable[str] = (),
  ) -> dict[str, Any]:
    """How confidences are scaled, as a split says; see `fit`.

    Raises:
      UserError: the records are none with confidences, or teach nothing.
    """
    if not self.confidence:
      raise UserError(
        '--calibrate of speech is of its confidences: add --confidence'
      )
    return fit(self.spec, records, lookup, texts)

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
