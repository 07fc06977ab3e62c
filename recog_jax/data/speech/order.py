"""Which utterances a step sees, joined and bucketed: pure in (seed, step).

Speech differs from images in length. Items of similar length share a batch of
one of a few fixed shapes ("buckets"), so that little is padding and XLA
compiles few programs. What changes an item's length belongs here and not to
augmentation: joining utterances of one speaker, and speed factors.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.speech.buckets import Bucket, Bucketing, best_widths
from recog_jax.data.speech.items import Corpus, Items
from recog_jax.data.speech.joining import Join, strings, switch_share
from recog_jax.data.speech.sampling import Sampler

# Virtual epochs that shapes and steps per epoch are chosen from: with joins and
# speed factors no two epochs have the same lengths.
_SURVEYED = 3


@dataclasses.dataclass(frozen=True)
class Rows:
  """Some rows of one step's global batch.

  Attributes:
    bucket: the batch's shape.
    items: `k` of them.
    index: int64 `k`: in evaluation the item's number, else its first record's.
    epoch: int64 `k`, how often the data were gone through before.
    valid: bool `k`, False on padding rows.
  """

  bucket: Bucket
  items: Items
  index: np.ndarray
  epoch: np.ndarray
  valid: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechTrainOrder:
  """Batches of training: every record about once an epoch.

  An epoch has a whole and constant number of steps. What does not fill a batch
  of its bucket is shown in the next longer one; the longest bucket's last batch
  is filled with items seen before. Where joins or speeds make an epoch of more
  or fewer batches than that number, batches of a random choice are left out or
  shown twice, and so are strings longer than the shapes: a percent or so,
  another one each epoch.

  Attributes:
    corpus: the records.
    records: int64 `m`, those that are shown, see `speech.items.exclude`.
    bucketing: how shapes are chosen.
    seed: of order, joins and speeds.
    frames_per_second: of features.
    speeds: factors, drawn for each item with equal probability.
    join: see `joining.Join`; None shows records one by one.
    max_frames: longer items are left out; None: nothing is too long.
    sampler: how often groups of records are shown; None: all once an epoch.
  """

  corpus: Corpus
  records: np.ndarray
  bucketing: Bucketing
  seed: int
  frames_per_second: float
  speeds: tuple[float, ...] = (1.0,)
  join: Join | None = None
  max_frames: int | None = None
  sampler: Sampler | None = None

  def _items(self, epoch: int) -> Items:
    """All items of an epoch, in an order of its own."""
    records, seen = self.records, np.full(len(self.records), epoch)
    if self.sampler is not None:
      records, seen = self.sampler.epoch(self.seed, epoch)
    if self.join is None:
      draws = Draws(self.seed, seen, records)
      order = np.argsort(draws.bits('order'), kind='stable')
      parts, seen = records[order][:, None], seen[order]
    else:
      parts = strings(
        self.join, self.corpus, records, seen, seed=self.seed, epoch=epoch
      )
      seen = np.full(len(parts), epoch)
    draws = Draws(self.seed, seen, parts[:, 0])
    speeds = np.asarray(self.speeds, np.float64)
    factor = speeds[draws.integers('speed', len(speeds))]
    pauses = self.join and self.join.pauses(draws, parts, self.corpus.rate)
    items = self.corpus.items(parts, factor, seen, pauses)
    if self.max_frames is not None:  # Joined ones may be; others never are.
      items = items.take(np.flatnonzero(items.frames <= self.max_frames))
    return items

  def fixed_items(self) -> Items:
    """The items of the first epoch, for who shows these alone."""
    return self._items(0)

  @functools.cached_property
  def buckets(self) -> tuple[Bucket, ...]:
    """The shapes, shortest first."""
    survey = [self._items(epoch) for epoch in range(_SURVEYED)]
    frames = np.concatenate([s.frames for s in survey])
    tokens = np.concatenate([s.tokens for s in survey])
    multiple = self.bucketing.frames_multiple
    widths = best_widths(frames, self.bucketing.count, multiple)
    longest = self._longest()
    most = int(longest.frames.max())
    if self.max_frames is not None:
      most = min(most, self.max_frames)
    widths[-1] = max(widths[-1], -(-most // multiple) * multiple)
    tokens[-1] = max(tokens[-1], longest.tokens.max())
    place = np.searchsorted(widths, frames)
    found: list[Bucket] = []
    for k, width in enumerate(widths):
      last = k == len(widths) - 1
      here = tokens if last else tokens[place == k]
      u = max([*here, found[-1].tokens if found else 1])
      rows = self.bucketing.rows(width, self.frames_per_second)
      found.append(Bucket(rows, width, -(-int(u) // 8) * 8))
    return tuple(found)

  def _longest(self) -> Items:
    """Records one by one at the lowest speed: no item is longer.

    Of joined ones those of the survey must do: what chance puts together in a
    later epoch and does not fit is left out of that epoch.
    """
    n = len(self.records)
    parts = self.records[:, None]
    return self.corpus.items(parts, np.full(n, min(self.speeds)))

  def _place(self, items: Items) -> np.ndarray:
    """The first bucket that holds an item; their number where none does."""
    frames = np.array([b.frames for b in self.buckets])
    tokens = np.array([b.tokens for b in self.buckets])
    return np.maximum(
      np.searchsorted(frames, items.frames),
      np.searchsorted(tokens, items.tokens),
    )

  def _batches(self, epoch: int) -> tuple[Items, list[tuple[int, np.ndarray]]]:
    """An epoch's items, and its batches as (bucket, rows' item numbers)."""
    items = self._items(epoch)
    place = self._place(items)
    batches, left = [], np.empty(0, np.int64)
    for k, bucket in enumerate(self.buckets):
      here = np.concatenate([left, np.flatnonzero(place == k)])
      whole = len(here) // bucket.rows * bucket.rows
      batches += [(k, r) for r in here[:whole].reshape(-1, bucket.rows)]
      left = here[whole:]
    if len(left):
      # In the order of the epoch, from the start: a random choice.
      fitting = np.flatnonzero(place < len(self.buckets))
      fill = np.resize(fitting, bucket.rows - len(left))
      batches.append((k, np.concatenate([left, fill])))
    return items, batches

  @functools.cached_property
  def steps_per_epoch(self) -> int:
    counts = [len(self._batches(epoch)[1]) for epoch in range(_SURVEYED)]
    return max(1, round(sum(counts) / len(counts)))

  @functools.cached_property
  def batch_size(self) -> float:
    """Mean rows of a batch."""
    batches = self._batches(0)[1]
    return sum(len(rows) for _, rows in batches) / len(batches)

  @functools.cached_property
  def _epochs(self) -> Callable[[int], tuple[Items, list]]:
    @functools.lru_cache(maxsize=2)
    def shuffled(epoch: int):
      items, batches = self._batches(epoch)
      number = np.arange(len(batches))
      draws = Draws(self.seed, np.full(len(number), epoch), number)
      order = np.argsort(draws.bits('batches'), kind='stable')
      order = np.resize(order, self.steps_per_epoch)
      return items, [batches[i] for i in order]

    return shuffled

  def rows(
    self, step: int, choose: Callable[[int], np.ndarray] = np.arange
  ) -> Rows:
    """Rows of a step's global batch.

    Args:
      step: the training step.
      choose: the batch's rows b -> int `k`, those wanted.
    """
    epoch, place = divmod(step, self.steps_per_epoch)
    items, batches = self._epochs(epoch)
    k, members = batches[place]
    chosen = items.take(members[choose(len(members))])
    return Rows(
      self.buckets[k],
      chosen,
      chosen.parts[:, 0],
      chosen.seen,
      np.ones(len(chosen), bool),
    )

  def kinds(self) -> list[tuple[int, int, float]]:
    """(first step, rows, steps of the first epoch) of each bucket in it."""
    places = [k for k, _ in self._epochs(0)[1]]
    return [
      (places.index(k), bucket.rows, places.count(k))
      for k, bucket in enumerate(self.buckets)
      if k in places
    ]

  def padding_share(self, epoch: int = 0) -> float:
    """Padding frames of an epoch's batches, as a share of all frames."""
    items, batches = self._batches(epoch)
    used = sum(int(items.frames[rows].sum()) for _, rows in batches)
    made = sum(self.buckets[k].frames * len(rows) for k, rows in batches)
    return 1 - used / made

  def describe(self, sample_rate: int) -> list[str]:
    """Lines that say what an epoch is; the rate of the recordings in Hz."""
    shapes = ', '.join(f'{b.rows}x{b.frames}' for b in self.buckets)
    samples = int(self.corpus.num_samples[self.records].sum())
    lines = [
      f'{len(self.records)} utterances, {samples / sample_rate / 3600:.2f} h; '
      f'{len(self.buckets)} batch shapes (rows x frames) {shapes}; '
      f'{self.padding_share():.1%} of frames are padding; '
      f'{self.steps_per_epoch} steps an epoch'
    ]
    if self.sampler is not None:
      lines.append(self.sampler.describe())
    if self.join is not None and self.join.switch is not None:
      share = switch_share(self._items(0).parts, self.corpus.language)
      lines.append(
        f'of neighbours in strings {share:.0%} are of two languages '
        f'(config.data.join.switch={self.join.switch:g})'
      )
    return lines

  def __getstate__(self):
    # Without what is cached: workers make it again.
    return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

  def fingerprint(self) -> dict[str, Any]:
    """JSON that differs where the order of batches does."""
    sampled = {}
    if self.sampler is not None:
      sampled = {'sampling': self.sampler.fingerprint()}
    return {
      **sampled,
      'kind': 'speech-train',
      'version': 1,
      'records': len(self.records),
      'samples': int(self.corpus.num_samples.sum()),
      'tokens': int(self.corpus.tokens.sum()),
      'seed': self.seed,
      'speeds': list(self.speeds),
      'join': self.join and self.join.fingerprint(),
      'max_frames': self.max_frames,
      'buckets': [list(dataclasses.astuple(b)) for b in self.buckets],
      'steps_per_epoch': self.steps_per_epoch,
    }


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechEvalOrder:
  """Every item once, shortest first; a bucket's last batch is padded.

  Attributes:
    items: those of the split.
    row_counts: rows that a batch may have, most first.
    bucketing: how shapes are chosen.
    most_frames: of a batch, padding included: longer items come in batches of
      fewer rows, down to the fewest.
  """

  items: Items
  row_counts: tuple[int, ...]
  bucketing: Bucketing
  most_frames: int

  @property
  def buckets(self) -> tuple[Bucket, ...]:
    """The shapes, shortest first."""
    return tuple(dict.fromkeys(bucket for bucket, _ in self._batches))

  @functools.cached_property
  def _batches(self) -> list[tuple[Bucket, np.ndarray]]:
    order = np.argsort(self.items.frames, kind='stable')
    frames = self.items.frames[order]
    widths = best_widths(
      np.maximum(frames, 1),
      self.bucketing.count,
      self.bucketing.frames_multiple,
    )
    tokens = -(-max(int(self.items.tokens.max()), 1) // 8) * 8
    batches = []
    for k, place in enumerate(widths):
      low = widths[k - 1] if k else -1
      here = order[(frames > low) & (frames <= place)]
      fitting = (b for b in self.row_counts if b * place <= self.most_frames)
      rows = next(fitting, self.row_counts[-1])
      bucket = Bucket(rows, place, tokens)
      for start in range(0, len(here), rows):
        batches.append((bucket, here[start : start + rows]))
    return batches

  @property
  def num_batches(self) -> int:
    return len(self._batches)

  def rows(
    self, step: int, choose: Callable[[int], np.ndarray] = np.arange
  ) -> Rows:
    """Rows of one batch; padding rows repeat its first item."""
    bucket, members = self._batches[step]
    wanted = choose(bucket.rows)
    valid = wanted < len(members)
    index = members[np.where(valid, wanted, 0)]
    return Rows(
      bucket, self.items.take(index), index, np.zeros_like(index), valid
    )
