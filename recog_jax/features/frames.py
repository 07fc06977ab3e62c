"""From waveforms to power spectra: padding, framing, windows, Fourier.

Each function takes the array module as `xp` (numpy or jax.numpy), so that one
definition serves the input pipeline and the device.
"""

import functools
import math

import numpy as np
import scipy.fft

PADDINGS = ('none', 'zeros', 'reflect', 'symmetric')
# Pieces of a frame that are sliced, see `frame`.
_FEW_PIECES = 64
WINDOWS = ('hann', 'hann_symmetric', 'hamming', 'povey', 'rectangular')


@functools.cache
def make_window(name: str, length: int) -> np.ndarray:
  """A window, float32 `length`.

  `hann` is periodic, as librosa's, torchaudio's and scipy's default; the others
  are symmetric, as Kaldi's. `povey` is a symmetric Hann window to the power
  0.85 (Kaldi, feature-window.cc).

  Raises:
    ValueError: an unknown name.
  """
  if name not in WINDOWS:
    raise ValueError(f"no window '{name}': known: {', '.join(WINDOWS)}")
  period = length if name == 'hann' else max(length - 1, 1)
  cosine = np.cos(2 * np.pi * np.arange(length) / period)
  window = {
    'hann': 0.5 - 0.5 * cosine,
    'hann_symmetric': 0.5 - 0.5 * cosine,
    'hamming': 0.54 - 0.46 * cosine,
    # Rounding makes the first value negative by 1e-17, which has no power.
    'povey': np.maximum(0.5 - 0.5 * cosine, 0) ** 0.85,
    'rectangular': np.ones(length),
  }[name]
  window = window.astype(np.float32)
  window.flags.writeable = False
  return window


def fft_len(length: int) -> int:
  """The smallest power of two that is not below `length`."""
  return 1 << max(0, math.ceil(math.log2(length)))


def pad_indices(positions, length, mode: str):
  """Which sample stands at a position outside of the signal, too.

  Args:
    positions: integers, 0 is the first sample; may be negative.
    length: samples of the signal, an integer or an array that broadcasts.
    mode: 'reflect' mirrors about the outermost samples (numpy's name for it),
      'symmetric' repeats them, as Kaldi does. Short signals are mirrored again
      and again.

  Returns:
    Integers in [0, length), where length is above 0.
  """
  if mode == 'symmetric':
    period = 2 * length
    p = positions % period
    return p + (p >= length) * (period - 1 - 2 * p)
  # A period of 0, for a single sample, would be a division by 0.
  period = 2 * length - 2 + (length < 2)
  p = positions % period
  return p + (p >= length) * (period - 2 * p + (length < 2))


def pad(waves, lens, left: int, total: int, mode: str, xp=np):
  """Puts samples before and behind each signal, wherever it ends.

  Args:
    waves: `b n`; what lies behind a signal's end is not looked at.
    lens: int `b`, samples of each signal.
    left: how many samples to put before.
    total: samples of each row of the result.
    mode: one of 'zeros', 'reflect', 'symmetric', or 'none', which means zeros
      (no frame that counts will reach them).
    xp: numpy or jax.numpy.

  Returns:
    `b total`.
  """
  position = xp.arange(total)[None] - left
  lens = xp.asarray(lens)[:, None]
  inside = (position >= 0) & (position < lens)
  if mode in ('reflect', 'symmetric'):
    source = pad_indices(position, xp.maximum(lens, 1), mode)
    inside = lens > 0
  else:
    source = xp.where(inside, position, 0)
  source = xp.clip(source, 0, waves.shape[1] - 1)
  taken = xp.take_along_axis(waves, source, axis=1)
  return xp.where(inside, taken, xp.zeros((), waves.dtype))


def frame(waves, length: int, hop: int, xp=np):
  """Cuts signals into overlapping frames.

  Args:
    waves: `... n` with n >= length.
    length: samples of a frame.
    hop: samples from one frame's start to the next one's.
    xp: numpy or jax.numpy.

  Returns:
    `... t length`, t = 1 + (n - length) // hop; under numpy a view.
  """
  if xp is np:
    view = np.lib.stride_tricks.sliding_window_view(waves, length, axis=-1)
    return view[..., ::hop, :]
  # Gathers pieces as long as frames' borders allow, not single samples.
  piece = math.gcd(length, hop)
  pieces = waves.shape[-1] // piece
  cut = waves[..., : pieces * piece].reshape(*waves.shape[:-1], pieces, piece)
  count = 1 + (waves.shape[-1] - length) // hop
  if length // piece <= _FEW_PIECES:
    # Slices instead, which every compiler and converter knows.
    last, step = (count - 1) * (hop // piece) + 1, hop // piece
    views = [cut[..., k : k + last : step, :] for k in range(length // piece)]
    return xp.concatenate(views, axis=-1)
  first = np.arange(count)[:, None] * (hop // piece)
  index = first + np.arange(length // piece)
  return cut[..., index, :].reshape(*waves.shape[:-1], count, length)


def remove_offset(frames, xp=np):
  """Subtracts each frame's mean; `... n`."""
  return frames - xp.mean(frames, axis=-1, keepdims=True)


def pre_emphasis(signal, coefficient: float, xp=np):
  """x[i] - coefficient * x[i - 1] along the last axis.

  The sample before the first is taken to equal it, as in Kaldi.
  """
  before = xp.concatenate([signal[..., :1], signal[..., :-1]], axis=-1)
  return signal - np.float32(coefficient) * before


def power_spectrum(frames, num_fft: int, xp=np):
  """|rfft|^2 of windowed frames, filled with zeros to `num_fft` samples.

  scipy's transform replaces numpy's: in float32 it took half the time.

  Returns:
    `... num_fft // 2 + 1`, of the frames' type.
  """
  rfft = scipy.fft.rfft if xp is np else xp.fft.rfft
  spectrum = rfft(frames, n=num_fft)
  return spectrum.real**2 + spectrum.imag**2
