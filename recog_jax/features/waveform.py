"""The waveform itself, for models that make their own features of it."""

import dataclasses

import numpy as np

from recog_jax.features import cepstra
from recog_jax.features.base import NORMALISE

# Of a variance, as in the feature extractor of wav2vec 2.0.
_LEAST = 1e-7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Waveform:
  """Every sample is a frame of one feature.

  So `frames_multiple` of buckets counts samples: 3200 are 0.2 s at 16 kHz.

  Attributes:
    sample_rate: of the waveforms, in Hz.
    normalise: 'mean_variance', as wav2vec 2.0 has it: each utterance's mean
      becomes 0 and its variance 1; 'mean' subtracts the mean, 'none' nothing.
  """

  sample_rate: int
  normalise: str = 'mean_variance'

  def __post_init__(self):
    if self.normalise not in NORMALISE:
      raise ValueError(
        f"no normalise '{self.normalise}': known: {', '.join(NORMALISE)}"
      )

  # What `Features` has; see there.
  dim = window_len = hop_len = 1
  deltas = 0
  longest_s = None
  edges = ('none', 0)

  @property
  def hop_s(self) -> float:
    return 1 / self.sample_rate

  window_s = hop_s

  def num_frames(self, num_samples):
    """As many as there are samples."""
    return num_samples

  def of_frames(self, frames, xp=np):
    """`... 1` to the same."""
    return xp.asarray(frames, np.float32)

  def __call__(self, waves, lens, xp=np, *, threads: int = 1):
    """See `Features.__call__`: `b n` to `b n 1`, and int32 `b`."""
    lens = xp.asarray(lens).astype(np.int32)
    return self.of_lens(waves, lens, lens, xp, threads=threads), lens

  def of_lens(self, waves, lens, frame_lens, xp=np, *, threads: int = 1):
    """See `Features.of_lens`."""
    del frame_lens, threads
    waves = xp.asarray(waves, np.float32)
    there = cepstra.frame_mask(lens, waves.shape[1], xp)
    waves = xp.where(there, waves, np.float32(0))
    if self.normalise == 'none':
      return waves[..., None]
    count = xp.maximum(xp.asarray(lens), 1)[:, None].astype(np.float32)
    mean = xp.sum(waves, axis=1, keepdims=True) / count
    waves = xp.where(there, waves - mean, np.float32(0))
    if self.normalise == 'mean_variance':
      square = xp.sum(waves * waves, axis=1, keepdims=True) / count
      waves = waves / xp.sqrt(square + np.float32(_LEAST))
    return waves[..., None]
