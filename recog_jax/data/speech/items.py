"""What is one example of speech: some records in a row, at one speed."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.speech.joining import Join, no_pauses, strings, told_of
from recog_jax.data.speech.records import Utterances
from recog_jax.errors import UserError, warn

# Seconds of an utterance. A batch of evaluation has no more frames than its
# rows have at the first; what is longer than the second is no utterance.
USUAL_S = 40
_LONGEST_S = 1800


@dataclasses.dataclass(frozen=True)
class Items:
  """Utterances as they are shown: some records in a row, at one speed.

  Attributes:
    parts: int64 `n j`, record numbers in order; -1 where there is none.
    factor: float64 `n`, speed; 1.1 is faster and shorter.
    frames: int64 `n`, feature frames.
    tokens: int64 `n`, target tokens.
    seen: int64 `n`, how often the first record was shown before.
    pauses: int64 `n j+1`, samples of silence before each record and at the end.
  """

  parts: np.ndarray
  factor: np.ndarray
  frames: np.ndarray
  tokens: np.ndarray
  seen: np.ndarray
  pauses: np.ndarray

  def __len__(self) -> int:
    return len(self.frames)

  def take(self, ids: np.ndarray) -> 'Items':
    return Items(*(getattr(self, f.name)[ids] for f in _ITEM_FIELDS))

  def known(
    self,
    ids: np.ndarray,
    texts: Sequence[str],
    fields: Mapping[str, Sequence[str]],
  ) -> dict[str, Any]:
    """`text` and `fields` of some items; of joined ones see `told_of`.

    Args:
      ids: int `k`.
      texts: of the records.
      fields: of the records, by name.
    """
    rows = [row[row >= 0] for row in self.parts[ids]]
    return {
      'text': [' '.join(texts[i] for i in row) for row in rows],
      'fields': told_of(rows, texts, fields),
    }


_ITEM_FIELDS = dataclasses.fields(Items)


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
  """What an order knows of a split's records: lengths, no audio.

  Attributes:
    num_samples: int64 `n`.
    tokens: int64 `n`, target tokens of each record.
    group: int64 `n`, records of one number may be joined.
    separator: tokens between two joined records; int64 `n`, before each one.
    frames_of: samples -> feature frames, pure integer arithmetic.
    length_at: (samples, factor) -> samples at that speed.
    language: int64 `n`, a number for each; None: joins go by none.
    rate: of the samples, in Hz; pauses are in seconds.
  """

  num_samples: np.ndarray
  tokens: np.ndarray
  group: np.ndarray
  separator: int | np.ndarray
  frames_of: Callable[[np.ndarray], np.ndarray]
  length_at: Callable[[np.ndarray, np.ndarray], np.ndarray]
  language: np.ndarray | None = None
  rate: int = 1

  def items(
    self,
    parts: np.ndarray,
    factor: np.ndarray,
    seen: np.ndarray | int = 0,
    pauses: np.ndarray | None = None,
  ) -> Items:
    """Items of some records, with their lengths."""
    there = parts >= 0
    pauses = no_pauses(parts) if pauses is None else pauses
    samples = np.where(there, self.num_samples[parts], 0).sum(1)
    samples += pauses.sum(1)
    tokens = np.where(there, self.tokens[parts], 0).sum(1)
    before = np.broadcast_to(self.separator, self.tokens.shape)[parts]
    tokens += np.where(there, before, 0)[:, 1:].sum(1)
    frames = self.frames_of(self.length_at(samples, factor))
    seen = np.full(len(parts), seen)
    frames = np.asarray(frames, np.int64)
    return Items(parts, factor, frames, tokens, seen, pauses)


def most_frames(features: Any, max_seconds: float | None) -> int | None:
  """Frames of the longest utterance of training; None: of any length.

  Args:
    features: `features.Features`.
    max_seconds: of the config.
  """
  limits = [s for s in (max_seconds, features.longest_s) if s is not None]
  return round(min(limits) / features.hop_s) if limits else None


def check_longest(
  corpus: Corpus,
  features: Any,
  max_frames: int | None,
  split: str,
  fields: Mapping[str, Sequence[str]],
) -> None:
  """Refuses utterances that no memory holds, and tells of unusually long ones.

  Args:
    corpus: the records.
    features: `features.Features`.
    max_frames: longer ones are left out anyway; None: none are.
    split: for messages.
    fields: of the records.

  Raises:
    UserError: one is longer than half an hour, or than the features hear.
  """
  n = len(corpus.num_samples)
  frames = corpus.items(np.arange(n)[:, None], np.ones(n)).frames
  if max_frames is not None:
    frames = np.where(frames > max_frames, 0, frames)
  seconds = frames * features.hop_s
  at = int(seconds.argmax())
  name = fields['id'][at] if 'id' in fields else f'record {at}'
  if seconds[at] > _LONGEST_S:
    raise UserError(
      f'{name} of {split} has {seconds[at]:.0f} s, and an utterance may have '
      f'at most {_LONGEST_S}: cut it into segments (manifests have offset and '
      'duration), or leave it out (of training with config.data.max_seconds)'
    )
  most_s = features.longest_s
  if most_s is not None and seconds[at] > most_s:
    raise UserError(
      f'{name} of {split} has {seconds[at]:.1f} s, and these features hear at '
      f'most {most_s:g} s of an utterance: cut it into segments; `predict` '
      'cuts long recordings itself'
    )
  if seconds[at] > USUAL_S:
    warn(
      f'{(seconds > USUAL_S).sum()} utterances of {split} are longer than '
      f'{USUAL_S} s, and take memory in proportion; the longest is {name}, '
      f'{seconds[at]:.0f} s'
    )


def row_counts(
  batch_size: int, local_rows: Callable[[int], np.ndarray]
) -> tuple[int, ...]:
  """A batch's rows and parts of them that the devices can share, most first."""
  counts = [batch_size]
  for parts in range(2, batch_size + 1):
    rows, rest = divmod(batch_size, parts)
    with contextlib.suppress(ValueError):  # They cannot.
      if not rest and len(local_rows(rows)):
        counts.append(rows)
  return tuple(counts)


