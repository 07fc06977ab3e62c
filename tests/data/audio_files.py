"""Small audio files for tests: tones of known length and frequency."""

from pathlib import Path

import numpy as np
import soundfile


def tone(seconds: float, rate: int, hz: float = 300.0) -> np.ndarray:
  """float32 `n`, a third of full scale."""
  time = np.arange(round(seconds * rate)) / rate
  return (np.sin(2 * np.pi * hz * time) / 3).astype(np.float32)


def write_tone(
  path: Path,
  seconds: float = 0.5,
  rate: int = 16000,
  *,
  hz: float = 300.0,
  channels: int = 1,
  **options,
) -> Path:
  """Writes a tone in the format of the file's suffix; other channels silent."""
  path.parent.mkdir(parents=True, exist_ok=True)
  audio = np.zeros((round(seconds * rate), channels), np.float32)
  audio[:, 0] = tone(seconds, rate, hz)
  soundfile.write(path, audio, rate, **options)
  return path


def main_hz(audio: np.ndarray, rate: int) -> float:
  """The strongest frequency of a recording."""
  spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
  return float(spectrum.argmax() * rate / len(audio))
