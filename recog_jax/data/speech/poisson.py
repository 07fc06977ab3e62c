"""The private plan of speech: Poisson batches, padded to one length."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.poisson import EXAMPLE, PoissonSample, Units, units_of
from recog_jax.data.speech.buckets import Bucket
from recog_jax.data.speech.items import Items
from recog_jax.data.speech.order import Rows, SpeechTrainOrder
from recog_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechPoissonOrder:
  """As `SpeechTrainOrder`, each step of items that are drawn by themselves.

  The items, strings of recordings where they are joined, are made once: each
  recording is in one of them. Their speed is drawn anew each time.

  Attributes:
    order: whose records, speeds and seed these are.
    sample: which items a step sees.
    batch_size: rows of a batch on average.
  """

  order: SpeechTrainOrder
  sample: PoissonSample
  batch_size: float

  @functools.cached_property
  def _items(self) -> Items:
    return self.order.fixed_items()

  @functools.cached_property
  def bucket(self) -> Bucket:
    """The one shape: of the longest item at the lowest speed."""
    items, order = self._items, self.order
    slow = np.full(len(items), min(order.speeds))
    slowest = order.corpus.items(items.parts, slow, pauses=items.pauses)
    longest = int(slowest.frames.max())
    multiple = order.bucketing.frames_multiple
    return Bucket(
      self.sample.capacity,
      -(-longest // multiple) * multiple,
      -(-max(1, int(items.tokens.max())) // 8) * 8,
    )

  @property
  def buckets(self) -> tuple[Bucket, ...]:
    return (self.bucket,)

  @property
  def steps_per_epoch(self) -> float:
    return self.sample.count / self.batch_size

  def rows(
    self, step: int, choose: Callable[[int], np.ndarray] = np.arange
  ) -> Rows:
    """See `SpeechTrainOrder.rows`; rows above the draw are padding."""
    index, valid = self.sample.rows(step, choose(self.sample.capacity))
    parts, pauses = self._items.parts[index], self._items.pauses[index]
    seen = np.full(len(index), step)
    speeds = np.asarray(self.order.speeds, np.float64)
    draws = Draws(self.order.seed, seen, parts[:, 0])
    factor = speeds[draws.integers('speed', len(speeds))]
    items = self.order.corpus.items(parts, factor, seen, pauses)
    return Rows(self.bucket, items, parts[:, 0], seen, valid)

  def kinds(self) -> list[tuple[int, int, float]]:
    """See `SpeechTrainOrder.kinds`."""
    return [(0, self.sample.capacity, self.steps_per_epoch)]

  def describe(self, sample_rate: int) -> list[str]:
    """Lines that say what a step is; the rate of the recordings in Hz."""
    records = self.order.records
    samples = int(self.order.corpus.num_samples[records].sum())
    rows, frames = self.bucket.rows, self.bucket.frames
    return [
      f'{len(records)} utterances, {samples / sample_rate / 3600:.2f} h, in '
      f'{len(self._items)} items; batches of {rows} rows x {frames} frames, of '
      f'which {self.batch_size:g} are drawn on average'
    ]

  def __getstate__(self):
    # Without what is cached: workers make it again.
    return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

  def fingerprint(self) -> dict[str, Any]:
    """JSON that differs where the order of batches does."""
    order, join = self.order, self.order.join
    return {
      **self.sample.fingerprint(),
      'records': len(order.records),
      'samples': int(order.corpus.num_samples.sum()),
      'tokens': int(order.corpus.tokens.sum()),
      'speeds': list(order.speeds),
      'join': join and join.fingerprint(),
      'max_frames': order.max_frames,
    }


def speech_units(
  unit: str,
  order: SpeechTrainOrder,
  fields: Mapping[str, Sequence[str]],
  changed: Callable[..., Any],
) -> Units:
  """What a private training draws from.

  Args:
    unit: `example`, an item as they are joined, or a field.
    order: of the training without privacy.
    fields: of the records, by name.
    changed: gives the data with another `_order`.

  Raises:
    UserError: no such field, items of several units, or batches whose rows
      depend on the lengths of others.
  """
  bucketing, join = order.bucketing, order.join
  if bucketing.batch_size is None or bucketing.count > 1:
    raise UserError(
      'config.privacy needs config.data.buckets.count=1 and batch_size: in '
      'batches of similar lengths, who is in one depends on the others'
    )
  if unit != EXAMPLE and join is not None and join.field != unit:
    raise UserError(
      f"config.privacy.unit='{unit}' needs config.data.join.field='{unit}': "
      f'strings joined by {join.field} are of several units'
    )
  first = order.fixed_items().parts[:, 0]
  known = {} if unit == EXAMPLE else fields
  members = units_of(unit, {k: [v[i] for i in first] for k, v in known.items()})
  count = len(first) if members is None else len(members)
  mean = bucketing.batch_size

  def draw(rate: float, capacity: int) -> Any:
    sample = PoissonSample(members, count, rate, capacity, order.seed)
    return changed(_order=SpeechPoissonOrder(order, sample, mean))

  return Units(count, mean, draw)
