"""Augmentation of waveforms that leaves their length alone.

Waveforms are float32 `n` in [-1, 1], one for each row; results may exceed that.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.signal

from recog_jax.data import files as files_lib
from recog_jax.data.draws import Draws
from recog_jax.data.ops import check
from recog_jax.data.speech import codecs
from recog_jax.errors import UserError
from recog_jax.ranges import Share

Waves = Sequence[np.ndarray]

_SUFFIXES = ('.wav', '.flac', '.ogg', '.mp3', '.sph')


@functools.lru_cache(maxsize=16)
def list_audio(folder: str, data_dir: str | None) -> tuple[str, ...]:
  """The audio files below a folder, in the order of their names.

  Raises:
    UserError: no such folder, or no audio in it.
  """
  root = Path(data_dir or '.').expanduser() / Path(folder).expanduser()
  if not root.is_dir():
    raise UserError(f'{root} is no folder: name one that holds audio files')
  found = sorted(map(str, files_lib.below(root, _SUFFIXES)))
  if not found:
    raise UserError(f'{root} holds no WAV, FLAC, OGG, MP3 or SPH files')
  return tuple(found)


def power(wave: np.ndarray) -> float:
  """Mean square; 0 of nothing."""
  return float(np.dot(wave, wave)) / max(len(wave), 1)


def add_noise(wave: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
  """Adds noise, scaled so that the ratio of mean squares is `snr_db`.

  Where one of the two is silent, nothing is added.
  """
  signal, other = power(wave), power(noise)
  if not signal or not other:
    return wave
  scale = np.sqrt(signal / (other * 10.0 ** (snr_db / 10.0)))
  return wave + np.float32(scale) * noise


def reverberate(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
  """Convolves with a room impulse response.

  The response's largest value, the direct path, is its time 0, so that
  transcripts and alignments stay right; the mean square is kept, the tail
  behind the end is cut off.
  """
  peak = int(np.argmax(np.abs(response)))
  wet = scipy.signal.fftconvolve(wave, response)[peak : peak + len(wave)]
  wet = wet.astype(np.float32)
  before, after = power(wave), power(wet)
  return wet * np.float32(np.sqrt(before / after)) if after else wet


def _check_probability(op: str, probability: float) -> None:
  check(0 <= probability <= 1, op, 'probability is in [0, 1]')


@dataclasses.dataclass(frozen=True)
class Gain:
  """Louder or quieter by a factor whose decibels are uniform.

  Attributes:
    low_db: of the factor.
    high_db: of the factor.
    probability: of a wave to be changed.
  """

  low_db: float
  high_db: float
  probability: Share = 1.0

  def __post_init__(self):
    check(self.low_db <= self.high_db, 'gain', 'low_db is up to high_db')
    _check_probability('gain', self.probability)

  def __call__(self, waves: Waves, draws: Draws) -> list[np.ndarray]:
    factor = 10.0 ** (draws.uniform('db', (), self.low_db, self.high_db) / 20)
    changed = draws.uniform('apply') < self.probability
    factor = np.where(changed, factor, 1.0).astype(np.float32)
    return [w * g for w, g in zip(waves, factor, strict=True)]


@dataclasses.dataclass(frozen=True)
class Noise:
  """Adds noise at a signal-to-noise ratio whose decibels are uniform.

  Attributes:
    low_snr_db: of the ratio.
    high_snr_db: of the ratio.
    files: folder with recordings of noise, of which each wave gets a part of
      its length; shorter ones are repeated. None is white Gaussian noise.
    probability: of a wave to be changed.
    sample_rate: of the waves, in Hz.
    data_dir: where a relative folder begins.
  """

  low_snr_db: float
  high_snr_db: float
  files: str | None = None
  probability: Share = 1.0
  sample_rate: int | None = None
  data_dir: str | None = None

  def __post_init__(self):
    check(
      self.low_snr_db <= self.high_snr_db,
      'noise',
      'low_snr_db is up to high_snr_db',
    )
    _check_probability('noise', self.probability)
    if self.files is not None:
      list_audio(self.files, self.data_dir)

  def __call__(self, waves: Waves, draws: Draws) -> list[np.ndarray]:
    snr = draws.uniform('snr', (), self.low_snr_db, self.high_snr_db)
    changed = draws.uniform('apply') < self.probability
    make = self._white if self.files is None else self._recorded
    noise = make([len(w) for w in waves], changed, draws)
    return [
      add_noise(w, next(noise), s) if change else w
      for w, s, change in zip(waves, snr, changed, strict=True)
    ]

  @staticmethod
  def _white(lens, changed, draws: Draws):
    # A generator for each wave: `Draws` would hash each sample, five times
    # slower, and setting one up takes little beside a second of noise.
    for n, seed, change in zip(lens, draws.bits('white'), changed, strict=True):
      if change:
        generator = np.random.Generator(np.random.SFC64(int(seed)))
        yield generator.standard_normal(n, np.float32)

  def _recorded(self, lens, changed, draws: Draws):
    files = list_audio(self.files, self.data_dir)
    choice = draws.integers('file', len(files))
    place = draws.uniform('place')
    for n, k, at, change in zip(lens, choice, place, changed, strict=True):
      if change:
        yield _part(files[k], n, float(at), self.sample_rate)


def _part(path: str, n: int, place: float, sample_rate: int) -> np.ndarray:
  """float32 `n` of a file, from a place in [0, 1) of those possible."""
  info = _info(path)
  seconds = info.frames / info.rate
  # Some more, since lengths are rounded when it is resampled.
  wanted = (n + 2) / sample_rate
  if wanted < seconds:
    part = codecs.decode(
      path,
      sample_rate,
      offset=place * (seconds - wanted),
      duration=wanted,
    )
    return np.resize(part, n)
  whole = codecs.decode(path, sample_rate)
  start = int(place * len(whole))
  return np.resize(np.roll(whole, -start), n)


@functools.lru_cache(maxsize=100_000)
def _info(path: str) -> codecs.AudioInfo:
  return codecs.read_info(path)


@functools.lru_cache(maxsize=256)
def _response(path: str, sample_rate: int) -> np.ndarray:
  return codecs.decode(path, sample_rate)


@dataclasses.dataclass(frozen=True)
class Reverberation:
  """Puts waves into rooms, see `reverberate`.

  Attributes:
    files: folder with room impulse responses.
    probability: of a wave to be changed.
    sample_rate: of the waves, in Hz.
    data_dir: where a relative folder begins.
  """

  files: str
  probability: Share = 1.0
  sample_rate: int | None = None
  data_dir: str | None = None

  def __post_init__(self):
    _check_probability('reverberation', self.probability)
    list_audio(self.files, self.data_dir)

  def __call__(self, waves: Waves, draws: Draws) -> list[np.ndarray]:
    files = list_audio(self.files, self.data_dir)
    choice = draws.integers('file', len(files))
    changed = draws.uniform('apply') < self.probability
    return [
      reverberate(w, _response(files[k], self.sample_rate)) if change else w
      for w, k, change in zip(waves, choice, changed, strict=True)
    ]
