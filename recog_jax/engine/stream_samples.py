"""Samples of a stream as a model hears them: checked, at its rate."""

import numpy as np

from recog_jax.data.speech import codecs
from recog_jax.errors import warn


class Samples:
  """One stream: `take` what comes, then `end`."""

  def __init__(self, wanted: int, rate: int | None):
    """Before the first sample.

    Args:
      wanted: the rate of the model, in Hz.
      rate: of the stream; None: the model's. Another one is resampled.
    """
    if rate not in (None, wanted):
      warn(f'the stream has {rate:,} Hz and is resampled to {wanted:,} Hz')
    self._resampled = codecs.resampler(rate or wanted, wanted)
    self._warned = False

  def take(self, wave: np.ndarray, heard: float) -> np.ndarray:
    """Float32 `n` in [-1, 1] at the model's rate, of any other length.

    Args:
      wave: float `n` in [-1, 1] or int16 `n`.
      heard: seconds of the stream before it, for messages.

    Raises:
      UserError: samples in another unit.
    """
    return self._resampled(self._checked(wave, heard), False)

  def end(self) -> np.ndarray:
    """What the resampler still holds."""
    return self._resampled(np.zeros(0, np.float32), True)

  def _checked(self, wave: np.ndarray, heard: float) -> np.ndarray:
    wave = codecs.floats(
      wave,
      (1,),
      'a stream comes in arrays of floats in -1..1 or of int16, of shape (n,)',
    )
    bad = ~np.isfinite(wave)
    if bad.any():
      if not self._warned:
        warn(
          f'the stream holds NaN or inf, first after {heard:.2f} s: heard as '
          'silence'
        )
      self._warned = True
      wave = np.where(bad, np.float32(0), wave)
    return codecs.checked(wave, 'the stream') if wave.size else wave
