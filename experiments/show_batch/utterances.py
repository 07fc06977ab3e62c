"""A few utterances of a training split, to be shown."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from recog_jax.data.speech import augment
from recog_jax.data.speech.items import Corpus, eval_items
from recog_jax.data.speech.joining import Join, joined_by
from recog_jax.data.speech.records import Utterances, WaveRecords
from recog_jax.errors import UserError

# Seconds of the shortest and longest utterance that are looked for.
_SECONDS = (1.5, 4.5)
# Strings of joined records that the shown ones are chosen from.
_STRINGS = 256


@dataclasses.dataclass(frozen=True)
class Chosen:
  """The utterances that are shown.

  Attributes:
    records: those that the utterances consist of, and no others.
    texts: transcript of each record.
    parts: int64 `b j`, records of each utterance in order, padded with -1.
    index: int64 `b`, number in the split of each one's first record: draws of
      augmentation depend on it.
  """

  records: WaveRecords
  texts: Sequence[str]
  parts: np.ndarray
  index: np.ndarray

  def fields(self, name: str) -> list[str]:
    """A field of each utterance's first record; '' where there is none."""
    values = self.records.utterances.fields.get(name)
    return [values[i] if values else '' for i in self.parts[:, 0]]

  @property
  def labels(self) -> list[str]:
    """Transcript of each utterance."""
    rows = [row[row >= 0] for row in self.parts]
    return [' '.join(self.texts[i] for i in row) for row in rows]

  @property
  def waves(self) -> list[np.ndarray]:
    """float32 `n` of each utterance."""
    rows = [row[row >= 0] for row in self.parts]
    return [np.concatenate(self.records.take(row)) for row in rows]


def choose(
  records: Any,
  first: int,
  utterances: Utterances,
  texts: Sequence[str],
  *,
  count: int,
  join: Join | None,
  sample_rate: int,
  max_seconds: float | None,
) -> Chosen:
  """Takes utterances of a few seconds, in which single sounds can be seen.

  Args:
    records: of the official split.
    first: its record that is the training split's first.
    utterances: the index of the training split.
    texts: its transcripts.
    count: utterances to choose, fewer where there are not so many.
    join: records are joined as in training.
    sample_rate: in Hz.
    max_seconds: longer utterances are not trained on; None: all are.

  Raises:
    UserError: there is nothing to show.
  """
  n = utterances.num_samples
  group, language = joined_by(join, utterances.fields, len(n), 'train')
  if join is not None:
    join = dataclasses.replace(join, sizes={'train': _STRINGS})
  corpus = Corpus(
    num_samples=n,
    tokens=np.zeros_like(n),
    group=group,
    separator=0,
    frames_of=lambda samples: samples,
    length_at=augment.perturbed_len,
    language=language,
  )
  items = eval_items(corpus, join, 'train')
  seconds = items.frames / sample_rate
  usable = (seconds > 0) & (seconds <= (max_seconds or np.inf))
  if not usable.any():
    raise UserError('no training utterance has sound and up to max_seconds')
  distance = np.where(usable, 0.0, np.inf)
  taken: list[int] = []
  for wanted in np.linspace(*_SECONDS, min(count, usable.sum())):
    taken.append(int(np.argmin(distance + np.abs(seconds - wanted))))
    distance[taken[-1]] = np.inf
  parts = items.parts[taken]
  there = parts >= 0
  ids, number = np.unique(parts[there], return_inverse=True)
  renumbered = np.full_like(parts, -1)
  renumbered[there] = number
  known = WaveRecords(utterances.take(ids), records.take(ids + first))
  return Chosen(known, [texts[i] for i in ids], renumbered, parts[:, 0])
