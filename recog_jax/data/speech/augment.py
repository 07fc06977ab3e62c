"""Augmentation of speech from a config, and speed perturbation.

`[{'name': 'gain', 'low_db': -6, 'high_db': 6}, {'name': 'spec_augment',
'policy': 'LD'}]` becomes one chain: ops on waveforms, and then, when features
were computed, ops on frames. It runs on the host.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import soxr

from recog_jax.data.draws import Draws, scoped
from recog_jax.data.ops import make_op
from recog_jax.data.speech.codecs import resampled_length
from recog_jax.data.speech.spec_augment import SpecAugment
from recog_jax.data.speech.telephone import Telephone
from recog_jax.data.speech.waves import Gain, Noise, Reverberation, Waves
from recog_jax.errors import UserError

WaveOp = Callable[[Waves, Draws], list[np.ndarray]]
FrameOp = Callable[[np.ndarray, np.ndarray, Draws], np.ndarray]

WAVE_OPS: dict[str, Callable[..., WaveOp]] = {
  'gain': Gain,
  'noise': Noise,
  'reverberation': Reverberation,
  'telephone': Telephone,
}
FRAME_OPS: dict[str, Callable[..., FrameOp]] = {'spec_augment': SpecAugment}
OPS = {**WAVE_OPS, **FRAME_OPS}

# Speed factors are multiples of 1 / 1000.
_STEPS = 1000


def perturbed_len(num_samples: Any, factor: Any) -> Any:
  """Samples that `perturb_speed` leaves.

  Args:
    num_samples: an integer, or int `n`.
    factor: speed, a float or float `n`; taken to a multiple of 0.001.

  Returns:
    An int, or int64 where one of the two is an array.
  """
  steps = np.rint(np.asarray(factor) * _STEPS).astype(np.int64)
  length = resampled_length(np.asarray(num_samples, np.int64), steps, _STEPS)
  return length if np.ndim(length) else int(length)


def perturb_speed(wave: np.ndarray, factor: float) -> np.ndarray:
  """Plays a wave faster, with pitch and formants (Ko et al. 2015).

  Args:
    wave: float32 `n`.
    factor: 1.1 is faster and shorter; taken to a multiple of 0.001.

  Returns:
    float32 `perturbed_len(n, factor)`.

  Raises:
    UserError: a factor outside of [0.1, 10].
  """
  steps = round(factor * _STEPS)
  if steps == _STEPS:
    return wave
  if not _STEPS // 10 <= steps <= _STEPS * 10:
    raise UserError(f'a speed of {factor} is outside of [0.1, 10]')
  length = perturbed_len(len(wave), factor)
  out = soxr.resample(np.asarray(wave, np.float32), steps, _STEPS)
  # soxr rounds as we do; were it otherwise, the buckets would be wrong.
  return np.pad(out, (0, max(0, length - len(out))))[:length]


@dataclasses.dataclass(frozen=True)
class AudioAugment:
  """Ops one after the other; pickles, for worker processes.

  Attributes:
    wave_ops: (scope, op), on waveforms.
    frame_ops: (scope, op), on features.
  """

  wave_ops: tuple[tuple[str, WaveOp], ...] = ()
  frame_ops: tuple[tuple[str, FrameOp], ...] = ()

  def on_waves(self, waves: Waves, draws: Draws) -> list[np.ndarray]:
    """Augments float32 `n` of each row; lengths stay as they are."""
    for scope, op in self.wave_ops:
      waves = op(waves, scoped(draws, scope))
    return list(waves)

  def on_frames(
    self, frames: np.ndarray, lens: np.ndarray, draws: Draws
  ) -> np.ndarray:
    """Augments float32 `b t f` with int `b` frames in each row."""
    for scope, op in self.frame_ops:
      frames = op(frames, lens, scoped(draws, scope))
    return frames


def make_audio_augment(
  specs: Sequence[Mapping[str, Any]],
  sample_rate: int | None = None,
  data_dir: Any = None,
) -> AudioAugment:
  """A chain from a config.

  Each op's draws depend on its name and on how often that name came before, so
  adding an op changes nothing for ops of other names.

  Args:
    specs: `name` and the op's keys, each.
    sample_rate: of the waveforms in Hz; needed by ops that read files.
    data_dir: where relative names of files begin.

  Raises:
    UserError: an unknown name or key, a missing key, or a bad value.
  """
  seen = collections.Counter()
  waves, frames = [], []
  for spec in specs:
    op = make_op(
      'speech augmentation',
      spec,
      "{'name': 'spec_augment', 'policy': 'LD'}",
      sample_rate=sample_rate,
      data_dir=None if data_dir is None else str(data_dir),
    )
    name = spec['name']
    chosen = frames if getattr(op, 'on_frames', False) else waves
    chosen.append((f'{name}{seen[name]}', op))
    seen[name] += 1
  return AudioAugment(tuple(waves), tuple(frames))
