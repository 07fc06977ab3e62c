"""Mel scales and triangular filter banks, as float32 matrices."""

import functools
from typing import NamedTuple

import numpy as np

SCALES = ('htk', 'slaney')
NORMS = ('none', 'slaney')

# Slaney's scale is linear up to 1 kHz and logarithmic above.
_LINEAR_HZ = 200.0 / 3.0
_KNEE_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


def _check_scale(scale: str) -> None:
  if scale not in SCALES:
    raise ValueError(f"no mel scale '{scale}': known: {', '.join(SCALES)}")


def hz_to_mel(hz, scale: str) -> np.ndarray:
  """Mels of frequencies.

  Args:
    hz: frequencies, any shape.
    scale: 'htk' is 1127 ln(1 + hz / 700) (O'Shaughnessy; HTK, Kaldi); 'slaney'
      is that of Slaney's Auditory Toolbox, librosa's default.

  Raises:
    ValueError: an unknown scale.
  """
  _check_scale(scale)
  hz = np.asarray(hz, np.float64)
  if scale == 'htk':
    return 1127.0 * np.log1p(hz / 700.0)
  above = np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
  return np.minimum(hz, _KNEE_HZ) / _LINEAR_HZ + above


def mel_to_hz(mel, scale: str) -> np.ndarray:
  """The inverse of `hz_to_mel`."""
  _check_scale(scale)
  mel = np.asarray(mel, np.float64)
  if scale == 'htk':
    return 700.0 * np.expm1(mel / 1127.0)
  knee = _KNEE_HZ / _LINEAR_HZ
  above = np.exp(np.maximum(mel - knee, 0.0) * _LOG_STEP)
  return np.minimum(mel, knee) * _LINEAR_HZ * above


def _triangles(points: np.ndarray, bins: np.ndarray) -> np.ndarray:
  """`k m`: filter j rises from points[j] to points[j+1], falls to [j+2]."""
  low, centre, high = points[:-2], points[1:-1], points[2:]
  rising = (bins[:, None] - low) / (centre - low)
  falling = (high - bins[:, None]) / (high - centre)
  return np.maximum(0.0, np.minimum(rising, falling))


@functools.cache
def mel_bank(
  num_mels: int,
  num_fft: int,
  sample_rate: int,
  low_hz: float,
  high_hz: float,
  scale: str = 'slaney',
  norm: str = 'slaney',
) -> np.ndarray:
  """Triangles that are straight over Hz, as librosa's and torchaudio's.

  Args:
    num_mels: number of filters.
    num_fft: samples of the Fourier transform.
    sample_rate: in Hz.
    low_hz: where the first filter begins.
    high_hz: where the last one ends.
    scale: on which the filters' centres are equally spaced: 'htk' or 'slaney'.
    norm: 'slaney' gives each filter an area of 1 over Hz, 'none' a peak of 1.

  Returns:
    float32 `num_fft // 2 + 1, num_mels`.

  Raises:
    ValueError: an unknown scale or norm.
  """
  if norm not in NORMS:
    raise ValueError(f"no mel norm '{norm}': known: {', '.join(NORMS)}")
  ends = hz_to_mel([low_hz, high_hz], scale)
  points = mel_to_hz(np.linspace(ends[0], ends[1], num_mels + 2), scale)
  bins = np.arange(num_fft // 2 + 1) * (sample_rate / num_fft)
  bank = _triangles(points, bins)
  if norm == 'slaney':
    bank *= 2.0 / (points[2:] - points[:-2])
  return _frozen(bank)


@functools.cache
def kaldi_mel_bank(
  num_mels: int,
  num_fft: int,
  sample_rate: int,
  low_hz: float,
  high_hz: float,
) -> np.ndarray:
  """Kaldi's bank: HTK's scale, triangles that are straight over mels.

  The highest bin, half the sample rate, has no weight (Kaldi, mel-
  computations.cc).

  Returns:
    float32 `num_fft // 2 + 1, num_mels`.
  """
  ends = hz_to_mel([low_hz, high_hz], 'htk')
  points = np.linspace(ends[0], ends[1], num_mels + 2)
  bins = np.arange(num_fft // 2 + 1) * (sample_rate / num_fft)
  bank = _triangles(points, hz_to_mel(bins, 'htk'))
  bank[-1] = 0.0
  return _frozen(bank)


def _frozen(bank: np.ndarray) -> np.ndarray:
  """float32, and not to be written to: it is shared by all who ask for it."""
  bank = bank.astype(np.float32)
  bank.flags.writeable = False
  return bank


def product(x, matrix, xp=np):
  """`... k` by a small matrix `k m`: `... m`.

  Under numpy in products so small that OpenBLAS does not split them between
  threads, which would fight with the accelerator's program for the cores and
  is slower by far at this size.
  """
  if xp is not np:
    return x @ matrix
  flat = x.reshape(-1, x.shape[-1])
  out = np.empty((len(flat), matrix.shape[1]), np.float32)
  # OpenBLAS stays with one thread below 2 * 2**18 multiplications.
  rows = max(1, 2**19 // matrix.size)
  for i in range(0, len(flat), rows):
    np.matmul(flat[i : i + rows], matrix, out=out[i : i + rows])
  return out.reshape(*x.shape[:-1], matrix.shape[1])


class Band(NamedTuple):
  """Some neighbouring filters of a bank, and the bins that they weigh.

  Attributes:
    filters: columns of the bank.
    bins: rows of the bank; the other ones are 0 in these columns.
    weights: float32, the bank there.
  """

  filters: slice
  bins: slice
  weights: np.ndarray


def split_bank(bank: np.ndarray, size: int = 16) -> tuple[Band, ...]:
  """A bank `k m`, nearly all zeros, as small matrices of `size` filters."""
  bands = []
  for first in range(0, bank.shape[1], size):
    filters = slice(first, min(first + size, bank.shape[1]))
    used = np.flatnonzero(bank[:, filters].any(axis=1))
    bins = slice(used.min(initial=len(bank)), used.max(initial=-1) + 1)
    weights = np.ascontiguousarray(bank[bins, filters])
    bands.append(Band(filters, bins, weights))
  return tuple(bands)


def mel_energies(power, bank, bands: tuple[Band, ...] = (), xp=np):
  """Mel energies of power spectra.

  Args:
    power: `... k`.
    bank: `k m`.
    bands: what `split_bank` makes of the bank: under numpy it is a third of the
      time.
    xp: numpy or jax.numpy.

  Returns:
    `... m`.
  """
  if xp is not np or not bands:
    return product(power, bank, xp)
  out = np.empty((*power.shape[:-1], bank.shape[1]), np.float32)
  for filters, bins, weights in bands:
    out[..., filters] = product(power[..., bins], weights)
  return out


def log_floor(energies, floor: float, xp=np):
  """Natural logarithm of energies, none of which is below the floor."""
  return xp.log(xp.maximum(energies, np.float32(floor)))
