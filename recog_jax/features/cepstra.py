"""What follows on log-mel frames: cepstra, deltas, mean and variance."""

import functools

import numpy as np


@functools.cache
def dct_matrix(num_in: int, num_out: int) -> np.ndarray:
  """The orthonormal DCT-II as a float32 matrix `num_in num_out`."""
  n = np.arange(num_in)[:, None] + 0.5
  matrix = np.cos(np.pi / num_in * n * np.arange(num_out))
  matrix *= np.sqrt(2.0 / num_in)
  matrix[:, 0] *= np.sqrt(0.5)
  matrix = matrix.astype(np.float32)
  matrix.flags.writeable = False
  return matrix


@functools.cache
def lifter_weights(num_ceps: int, lifter: float) -> np.ndarray:
  """HTK's liftering of cepstra, float32 `num_ceps`; 0 leaves them alone."""
  weights = np.ones(num_ceps)
  if lifter:
    weights += lifter / 2 * np.sin(np.pi * np.arange(num_ceps) / lifter)
  weights = weights.astype(np.float32)
  weights.flags.writeable = False
  return weights


def frame_mask(lens, num_frames: int, xp=np):
  """bool `b t`: frames within each utterance's length."""
  return xp.arange(num_frames)[None] < xp.asarray(lens)[:, None]


def _masked(frames, lens, xp):
  mask = frame_mask(lens, frames.shape[1], xp)[..., None]
  return xp.where(mask, frames, np.float32(0))


def deltas(frames, lens, width: int = 2, xp=np):
  """Slopes of a regression over 2 * width + 1 frames (HTK's formula).

  Frames before the first and behind an utterance's last one are taken to equal
  it.

  Args:
    frames: `b t f`.
    lens: int `b`.
    width: frames on either side.
    xp: numpy or jax.numpy.

  Returns:
    `b t f`, zero behind each utterance.
  """
  last = xp.maximum(xp.asarray(lens), 1)[:, None] - 1
  t = frames.shape[1]
  place = xp.arange(t)[None]
  if xp is not np and t:
    # Of a compiled program slices, which cost less than look-ups.
    at_last = (place == last)[..., None]
    final = xp.where(at_last, frames, np.float32(0)).sum(1, keepdims=True)
    whole = xp.where((place > last)[..., None], final, frames)
    ends = [whole[:, :1]] * width, [whole[:, -1:]] * width
    whole = xp.concatenate([*ends[0], whole, *ends[1]], axis=1)
  total = 0
  for k in range(1, width + 1):
    if xp is not np and t:
      after = whole[:, width + k : width + k + t]
      before = whole[:, width - k : width - k + t]
    else:
      after, before = (
        xp.take_along_axis(frames, xp.clip(p, 0, last)[..., None], axis=1)
        for p in (place + k, place - k)
      )
    total = total + np.float32(k) * (after - before)
  scale = 2 * sum(k * k for k in range(1, width + 1))
  return _masked(total / np.float32(scale), lens, xp)


def add_deltas(frames, lens, order: int, width: int = 2, xp=np):
  """Appends slopes (order 1), and slopes of slopes (order 2), and so on.

  Returns:
    `b t (order + 1) * f`.
  """
  parts = [frames]
  for _ in range(order):
    parts.append(deltas(parts[-1], lens, width, xp))
  return xp.concatenate(parts, axis=-1) if order else frames


def utterance_cmvn(frames, lens, *, variance: bool = True, xp=np):
  """Each utterance's own mean becomes 0, and its standard deviation 1.

  Args:
    frames: `b t f`.
    lens: int `b`; frames behind are neither counted nor kept.
    variance: False subtracts the mean only.
    xp: numpy or jax.numpy.

  Returns:
    `b t f`, zero behind each utterance. A feature that does not vary stays 0.
  """
  count = xp.maximum(xp.asarray(lens), 1)[:, None, None].astype(np.float32)
  mean = xp.sum(_masked(frames, lens, xp), axis=1, keepdims=True) / count
  centred = _masked(frames - mean, lens, xp)
  if not variance:
    return centred
  square = xp.sum(centred * centred, axis=1, keepdims=True) / count
  # The floor, 60 dB below a typical variance of 1, spares a division by 0.
  return centred / xp.sqrt(xp.maximum(square, np.float32(1e-6)))


def global_cmvn(frames, lens, mean, std, xp=np):
  """(frames - mean) / std with statistics of a whole corpus, each `f`.

  Returns:
    `b t f`, zero behind each utterance.
  """
  mean = xp.asarray(mean, np.float32)
  std = xp.asarray(std, np.float32)
  return _masked((frames - mean) / std, lens, xp)