@dataclasses.dataclass(frozen=True)
class Excluded:
  """Records that training leaves out, by reason: int64 record numbers."""

  too_long: np.ndarray
  too_short: np.ndarray
  empty: np.ndarray
  other_script: np.ndarray

  def usable(self, count: int) -> np.ndarray:
    """The other ones of `count` records."""
    out = np.concatenate([getattr(self, f.name) for f in _REASONS])
    return np.setdiff1d(np.arange(count), out)

  def __str__(self) -> str:
    named = {
      'too long': self.too_long,
      'too short for their text': self.too_short,
      'without text': self.empty,
      'in another script': self.other_script,
    }
    return ', '.join(f'{len(v)} {k}' for k, v in named.items() if len(v))

  def lines(self, utterances: Utterances, texts: Sequence[str]) -> str:
    """A line of JSON for each, of the index and the text of all records."""
    return ''.join(
      json.dumps(
        {
          'id': utterances.fields['id'][i],
          'reason': field.name,
          'samples': int(utterances.num_samples[i]),
          'text': texts[i],
        },
        ensure_ascii=False,
      )
      + '\n'
      for field in _REASONS
      for i in getattr(self, field.name)
    )


_REASONS = dataclasses.fields(Excluded)


def exclude(
  corpus: Corpus,
  *,
  speeds: tuple[float, ...],
  max_frames: int | None,
  frames_out: Callable[[np.ndarray], np.ndarray],
  repeats: np.ndarray,
  other_script: np.ndarray,
) -> Excluded:
  """Finds the records that cannot be trained on, each judged alone.

  Args:
    corpus: the records.
    speeds: the speeds at which they are shown; the worst one counts.
    max_frames: longer records are left out; None: nothing is too long.
    frames_out: frames -> encoder frames.
    repeats: int64 `n`, equal neighbours among each record's tokens: CTC needs
      a blank between them, so tokens + repeats frames in all.
    other_script: bool `n`, records that are left out for their script.
  """
  n = len(corpus.num_samples)
  ids = np.arange(n)[:, None]
  slow = corpus.items(ids, np.full(n, min(speeds)))
  fast = corpus.items(ids, np.full(n, max(speeds)))
  long = np.zeros(n, bool)
  if max_frames is not None:
    long = slow.frames > max_frames
  empty = corpus.tokens == 0
  short = np.asarray(frames_out(fast.frames)) < corpus.tokens + repeats
  short &= ~empty & ~long
  foreign = other_script & ~(long | short | empty)
  return Excluded(*(np.flatnonzero(m) for m in (long, short, empty, foreign)))


def check_excluded(found: Excluded, count: int, share: float) -> None:
  """Refuses to train on what is left of `count` records.

  Raises:
    UserError: more than a share of them is left out, those in another script
      not counted, or all.
  """
  left_out = count - len(found.usable(count))
  if left_out == count:
    raise UserError(
      f'none of the {count} training utterances can be used ({found}): raise '
      'config.data.max_seconds, or choose a model that subsamples less'
    )
  left_out -= len(found.other_script)  # By choice.
  if left_out > share * count:
    raise UserError(
      f'{left_out} of {count} training utterances cannot be used ({found}), '
      f'more than config.data.max_excluded_share={share}: raise that, '
      'config.data.max_seconds, or choose a model that subsamples less'
    )


def eval_items(corpus: Corpus, join: Join | None, split: str) -> Items:
  """The items of an evaluation split: its records, or fixed strings of them.

  Strings come from whole passes over the records, so that all occur about
  equally often.

  Raises:
    UserError: the config does not say how many strings the split has.
  """
  n = len(corpus.num_samples)
  if join is None:
    return corpus.items(np.arange(n)[:, None], np.ones(n))
  if split not in join.sizes:
    raise UserError(f"config.data.join.sizes has no number for '{split}'")
  number, parts, epoch = join.sizes[split], [], 0
  while sum(map(len, parts)) < number:
    seen = np.full(n, epoch)
    found = strings(join, corpus, np.arange(n), seen, seed=0, epoch=epoch)
    parts.append(found)
    epoch += 1
  parts = np.concatenate(parts)[:number]
  return corpus.items(parts, np.ones(len(parts)))
