"""SpecAugment on log-mel frames, in the input pipeline."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.ops import check
from recog_jax.ranges import Count, NotNegative, Share

# Table 1 of Park et al. 2019 (arXiv 1904.08779), and the policy of Park et al.
# 2020 (arXiv 1912.05533) whose time masks follow the utterance's length.
POLICIES: dict[str, dict[str, Any]] = {
  'LB': {
    'warp': 80,
    'freq_width': 27,
    'freq_masks': 1,
    'time_width': 100,
    'max_share': 1.0,
    'time_masks': 1,
  },
  'LD': {
    'warp': 80,
    'freq_width': 27,
    'freq_masks': 2,
    'time_width': 100,
    'max_share': 1.0,
    'time_masks': 2,
  },
  'SM': {
    'warp': 40,
    'freq_width': 15,
    'freq_masks': 2,
    'time_width': 70,
    'max_share': 0.2,
    'time_masks': 2,
  },
  'SS': {
    'warp': 40,
    'freq_width': 27,
    'freq_masks': 2,
    'time_width': 70,
    'max_share': 0.2,
    'time_masks': 2,
  },
  'LibriFullAdapt': {
    'warp': 80,
    'freq_width': 27,
    'freq_masks': 2,
    'max_share': 0.04,
    'masks_per_frame': 0.04,
    'time_masks': 20,
  },
}
FILLS = ('mean', 'zero')


@dataclasses.dataclass(frozen=True)
class SpecAugment:
  """Warps time, then masks bands of features and spans of time.

  Park et al., "SpecAugment", Interspeech 2019, and "SpecAugment on large scale
  datasets", ICASSP 2020. The warp is piecewise linear, as in the second paper.

  Attributes:
    policy: 'LB', 'LD', 'SM', 'SS' or 'LibriFullAdapt': values of the other
      keys, each of which may still be given. None: keys left out do nothing.
    warp: W, the most frames by which a frame between W and the length - W is
      moved; utterances of 2 W frames or fewer are not warped.
    freq_masks: bands that are masked.
    freq_width: F, the most features of a band.
    time_masks: spans that are masked.
    time_width: T, the most frames of a span; left out: `max_share` alone.
    max_share: p, and pS of the adaptive size: no span is longer than this
      share of the utterance.
    masks_per_frame: pM of the adaptive multiplicity: this times the utterance's
      length, rounded down, is the number of spans, and `time_masks` the most.
    ramp: share of the run in which the most features and frames of a mask grow
      from 0 to their values: masks slow a network down that knows nothing yet,
      and keep one that has seen all the data often from learning it by heart.
    fill: 'mean' puts each feature's mean over the utterance into the masks,
      which is 0 where features are normalised per utterance; 'zero' puts 0.
  """

  on_frames: ClassVar[bool] = True

  policy: str | None = None
  warp: Count | None = None
  freq_masks: Count | None = None
  freq_width: Count | None = None
  time_masks: Count | None = None
  time_width: Count | None = None
  max_share: Share | None = None
  masks_per_frame: NotNegative | None = None
  ramp: NotNegative = 0.0
  fill: str = 'mean'

  def __post_init__(self):
    known = ', '.join(POLICIES)
    check(
      self.policy is None or self.policy in POLICIES,
      'spec_augment',
      f"no policy '{self.policy}': known: {known}",
    )
    check(
      self.fill in FILLS,
      'spec_augment',
      f"no fill '{self.fill}': known: {', '.join(FILLS)}",
    )
    for field in dataclasses.fields(self)[1:-1]:
      value = self._value(field.name, 0)
      check(value >= 0, 'spec_augment', f'{field.name} is 0 or more')
    check(
      self._value('max_share', 1.0) <= 1, 'spec_augment', 'max_share is up to 1'
    )
    check(self.ramp <= 1, 'spec_augment', 'ramp is up to 1')
    check(
      not self._value('freq_masks', 0)
      or self._value('freq_width', None) is not None,
      'spec_augment',
      'freq_masks needs freq_width',
    )
    check(
      not self._value('time_masks', 0)
      or self._value('time_width', None) is not None
      or self._value('max_share', None) is not None,
      'spec_augment',
      'time_masks needs time_width or max_share',
    )

  def _value(self, name: str, default: Any) -> Any:
    """A key's value, else the policy's, else the default."""
    value = getattr(self, name)
    if value is None and self.policy is not None:
      value = POLICIES[self.policy].get(name)
    return default if value is None else value

  def __call__(
    self, frames: np.ndarray, lens: np.ndarray, draws: Draws
  ) -> np.ndarray:
    """Augments a batch.

    Args:
      frames: float32 `b t f`.
      lens: int `b`; frames behind an utterance stay as they are.
      draws: of the rows.

    Returns:
      A new float32 `b t f`.
    """
    lens = np.asarray(lens, np.int64)
    out = frames.copy()
    self._warp(frames, out, lens, draws)
    bands = self._bands(frames.shape[2], draws).tolist()
    spans = self._spans(lens, draws).tolist()
    # Slices of rows: a mask of the whole batch would touch each value.
    for row, n, band, span in zip(out, lens, bands, spans, strict=True):
      valid = row[:n]
      if not n:
        continue
      mean = (
        valid.mean(axis=0) if self.fill == 'mean' else np.zeros_like(row[0])
      )
      for start, stop in band:
        valid[:, start:stop] = mean[start:stop]
      for start, stop in span:
        valid[start:stop] = mean
    return out

  def _warp(self, frames, out, lens, draws: Draws) -> None:
    """Writes warped utterances to `out`: all their views alike."""
    most = self._value('warp', 0)
    if not most:
      return
    draws = dataclasses.replace(draws, view=0)
    inner = lens - 2 * most
    centre = most + np.floor(draws.uniform('warp_centre') * inner)
    shift = np.rint(draws.uniform('warp', (), -most, most))
    for i in np.flatnonzero((inner > 0) & (shift != 0)):
      n = lens[i]
      # The ends stay, what was at centre + shift comes to the centre.
      source = np.interp(
        np.arange(n),
        [0, centre[i], n - 1],
        [0, min(centre[i] + shift[i], n - 1), n - 1],
      )
      low = np.minimum(source.astype(np.int64), n - 2)
      part = (source - low).astype(np.float32)[:, None]
      before, after = frames[i, low], frames[i, low + 1]
      out[i, :n] = before + part * (after - before)

  def _bands(self, num_features: int, draws: Draws) -> np.ndarray:
    """int64 `b m 2`: first feature of each band, and the one behind it."""
    count = self._value('freq_masks', 0)
    most = min(self._value('freq_width', 0), num_features)
    most = self._grown(np.array(most), draws)
    return _intervals(draws, 'freq', count, most, np.array(num_features))

  def _grown(self, most: np.ndarray, draws: Draws) -> np.ndarray:
    """The widest masks at this point of the run, rounded down."""
    if draws.progress >= self.ramp:
      return most
    return (most * (draws.progress / self.ramp) + 1e-6).astype(np.int64)

  def _spans(self, lens: np.ndarray, draws: Draws) -> np.ndarray:
    """int64 `b m 2`: first frame of each span, and the one behind it."""
    count = self._value('time_masks', 0)
    # A share such as 0.04 of 25 frames is 1, whatever its rounding.
    most = np.floor(self._value('max_share', 1.0) * lens + 1e-6)
    most = np.minimum(most, self._value('time_width', np.inf)).astype(np.int64)
    most = self._grown(most, draws)
    spans = _intervals(draws, 'time', count, most[:, None], lens[:, None])
    share = self._value('masks_per_frame', None)
    if share is not None:
      number = np.floor(share * lens + 1e-6)
      spans[np.arange(count) >= number[:, None]] = 0
    return spans


def _intervals(
  draws: Draws, name: str, count: int, most: np.ndarray, size: np.ndarray
) -> np.ndarray:
  """int64 `b count 2`: starts and ends of intervals within [0, size).

  The width is uniform in 0 ... most, and so is the place, among those possible.
  """
  width = draws.uniform(f'{name}_width', (count,)) * (most + 1)
  width = np.minimum(width.astype(np.int64), most)
  places = size - width + 1
  start = draws.uniform(f'{name}_start', (count,)) * places
  start = np.minimum(start.astype(np.int64), places - 1)
  return np.stack([start, start + width], axis=-1)
