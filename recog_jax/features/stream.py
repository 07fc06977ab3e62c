"""Features of a waveform that is still growing.

Frames are those of the whole waveform: the same samples under the same window,
so equal to rounding (matrix products of another number of rows). What looks at
the whole utterance, its own mean and deviation, is not known before the end.
"""

import numpy as np

from recog_jax.features import frames as framing
from recog_jax.features.base import Features


class FeatureStream:
  """One waveform, sample after sample.

  What is kept is bounded: a window, and what of the end a mirror may need.
  """

  def __init__(self, features: Features):
    """Before the first sample.

    Args:
      features: that are wanted.

    Raises:
      ValueError: they look at frames that are still to come.
    """
    if features.normalise != 'none':
      raise ValueError(
        f"features.normalise='{features.normalise}' needs the whole utterance, "
        "which a stream has not: train with 'none' and the statistics of the "
        'training split (config.data.cmvn)'
      )
    if features.deltas:
      raise ValueError(
        'deltas look at frames to come, which a stream has not: train with '
        'features.deltas=0'
      )
    if features.longest_s is not None:
      raise ValueError(
        f'its features are of windows of {features.longest_s:g} s, which are '
        'whole before they are heard: take a model with log_mel, fbank or mfcc'
      )
    self._features = features
    self._mode, self._left = features.edges
    # Samples in front of the buffer that no frame needs any more; the buffer
    # begins with the padding once there are enough samples to make it.
    self._buffer = np.zeros(0, np.float32)
    self._headed = self._mode == 'none'
    self._tail = np.zeros(0, np.float32)
    self._samples = self._frames = 0

  @property
  def samples(self) -> int:
    """That were given so far."""
    return self._samples

  def add(self, wave: np.ndarray) -> np.ndarray:
    """The frames that are whole now, float32 `t f`.

    Args:
      wave: float `n` in [-1, 1], what comes next.
    """
    wave = np.asarray(wave, np.float32)
    self._samples += len(wave)
    self._buffer = np.concatenate([self._buffer, wave])
    # A mirror at the end looks back as far as the longest padding.
    kept = self._left + self._features.window_len + 1
    self._tail = np.concatenate([self._tail, wave])[-kept:]
    if not self._headed and self._samples > self._left:
      self._buffer = np.concatenate([self._head(), self._buffer])
      self._headed = True
    return self._whole() if self._headed else self._none()

  def finish(self) -> np.ndarray:
    """The last frames, `t f`, which need what is padded behind the end."""
    features = self._features
    left = int(features.num_frames(self._samples)) - self._frames
    if not left:
      return self._none()
    if not self._headed:
      found, _ = features(self._buffer[None], np.array([self._samples]))
      return found[0]
    wanted = (left - 1) * features.hop_len + features.window_len
    behind = np.zeros(max(wanted - len(self._buffer), 0), np.float32)
    if self._mode in ('reflect', 'symmetric'):
      n = len(self._tail)
      place = np.arange(n, n + len(behind))
      behind = self._tail[framing.pad_indices(place, n, self._mode)]
    self._buffer = np.concatenate([self._buffer, behind])[:wanted]
    return self._whole()

  def _head(self) -> np.ndarray:
    if self._mode in ('reflect', 'symmetric'):
      place = np.arange(-self._left, 0)
      return self._buffer[framing.pad_indices(place, self._samples, self._mode)]
    return np.zeros(self._left, np.float32)

  def _none(self) -> np.ndarray:
    return np.zeros((0, self._features.dim), np.float32)

  def _whole(self) -> np.ndarray:
    """All frames that the buffer has; it goes on behind the last hop."""
    window, hop = self._features.window_len, self._features.hop_len
    count = (len(self._buffer) - window) // hop + 1
    if count < 1:
      return self._none()
    found = self._features.of_frames(framing.frame(self._buffer, window, hop))
    self._buffer = self._buffer[count * hop :].copy()
    self._frames += count
    return np.asarray(found, np.float32)
