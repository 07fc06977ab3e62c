"""Where nobody speaks: long recordings are cut there.

An energy detector with a noise floor that follows the recording (as in
Davis et al., "Statistical voice activity detection using low-variance spectrum
estimation and an adaptive threshold", 2006, without their spectra). It cuts; it
does not decide what is recognised: of what might be speech nothing is dropped.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from recog_jax.answers import Span

FRAME_S = 0.02
# Decibels over the floor from which a frame may be speech: the smaller share of
# the way to the loud frames, within these bounds.
_SHARE, _LEAST_DB, _MOST_DB = 0.3, 5.0, 15.0
# Below it nothing is speech: the steps of 16 bits are at -90.
_SILENT_DB = -75.0
# What differs less is one sound; above this level it may be a voice.
_STILL_DB, _AUDIBLE_DB = 8.0, -50.0
# The floor is this quantile of the frames, loud is that one.
_FLOOR, _LOUD = 0.02, 0.95
# Speech is heard so long before and after what is over the threshold.
_HANGOVER_S = 0.08
# What is between words, and not within them; beyond these it is no habit.
_LEAST_PAUSE_S, _MOST_PAUSE_S, _MOST_MARGIN_S = 0.12, 1.0, 0.3


@dataclasses.dataclass(frozen=True)
class Cutting:
  """How a recording is cut.

  Attributes:
    rate: in Hz.
    longest_s: of a piece.
    pause_s: a silence of that length is a cut; of a piece that would be too
      long, a shorter one.
    margin_s: between what is loud and the ends of a piece.
    overlap_s: that windows have in common, where nobody pauses.
    most_windows: that are joined; then a piece ends where it is quietest.
  """

  rate: int
  longest_s: float = 15.0
  pause_s: float = 0.3
  margin_s: float = 0.23
  overlap_s: float = 2.0
  most_windows: int = 16

  @property
  def frame(self) -> int:
    """Samples of a frame."""
    return max(1, round(FRAME_S * self.rate))

  @property
  def margin(self) -> int:
    """Samples between `is_speech` and the ends of a piece; may be negative."""
    return round((self.margin_s - _HANGOVER_S) * self.rate)

  def shortened(self, seconds: float) -> 'Cutting':
    """The same with pieces of at most so long, and windows that fit them."""
    longest = min(self.longest_s, seconds)
    overlap = min(self.overlap_s, longest / 4)
    return dataclasses.replace(self, longest_s=longest, overlap_s=overlap)


def levels(wave: np.ndarray, frame: int) -> np.ndarray:
  """Decibels of full scale of each frame, float32; the last one may be short.

  Args:
    wave: float32 `n` in [-1, 1].
    frame: samples of a frame.
  """
  count = -(-len(wave) // frame)
  padded = np.zeros(count * frame, np.float32)
  padded[: len(wave)] = wave
  frames = padded.reshape(count, frame)
  # Without their mean: a microphone's offset is no sound.
  power = np.maximum(frames.var(1), 1e-12)
  return 10 * np.log10(power)


def is_speech(
  db: np.ndarray,
  floor: float | None = None,
  hangover_s: float = _HANGOVER_S,
) -> np.ndarray:
  """Which frames may hold speech, bool `n`; a function of their levels.

  Args:
    db: see `levels`; of some seconds to half a minute.
    floor: the noise as it was before, see `floor_of`; None: not known.
    hangover_s: seconds before and after what is loud that are speech as well.
  """
  if not len(db):
    return np.zeros(0, bool)
  low, loud = _range(db)
  low = low if floor is None else min(low, floor)
  if loud - low < _STILL_DB:
    # One sound all the time: noise, if it was there between words.
    return np.full(len(db), floor is None and loud > _AUDIBLE_DB)
  over = min(max(_SHARE * (loud - low), _LEAST_DB), _MOST_DB)
  return _widened(db > low + over, round(hangover_s / FRAME_S))


def floor_of(db: np.ndarray) -> float | None:
  """The level of the noise between words; None where there is no between."""
  low, loud = _range(db)
  return low if loud - low >= _STILL_DB else None


def _range(db: np.ndarray) -> tuple[float, float]:
  low, loud = np.quantile(db, (_FLOOR, _LOUD))
  return max(float(low), _SILENT_DB), float(loud)


def _widened(found: np.ndarray, by: int) -> np.ndarray:
  """True also in so many frames beside what is True."""
  ones = np.ones(2 * by + 1)
  return np.convolve(found, ones, 'same') > 0.5 if len(found) else found


def silences(speech: np.ndarray) -> list[tuple[int, int]]:
  """[begin, end) of each run of frames without speech."""
  edges = np.flatnonzero(np.diff(np.concatenate([[0], ~speech, [0]])))
  return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def habits(waves: Sequence[np.ndarray], rate: int) -> tuple[float, float]:
  """How long utterances pause, and are silent at their ends, in seconds.

  A model knows silence as its training had it: what is cut should be alike.

  Args:
    waves: float32 `n` each, utterances of training.
    rate: in Hz.

  Returns:
    The longest pause of all but a tenth of them, and the median silence at
    their begins and ends; for `Cutting.pause_s` and `margin_s`.
  """
  frame, inner, edges = Cutting(rate).frame, [], []
  for wave in waves:
    db = levels(wave, frame)
    loud = np.flatnonzero(is_speech(db, hangover_s=0.0))
    if not len(loud):
      continue
    edges += [loud[0], len(db) - 1 - loud[-1]]
    gaps = np.diff(np.flatnonzero(is_speech(db))) - 1
    inner.append(gaps.max(initial=0))
  if not inner:
    return Cutting.pause_s, Cutting.margin_s
  pause, margin = np.quantile(inner, 0.9), np.median(edges)
  return (
    float(np.clip(pause * FRAME_S, _LEAST_PAUSE_S, _MOST_PAUSE_S)),
    float(np.clip(margin * FRAME_S, 0.0, _MOST_MARGIN_S)),
  )


def cut(
  blocks: Iterable[np.ndarray], how: Cutting
) -> Iterator[tuple[np.ndarray, Span]]:
  """The pieces of a recording that comes in blocks.

  Silence between pieces is left out. No sample of speech is lost: pieces follow
  upon each other at silences, and windows overlap, as their spans say.

  Args:
    blocks: float32 waves of any lengths, one after another.
    how: it is cut.

  Yields:
    float32 `n`, and its place.
  """
  frame = how.frame
  most = round(how.longest_s / FRAME_S) * frame
  # Each decision looks at all that is there: not at an hour, again and again.
  source = (
    block[start : start + most]
    for block in blocks
    for start in range(0, len(block), most)
  )
  buffer, start, ended, windows = np.zeros(0, np.float32), 0, False, 0
  lead = 0  # Samples of the buffer that the window before had.
  floor: float | None = None
  while True:
    while not ended and len(buffer) < 2 * most:
      block = next(source, None)
      if block is None:
        ended = True
      else:
        buffer = np.concatenate([buffer, block])
    if not len(buffer):
      return
    db = levels(buffer, frame)
    quiet = silences(is_speech(db, floor))
    if not lead:
      # What is silent at the begin is nothing.
      skipped = quiet[0][1] * frame if quiet and quiet[0][0] == 0 else 0
      if skipped >= len(buffer):
        if ended:
          return
        # Its end may be the begin of a word.
        skipped = len(buffer) - round(_MOST_MARGIN_S * how.rate)
      skipped = min(max(0, skipped - how.margin), len(buffer))
      if skipped:
        buffer, start = buffer[skipped:], start + skipped
        if len(buffer) < 2 * most and not ended:
          continue
        db = levels(buffer, frame)
        quiet = silences(is_speech(db, floor))
    floor = floor_of(db) or floor
    stop, joined = _end(buffer, db, quiet, how, most, lead, ended, windows)
    piece = buffer[:stop]
    tail = round(how.overlap_s * how.rate) if joined else 0
    yield (
      piece,
      Span(
        start / how.rate,
        (start + stop) / how.rate,
        lead / how.rate,
        tail / how.rate,
      ),
    )
    windows = windows + 1 if joined else 0
    buffer, start = buffer[stop - tail :], start + stop - tail
    lead = tail


def _end(
  buffer: np.ndarray,
  db: np.ndarray,
  quiet: list[tuple[int, int]],
  how: Cutting,
  most: int,
  lead: int,
  ended: bool,
  windows: int,
) -> tuple[int, bool]:
  """Samples of the next piece, and whether a window goes on behind it."""
  frame = how.frame
  first = lead // frame + 1
  inside = [(a, b) for a, b in quiet if a >= first and a * frame < most]
  for a, b in inside:
    if (b - a) * FRAME_S >= how.pause_s or (ended and b == len(db)):
      return min(max(a * frame + how.margin, 1), len(buffer)), False
  if len(buffer) <= most:
    return len(buffer), False
  half = [(a, b) for a, b in inside if a * frame > most // 2 and b < len(db)]
  if half:
    a, b = max(half, key=lambda run: run[1] - run[0])
    return min((a + b) // 2 * frame, most), False
  if windows + 1 < how.most_windows:
    return most, True
  low, high = most // 2 // frame, most // frame
  return (low + int(np.argmin(db[low:high]))) * frame, False
