"""What all kinds of features share: frames, spectra, lengths, batches.

A waveform is float in [-1, 1]. Nothing scales it unless `Fbank.scale` says so:
Kaldi itself works on 16-bit integers, so its log energies are higher by
2 ln(32768) = 20.8; torchaudio's Kaldi module takes waveforms as they come.
"""

import dataclasses
import functools
from concurrent import futures
from typing import Annotated

import numpy as np

from recog_jax.features import cepstra, mel
from recog_jax.features import frames as framing
from recog_jax.ranges import NotNegative, Positive, Range, Size

NORMALISE = ('none', 'mean', 'mean_variance')
# Frames that are worked on together: so few that their spectra stay in a core's
# cache, so many that threads do not wait for each other between array calls
# (two threads with 128: 1.5 hours of audio/s, with 512: 2.6).
_BLOCK = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
  """What all kinds of features share: frames, spectra, lengths.

  Attributes:
    sample_rate: of the waveforms, in Hz.
    num_mels: filters of the mel bank.
    window_s: seconds of a frame.
    hop_s: seconds between frames.
    low_hz: where the first filter begins.
    high_hz: where the last one ends; None is half the sample rate, and 0 or
      less is relative to it, as in Kaldi.
    num_fft: samples of the Fourier transform, not below the frame's; None
      stands for the next power of two.
    window: see `frames.make_window`.
    deltas: how many orders of deltas are appended, 0, 1 or 2.
    normalise: 'mean' subtracts each utterance's mean of each feature,
      'mean_variance' also divides by the standard deviation; 'none'.
  """

  sample_rate: int
  num_mels: Size = 80
  window_s: Positive = 0.025
  hop_s: Positive = 0.01
  low_hz: NotNegative = 0.0
  high_hz: Positive | None = None
  num_fft: Size | None = None
  window: str = 'hann'
  deltas: Annotated[int, Range(0, 2)] = 0
  normalise: str = 'none'

  def __post_init__(self):
    if self.window_len < 2 or self.hop_len < 1:
      raise ValueError(
        f'a window of {self.window_s} s and a hop of {self.hop_s} s are too '
        f'short at {self.sample_rate} Hz'
      )
    if self.num_mels < 1:
      raise ValueError(f'num_mels is 1 or more, not {self.num_mels}')
    if self.fft_len < self.window_len:
      raise ValueError(
        f'num_fft is {self.num_fft}, but a window has {self.window_len} '
        'samples: raise num_fft or leave it out'
      )
    low, high = self.band
    if not 0 <= low < high <= self.sample_rate / 2:
      raise ValueError(
        f'the mel filters reach from {low} to {high} Hz: it must be from 0 or '
        f'more up to half the sample rate, {self.sample_rate / 2} Hz'
      )
    if self.normalise not in NORMALISE:
      raise ValueError(
        f"no normalise '{self.normalise}': known: {', '.join(NORMALISE)}"
      )
    if not 0 <= self.deltas <= 2:
      raise ValueError(f'deltas is 0, 1 or 2, not {self.deltas}')
    # Names are looked up now, so that a mistake shows before any data is read.
    framing.make_window(self.window, self.window_len)
    empty = int((self._bank() == 0).all(axis=0).sum())
    if empty:
      raise ValueError(
        f'{empty} of {self.num_mels} mel filters lie between the frequencies '
        f'of a Fourier transform of {self.fft_len} samples: lower num_mels, or '
        f'set num_fft to {2 * self.fft_len}'
      )

  @property
  def window_len(self) -> int:
    """Samples of a frame."""
    return int(self.sample_rate * self.window_s + 1e-6)

  @property
  def hop_len(self) -> int:
    """Samples between frames."""
    return int(self.sample_rate * self.hop_s + 1e-6)

  @property
  def fft_len(self) -> int:
    """Samples of the Fourier transform."""
    return self.num_fft or framing.fft_len(self.window_len)

  @property
  def band(self) -> tuple[float, float]:
    """Where the mel filters begin and end, in Hz."""
    high = self.high_hz or 0.0
    return self.low_hz, high + (self.sample_rate / 2 if high <= 0 else 0.0)

  @property
  def dim(self) -> int:
    """Features of a frame, f."""
    return self._base_dim * (self.deltas + 1)

  @property
  def _base_dim(self) -> int:
    """Features of a frame without deltas."""
    return self.num_mels

  def _bank(self) -> np.ndarray:
    """The mel filters, `fft_len // 2 + 1, num_mels`."""
    raise NotImplementedError

  @functools.cached_property
  def _bands(self) -> tuple[mel.Band, ...]:
    return mel.split_bank(self._bank())

  def _energies(self, power, xp):
    return mel.mel_energies(power, self._bank(), self._bands, xp)

  @property
  def longest_s(self) -> float | None:
    """Seconds of the longest signal that they are made for; None: of any."""
    return None

  @property
  def edges(self) -> tuple[str, int]:
    """How signals are padded, and how many samples before the first."""
    raise NotImplementedError

  def num_frames(self, num_samples):
    """Frames of a signal: integer arithmetic on an int or an integer array."""
    raise NotImplementedError

  def of_frames(self, frames, xp=np):
    """Features of single frames: `... window_len` to `... f`, no deltas."""
    raise NotImplementedError

  def __call__(self, waves, lens, xp=np, *, threads: int = 1):
    """Features of a batch.

    Args:
      waves: float `b n` in [-1, 1]. What lies behind an utterance's end is not
        looked at.
      lens: int `b`, samples of each.
      xp: numpy or jax.numpy.
      threads: utterances that are worked on at the same time, under numpy.

    Returns:
      float32 `b t f` with t = num_frames(n), zero behind each utterance, and
      int32 `b`, frames of each.
    """
    frame_lens = self.num_frames(xp.asarray(lens)).astype(np.int32)
    out = self.of_lens(waves, lens, frame_lens, xp, threads=threads)
    return out, frame_lens

  def of_lens(self, waves, lens, frame_lens, xp=np, *, threads: int = 1):
    """As `__call__`, which knows how many frames there are.

    Args:
      waves: `b n`.
      lens: int `b`, samples of each.
      frame_lens: int32 `b`, `num_frames` of them.
      xp: numpy or jax.numpy.
      threads: see `__call__`.

    Returns:
      float32 `b t f`.
    """
    count = self.num_frames(int(waves.shape[1]))
    if xp is np:
      out = self._on_host(np.asarray(waves), lens, frame_lens, count, threads)
    elif count:
      mode, left = self.edges
      total = (count - 1) * self.hop_len + self.window_len
      waves = xp.asarray(waves, np.float32)
      if mode == 'none':
        # Frames that count see no sample behind an end, and the rest is masked.
        waves = waves[:, :total]
      else:
        waves = framing.pad(waves, lens, left, total, mode, xp)
      cut = framing.frame(waves, self.window_len, self.hop_len, xp)
      mask = cepstra.frame_mask(frame_lens, count, xp)[..., None]
      out = xp.where(mask, self.of_frames(cut, xp), np.float32(0))
    else:
      out = xp.zeros((waves.shape[0], 0, self._base_dim), np.float32)
    out = self._scaled(out, frame_lens, xp)
    out = cepstra.add_deltas(out, frame_lens, self.deltas, xp=xp)
    if self.normalise != 'none':
      variance = self.normalise == 'mean_variance'
      out = cepstra.utterance_cmvn(out, frame_lens, variance=variance, xp=xp)
    return out

  def _scaled(self, out, frame_lens, xp):
    """What is made of all frames `b t f` of utterances; these, unless said."""
    del frame_lens, xp
    return out

  def _on_host(self, waves, lens, frame_lens, count, threads) -> np.ndarray:
    """`b count f`, an utterance at a time, in blocks of frames."""
    mode, left = self.edges
    out = np.zeros((len(waves), count, self._base_dim), np.float32)

    def fill(row, wave, n, t) -> None:
      if not t:
        return
      total = (t - 1) * self.hop_len + self.window_len
      wave = np.asarray(wave[:n], np.float32)
      wave = self._padded(wave, n, left, total, mode)
      cut = framing.frame(wave, self.window_len, self.hop_len)
      for i in range(0, t, _BLOCK):
        stop = min(i + _BLOCK, t)
        row[i:stop] = self.of_frames(cut[i:stop])

    rows = out, waves, np.asarray(lens).tolist(), frame_lens.tolist()
    if threads > 1:
      with futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, *rows))
    else:
      for row in zip(*rows, strict=True):
        fill(*row)
    return out

  @staticmethod
  def _padded(wave, n, left, total, mode) -> np.ndarray:
    """As `framing.pad`, but copies what needs no index: `total` samples."""
    if not left and total <= n:
      return wave[:total]
    end = min(n, total - left)
    after = total - left - end
    if mode in ('reflect', 'symmetric'):
      before = wave[framing.pad_indices(np.arange(-left, 0), n, mode)]
      behind = np.arange(end, end + after)
      behind = wave[framing.pad_indices(behind, n, mode)]
    else:
      before, behind = (np.zeros(k, np.float32) for k in (left, after))
    return np.concatenate([before, wave[:end], behind])
