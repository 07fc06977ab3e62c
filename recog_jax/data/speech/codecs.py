"""Audio files to waveforms: WAV, FLAC, OGG, MP3, NIST SPHERE by libsndfile.

What is handed out lies on the steps of 16 bits, which is also how small splits
are cached and prepared ones stored: the same bits wherever they come from.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from recog_jax.data.speech import containers
from recog_jax.data.speech.records import to_float
from recog_jax.errors import UserError

# What libsndfile reads, in any case; raw samples have no header and are none.
SUFFIXES = (
  *('.wav', '.flac', '.ogg', '.oga', '.opus', '.mp3', '.sph', '.aiff', '.aif'),
  *('.au', '.snd', '.caf', '.w64', '.rf64', '.voc', '.wave', '.aifc', '.mp2'),
)
# libsndfile gives more where there is no length.
_LONGEST = 1 << 48
# What is longer is no time in seconds: over 30 years.
MOST_S = 1e9
# Values that are decoded at once.
_BLOCK = 1 << 24
# No encoder or resampler overshoots that far: the values are of other units.
_PEAK = 4.0


@dataclasses.dataclass(frozen=True)
class AudioInfo:
  """What a file's header says.

  Attributes:
    frames: samples of each channel.
    rate: in Hz.
    channels: 1 for mono.
  """

  frames: int
  rate: int
  channels: int

  @property
  def seconds(self) -> float:
    return self.frames / self.rate


def read_info(path: str | os.PathLike) -> AudioInfo:
  """Length, rate and channels; nothing is decoded.

  Raises:
    UserError: it cannot be read, or holds no audio.
  """
  with _opened(path) as file:
    return AudioInfo(file.frames, file.samplerate, file.channels)


def segment(
  path: str | os.PathLike,
  frames: int,
  rate: int,
  offset: float = 0.0,
  duration: float | None = None,
) -> tuple[int, int]:
  """A part of a file in samples.

  Args:
    path: for messages.
    frames: samples in the file.
    rate: in Hz.
    offset: where the part begins, in seconds.
    duration: in seconds; None is up to the end.

  Returns:
    The first sample, and how many there are.

  Raises:
    UserError: the part ends more than 0.1 s after the file, or is empty.
  """
  if not (0 <= offset <= MOST_S and 0 <= (duration or 0) <= MOST_S):
    raise UserError(
      f'{path}: the part of {duration:g} s from {offset:g} s is none.'
    )
  start = math.floor(offset * rate + 0.5)
  stop = frames
  if duration is not None:
    stop = start + math.floor(duration * rate + 0.5)
  if stop > frames + containers.SLACK_S * rate or start >= min(stop, frames):
    asked = 'the end' if duration is None else f'{offset + duration:.2f} s'
    raise UserError(
      f'{path} has {frames / rate:.2f} s, but the part from {offset:.2f} s to '
      f'{asked} is asked for.'
    )
  return start, min(stop, frames) - start


def resampled_length(samples: Any, from_rate: int, to_rate: int) -> Any:
  """Samples that `resample` makes of some; integers, or arrays of them."""
  return (2 * samples * to_rate + from_rate) // (2 * from_rate)


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
  """Another sample rate, by soxr at its high quality, on the steps of 16 bits.

  Args:
    audio: float32 `n` in [-1, 1].
    from_rate: in Hz.
    to_rate: in Hz.

  Returns:
    float32 `resampled_length(n, from_rate, to_rate)`.
  """
  if from_rate != to_rate:
    import soxr

    audio = soxr.resample(audio, from_rate, to_rate)
  return _on_steps(audio)


def resampler(
  from_rate: int, to_rate: int
) -> Callable[[np.ndarray, bool], np.ndarray]:
  """As `resample`, of what comes in blocks.

  Returns:
    (float32 `n`, whether it is the last block) -> what is known now, float32.
  """
  if from_rate == to_rate:
    return lambda audio, last: _on_steps(audio)
  import soxr

  stream = soxr.ResampleStream(from_rate, to_rate, 1, 'float32')
  return lambda audio, last: _on_steps(stream.resample_chunk(audio, last=last))


def _on_steps(audio: np.ndarray) -> np.ndarray:
  """On the steps of 16 bits, and limited to them: resampling overshoots."""
  steps = np.clip(np.rint(audio * np.float32(2.0**15)), -(2**15), 2**15 - 1)
  return steps.astype(np.float32) * np.float32(2.0**-15)


def decode(
  path: str | os.PathLike,
  sample_rate: int,
  *,
  offset: float = 0.0,
  duration: float | None = None,
) -> np.ndarray:
  """A file's audio, or a part of it, with its channels averaged.

  Args:
    path: the file.
    sample_rate: wanted, in Hz.
    offset: where the part begins, in seconds.
    duration: of the part in seconds; None is up to the end.

  Returns:
    float32 `n` in [-1, 1].

  Raises:
    UserError: it cannot be read, is damaged, or has no such part.
  """
  with _opened(path) as file:
    rate = file.samplerate
    start, count = segment(path, file.frames, rate, offset, duration)
    audio = _read(path, file, start, count)
    if len(audio) < count:
      end = start + len(audio)
      raise containers.ends_early(path, end, file.frames, rate)
  return resample(checked(audio, path), rate, sample_rate)


def blocks(
  path: str | os.PathLike, sample_rate: int, seconds: float = 10.0
) -> Iterator[np.ndarray]:
  """A file's audio as `decode` gives it, in blocks: for what is hours long.

  Args:
    path: the file.
    sample_rate: wanted, in Hz.
    seconds: of a block.

  Raises:
    UserError: as `decode`; where the file is damaged, after the blocks before.
  """
  with _opened(path) as file:
    rate, frames = file.samplerate, file.frames
    resampled = resampler(rate, sample_rate)
    done, size = 0, max(1, round(seconds * rate))
    while done < frames:
      audio = _read(path, file, 0, min(size, frames - done))
      done += len(audio)
      if not len(audio):
        raise containers.ends_early(path, done, frames, rate)
      yield resampled(checked(audio, path), done >= frames)


def floats(wave: Any, axes: Collection[int], form: str) -> np.ndarray:
  """float32 of an array of floats or of int16.

  Args:
    wave: what is given for an array.
    axes: how many it may have.
    form: the begin of a sentence, what it should be.

  Raises:
    UserError: it is something else.
  """
  wave = np.asarray(wave)
  real = wave.dtype == np.int16 or np.issubdtype(wave.dtype, np.floating)
  if wave.ndim not in axes or not real:
    raise UserError(f'{form}, and this is {wave.dtype} of shape {wave.shape}')
  return to_float(wave)


def checked(audio: np.ndarray, path: Any) -> np.ndarray:
  """The audio, if it is in the unit of audio.

  Raises:
    UserError: it holds NaN, or values far beyond [-1, 1]; `path` is named.
  """
  peak = np.abs(audio).max()
  if not peak <= _PEAK:  # Also where it is NaN.
    raise UserError(
      f'{path} has samples up to {peak:.4g}, where floats must lie in [-1, 1].'
    )
  return audio


def _opened(path: str | os.PathLike) -> Any:
  """A soundfile.SoundFile of known length, which is not 0."""
  try:
    file = containers.opened(path)
  except (OSError, ValueError) as e:  # ValueError: a NUL in the path.
    reason = getattr(e, 'strerror', None) or e
    raise UserError(f'{path} cannot be read: {reason}.') from e
  except (RuntimeError, TypeError) as e:  # TypeError: headerless .raw
    raise UserError(f'{path} is no audio file that can be read.') from e
  if not 0 < file.frames < _LONGEST:
    unknown = file.frames > 0
    file.close()
    if unknown:
      raise UserError(
        f'{path} does not say how long it is: convert it to a file again.'
      )
    raise UserError(f'{path} holds no audio.')
  return file


def _read(path, file, start: int, count: int) -> np.ndarray:
  """float32 up to `count`, fewer where the file ends early."""
  # In blocks, since a header may promise more than fits into memory.
  most, blocks = _BLOCK // file.channels + 1, []
  try:
    if start:
      file.seek(start)
    while count and (not blocks or len(blocks[-1])):
      block = file.read(min(count, most), 'float32', always_2d=True)
      blocks.append(block[:, 0] if file.channels == 1 else block.mean(axis=1))
      count -= len(block)
  except RuntimeError as e:
    raise UserError(f'{path} is damaged and cannot be decoded.') from e
  return np.concatenate(blocks)
