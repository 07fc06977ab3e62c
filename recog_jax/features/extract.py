"""Features of waveforms by name, from the keys of a config; see `base`."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from recog_jax.features import cepstra, mel
from recog_jax.features import frames as framing
from recog_jax.features.base import Features
from recog_jax.features.waveform import Waveform
from recog_jax.features.whisper import WhisperLogMel
from recog_jax.ranges import NotNegative, Positive, Share, Size


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMel(Features):
  """Log of mel energies as librosa and torchaudio's transforms have them.

  Power spectrogram, filters that are straight over Hz, natural logarithm.

  Attributes:
    scale: of the filters' centres, 'slaney' or 'htk'.
    norm: 'slaney' (area 1) or 'none' (peak 1).
    padding: 'none': only whole frames. 'zeros' and 'reflect': frame t is
      centred at sample t * hop_len (librosa's and torchaudio's `center`), and
      the signal is continued on both sides.
    floor: energies below it count as it. Full scale is [-1, 1].
  """

  scale: str = 'slaney'
  norm: str = 'slaney'
  padding: str = 'none'
  floor: Positive = 1e-10

  def __post_init__(self):
    super().__post_init__()
    if self.padding not in ('none', 'zeros', 'reflect'):
      raise ValueError(
        f"no padding '{self.padding}': known: none, zeros, reflect"
      )

  def _bank(self) -> np.ndarray:
    return mel.mel_bank(
      self.num_mels,
      self.fft_len,
      self.sample_rate,
      *self.band,
      scale=self.scale,
      norm=self.norm,
    )

  @property
  def edges(self) -> tuple[str, int]:
    if self.padding == 'none':
      return 'none', 0
    # The window stands in the middle of the transform's samples.
    spare = (self.fft_len - self.window_len) // 2
    return self.padding, self.fft_len // 2 - spare

  def num_frames(self, num_samples):
    if self.padding == 'none':
      count = (num_samples - self.window_len) // self.hop_len + 1
      return count * (count > 0)
    return (num_samples // self.hop_len + 1) * (num_samples > 0)

  def of_frames(self, frames, xp=np):
    window = framing.make_window(self.window, self.window_len)
    power = framing.power_spectrum(frames * window, self.fft_len, xp)
    return mel.log_floor(self._energies(power, xp), self.floor, xp)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fbank(Features):
  """Kaldi's log mel filter bank energies, without dither.

  Each frame loses its mean, is pre-emphasised and windowed; the filters are
  straight over mels.

  Attributes:
    low_hz: as in Kaldi 20, since lower sounds are rarely speech.
    window: Kaldi's own.
    pre_emphasis: x[i] - pre_emphasis * x[i - 1] within a frame.
    snip_edges: only whole frames; False continues the signal by mirroring, so
      that there is a frame for each hop.
    energy: the log of each frame's energy, before pre-emphasis and window,
      comes as a first feature.
    energy_floor: no energy of a frame is below it (Kaldi's 1.0 is meant for
      16-bit integers; 0 here).
    scale: waveforms are multiplied by it; 32768 gives Kaldi's own numbers.
  """

  low_hz: NotNegative = 20.0
  window: str = 'povey'
  pre_emphasis: Share = 0.97
  snip_edges: bool = True
  energy: bool = False
  energy_floor: NotNegative = 0.0
  scale: Positive = 1.0

  def _bank(self) -> np.ndarray:
    return mel.kaldi_mel_bank(
      self.num_mels, self.fft_len, self.sample_rate, *self.band
    )

  @property
  def _base_dim(self) -> int:
    return self.num_mels + self.energy

  @property
  def edges(self) -> tuple[str, int]:
    if self.snip_edges:
      return 'none', 0
    return 'symmetric', self.window_len // 2 - self.hop_len // 2

  def num_frames(self, num_samples):
    if not self.snip_edges:
      return (num_samples + self.hop_len // 2) // self.hop_len
    count = (num_samples - self.window_len) // self.hop_len + 1
    return count * (count > 0)

  def of_frames(self, frames, xp=np):
    if self.scale != 1.0:
      frames = frames * np.float32(self.scale)
    frames = framing.remove_offset(frames, xp)
    out = self._log_mel(frames, xp)
    if self.energy:
      out = xp.concatenate([self._log_energy(frames, xp), out], axis=-1)
    return out

  def _log_mel(self, frames, xp):
    """`... window_len` without offset to `... num_mels`."""
    window = framing.make_window(self.window, self.window_len)
    frames = framing.pre_emphasis(frames, self.pre_emphasis, xp) * window
    power = framing.power_spectrum(frames, self.fft_len, xp)
    # Kaldi's floor is float32's epsilon.
    return mel.log_floor(self._energies(power, xp), 2.0**-23, xp)

  def _log_energy(self, frames, xp):
    """`... window_len` without offset to `... 1`."""
    energy = xp.sum(frames * frames, axis=-1, keepdims=True)
    return mel.log_floor(energy, max(2.0**-23, self.energy_floor), xp)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mfcc(Fbank):
  """Kaldi's mel cepstra: the DCT of `Fbank`, liftered.

  Attributes:
    num_mels: as in Kaldi 23.
    num_ceps: cepstra that are kept, with the 0th.
    lifter: HTK's; 0 is none.
    energy: the log energy takes the place of the 0th cepstrum.
  """

  num_mels: Size = 23
  num_ceps: Size = 13
  lifter: NotNegative = 22.0

  def __post_init__(self):
    super().__post_init__()
    if not 1 <= self.num_ceps <= self.num_mels:
      raise ValueError(
        f'num_ceps is from 1 to num_mels, {self.num_mels}, not {self.num_ceps}'
      )

  @property
  def _base_dim(self) -> int:
    return self.num_ceps

  def of_frames(self, frames, xp=np):
    if self.scale != 1.0:
      frames = frames * np.float32(self.scale)
    frames = framing.remove_offset(frames, xp)
    matrix = cepstra.dct_matrix(self.num_mels, self.num_ceps)
    weights = cepstra.lifter_weights(self.num_ceps, self.lifter)
    out = mel.product(self._log_mel(frames, xp), matrix * weights, xp)
    if self.energy:
      energy = self._log_energy(frames, xp)
      out = xp.concatenate([energy, out[..., 1:]], axis=-1)
    return out


KINDS = {
  'fbank': Fbank,
  'log_mel': LogMel,
  'mfcc': Mfcc,
  'waveform': Waveform,
  'whisper': WhisperLogMel,
}


def make_features(name: str | Callable[..., Features], **keys: Any) -> Features:
  """Features by name, with the keys of a config.

  Args:
    name: of `KINDS`; or a factory that takes `keys`.
    **keys: the attributes of that kind's class.

  Raises:
    ValueError: an unknown name or key, a missing key, or a bad value.
  """
  if callable(name):
    return name(**keys)
  if name not in KINDS:
    raise ValueError(f"no features '{name}': known: {', '.join(KINDS)}")
  known = inspect.signature(KINDS[name]).parameters
  for key in keys:
    if key not in known:
      raise ValueError(
        f"features {name} have no key '{key}': known: {', '.join(known)}"
      )
  if 'sample_rate' not in keys:
    raise ValueError(f"features {name} need the key 'sample_rate', in Hz")
  return KINDS[name](**keys)
