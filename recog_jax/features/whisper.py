"""The log mel energies that Whisper hears: windows of one length."""

import dataclasses

import numpy as np

from recog_jax.features import cepstra, mel
from recog_jax.features import frames as framing
from recog_jax.features.base import Features
from recog_jax.ranges import Positive, Size

# Energies, in decades: no less is a number, and so far below the loudest.
_FLOOR, _RANGE = 1e-10, 8.0
# The encoder has positions for so many seconds.
_LONGEST_S = 30.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class WhisperLogMel(Features):
  """Log mel energies as Whisper has them (Radford et al., 2022).

  Each utterance, with zeros behind, fills a window of 30 s, and all frames of
  that count: the original knows no shorter input (arXiv:2212.04356). Slaney's
  mel filters, decimal logarithm, nothing further below an utterance's loudest
  energy than 8 decades, then (x + 4) / 4.

  Attributes:
    num_mels: 80; of large-v3 128.
    num_fft: as in the original, which fills up no further.
    pad_s: seconds of the window. A shorter one costs less, and is another input
      than the weights were trained with; None leaves each utterance its own
      length, for an encoder that is trained so, and 30 s remain the bound.
  """

  num_mels: Size = 80
  num_fft: Size | None = 400
  pad_s: Positive | None = 30.0

  def __post_init__(self):
    super().__post_init__()
    if self.pad_s and self._samples < self.window_len:
      raise ValueError(f'pad_s={self.pad_s} is shorter than a frame')

  @property
  def _samples(self) -> int:
    """Of the window, or the most that there may be: whole hops."""
    return round((self.pad_s or _LONGEST_S) / self.hop_s) * self.hop_len

  @property
  def longest_s(self) -> float | None:
    return self._samples / self.sample_rate

  def _bank(self) -> np.ndarray:
    return mel.mel_bank(
      self.num_mels, self.fft_len, self.sample_rate, *self.band
    )

  @property
  def edges(self) -> tuple[str, int]:
    spare = (self.fft_len - self.window_len) // 2
    return 'reflect', self.fft_len // 2 - spare

  def num_frames(self, num_samples):
    """Those of the window; of more, which no window holds, more."""
    if self.pad_s is None:
      return num_samples // self.hop_len
    more = (num_samples - self._samples) * (num_samples > self._samples)
    count = (self._samples + more) // self.hop_len
    return count * (num_samples > 0)

  def of_frames(self, frames, xp=np):
    window = framing.make_window(self.window, self.window_len)
    power = framing.power_spectrum(frames * window, self.fft_len, xp)
    energies = self._energies(power, xp)
    return xp.log10(xp.maximum(energies, np.float32(_FLOOR)))

  def of_lens(self, waves, lens, frame_lens, xp=np, *, threads: int = 1):
    """See `Features.of_lens`; what a window does not hold is cut off."""
    if self.pad_s is None:
      return super().of_lens(waves, lens, frame_lens, xp, threads=threads)
    lens = xp.asarray(lens)
    waves = xp.asarray(waves, np.float32)[:, : self._samples]
    there = cepstra.frame_mask(lens, waves.shape[1], xp)
    waves = xp.where(there, waves, np.float32(0))
    behind = self._samples - waves.shape[1]
    waves = xp.pad(waves, ((0, 0), (0, behind)))
    most = self.num_frames(self._samples)
    frame_lens = xp.minimum(xp.asarray(frame_lens), most)
    lens = xp.where(lens > 0, self._samples, 0)
    return super().of_lens(waves, lens, frame_lens, xp, threads=threads)

  def _scaled(self, out, frame_lens, xp):
    mask = cepstra.frame_mask(frame_lens, out.shape[1], xp)[..., None]
    lowest = np.float32(np.log10(_FLOOR))
    heard = xp.where(mask, out, lowest)
    top = xp.max(heard, axis=(1, 2), keepdims=True, initial=lowest)
    out = (xp.maximum(out, top - np.float32(_RANGE)) + 4) / np.float32(4)
    return xp.where(mask, out, np.float32(0)).astype(np.float32)
