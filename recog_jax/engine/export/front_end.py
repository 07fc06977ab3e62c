"""Features of a waveform as part of a program that leaves jax.

The definition is that of `recog_jax.features`, which takes its array module as
an argument. What is given here is jax.numpy, but for Fourier transforms, which
ONNX and LiteRT hardly know: they are products with small matrices of cosines
and sines.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.data.speech.batch import Normaliser
from recog_jax.features.cepstra import global_cmvn


class _Spectrum(NamedTuple):
  real: jax.Array
  imag: jax.Array


class _Fourier:
  """`numpy.fft`, as far as features use it."""

  @staticmethod
  def rfft(frames: jax.Array, n: int) -> _Spectrum:
    """Of `... k` samples, k at most n: real and imaginary part `... n/2+1`.

    In two steps (Cooley and Tukey, 1965): of n = r c samples as r rows, the
    transform of each column, turned, then that of each row. Its matrices have
    r^2 + c^2 / 2 numbers where one for all would have n^2 / 2; of a prime
    number of samples it is that one.
    """
    rows = max(k for k in range(1, math.isqrt(n) + 1) if not n % k)
    columns = n // rows
    spare = [(0, 0)] * (frames.ndim - 1) + [(0, n - frames.shape[-1])]
    x = jnp.pad(frames, spare).reshape(*frames.shape[:-1], rows, columns)
    x = jnp.swapaxes(x, -1, -2)  # ... columns rows
    real, imag = _turns(rows, rows, rows)
    real, imag = x @ real, x @ imag
    cos, sin = _turns(columns, rows, n)
    real, imag = real * cos - imag * sin, real * sin + imag * cos
    real, imag = (jnp.swapaxes(part, -1, -2) for part in (real, imag))
    cos, sin = _turns(columns, columns // 2 + 1, columns)
    parts = real @ cos - imag @ sin, real @ sin + imag @ cos
    whole = (*frames.shape[:-1], -1)
    parts = (jnp.swapaxes(part, -1, -2).reshape(whole) for part in parts)
    return _Spectrum(*(part[..., : n // 2 + 1] for part in parts))


def _turns(rows: int, columns: int, whole: int) -> tuple[jax.Array, jax.Array]:
  """Real and imaginary part of exp(-2 pi i r c / whole), `rows columns`."""
  # Products of integers are exact modulo `whole`, so that angles are as well.
  turned = np.outer(np.arange(rows), np.arange(columns)) % whole
  angles = 2 * np.pi * turned / whole
  cos, sin = np.cos(angles), -np.sin(angles)
  return jnp.asarray(cos, jnp.float32), jnp.asarray(sin, jnp.float32)


class _Arrays:
  """jax.numpy with `_Fourier`."""

  fft = _Fourier

  def __getattr__(self, name: str) -> Any:
    return getattr(jnp, name)


def frame_lengths(features: Any, lens: jax.Array, size: int) -> jax.Array:
  """Frames of signals, without a division.

  Args:
    features: have `num_frames`, which grows with the samples.
    lens: int32 `b`, samples of each, at most `size`.
    size: samples of the widest.

  Returns:
    int32 `b`.
  """
  counts = np.asarray(features.num_frames(np.arange(size + 1)))
  # The fewest samples that have one frame, two frames, ...
  least = np.searchsorted(counts, np.arange(1, int(counts[-1]) + 1))
  reached = lens[:, None] >= jnp.asarray(least[None], jnp.int32)
  return reached.astype(jnp.int32).sum(1, dtype=jnp.int32)


def features_of(
  features: Any,
  normaliser: Normaliser | None,
  waves: jax.Array,
  lens: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """What a reader makes of waveforms, as part of a program.

  Args:
    features: see `recog_jax.features.extract.Features`.
    normaliser: of the corpus; None: features are as they are.
    waves: float32 `b n` in -1..1; what lies behind a length does not count.
    lens: int32 `b`, samples of each.

  Returns:
    float32 `b t f`, and int32 `b`, frames of each.
  """
  xp: Any = _Arrays()
  # A TPU would multiply in bfloat16, which is not enough for a spectrum.
  with jax.default_matmul_precision('highest'):
    if hasattr(features, 'of_lens'):
      frame_lens = frame_lengths(features, lens, waves.shape[1])
      found = features.of_lens(waves, lens, frame_lens, xp)
    else:  # Of somebody's own kind.
      found, frame_lens = features(waves, lens, xp=xp)
    if normaliser is not None:
      found = global_cmvn(
        found, frame_lens, normaliser.mean, normaliser.std, xp
      )
  return found, frame_lens
