"""An exported step of a stream: who calls it keeps its states."""

import functools
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from recog_jax.engine.export.runtime import Runtime
from recog_jax.engine.stream_steps import Step
from recog_jax.errors import UserError


class Caller:
  """Calls the program of an export, chunk after chunk of one stream."""

  def __init__(self, runtime: Runtime):
    """Before the first sample.

    Args:
      runtime: of the export.
    """
    self._runtime = runtime
    self._entry = runtime.signature.programs[0]
    self._hop = int(runtime.signature.facts['streaming']['hop'])
    names = runtime.signature.facts['streaming']['states']
    shapes = {one['name']: one for one in self._entry.inputs}
    self._states = {
      name: np.zeros((1, *shapes[name]['shape']), shapes[name]['dtype'])
      for name in names
    }
    self._waiting = np.zeros(0, np.float32)
    self.samples = 0

  def hear(
    self, wave: np.ndarray, *, last: bool = False
  ) -> Iterator[tuple[np.ndarray, int]]:
    """The calls that float32 `n` completes, or ends.

    Yields:
      float32 `1 t v`, log probabilities, and how many of the frames count.
    """
    window = self._entry.samples
    assert window is not None  # Of speech.
    self.samples += len(wave)
    self._waiting = np.concatenate([self._waiting, wave], dtype=np.float32)
    while len(self._waiting) >= window or (last and len(self._waiting)):
      yield self._call(self._waiting[:window], window)
      self._waiting = self._waiting[self._hop :].copy()

  def _call(self, piece: np.ndarray, window: int) -> tuple[np.ndarray, int]:
    padded = np.zeros((1, window), np.float32)
    padded[0, : len(piece)] = piece
    found = self._runtime(
      self._entry,
      {
        'waveform': padded,
        'lengths': np.array([len(piece)], np.int32),
        **self._states,
      },
    )
    # Runtimes may write the next outputs over these.
    self._states = {
      name: np.array(found[f'{name}_next']) for name in self._states
    }
    count = int(np.asarray(found['out_len'])[0])
    return np.array(found['log_probs'], np.float32), count

  def run(self, wave: np.ndarray) -> np.ndarray:
    """float32 `t v`, log probabilities of a whole recording `n`."""
    parts = [found[0, :n] for found, n in self.hear(wave, last=True)]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


class StreamProgram:
  """The program, and streams of it."""

  def __init__(self, runtime: Runtime):
    """Nothing is opened yet.

    Args:
      runtime: of an export with `streaming`.
    """
    self._runtime = runtime
    self._facts = runtime.signature.facts['streaming']
    self._decode: Any = None

  def steps(self, task: Any, frames: int | None = None) -> '_Samples':
    """A new stream; see `stream_steps.steps_of`.

    Raises:
      UserError: steps of another length than the export has.
    """
    own = int(self._facts['frames'])
    if frames not in (None, own):
      raise UserError(
        f'this export was made for steps of {own} frames, not {frames}: export '
        'the workdir again with other chunks'
      )
    decoder = task.stream_decoder(None)
    if self._decode is None:
      self._decode = jax.jit(functools.partial(decoder.step, None))
    carried = decoder.start(None, 1)
    return _Samples(self._runtime, self._facts, self._decode, carried)

  def whole(
    self, waves: np.ndarray, lens: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Each recording as a stream of its own.

    Args:
      waves: float32 `b n`.
      lens: their samples `b`.

    Returns:
      Log probabilities float32 `b t v`, where `t` is as many as `n` has, and
      int32 `b`, frames that count.
    """
    found = [
      Caller(self._runtime).run(wave[:n])
      for wave, n in zip(waves, lens, strict=True)
    ]
    calls = -(-waves.shape[1] // int(self._facts['hop']))
    most = calls * int(self._facts['frames'])
    size = max(rows.shape[1] for rows in found)
    log_probs = np.zeros((len(found), most, size), np.float32)
    for k, rows in enumerate(found):
      log_probs[k, : len(rows)] = rows
    return log_probs, np.array([len(rows) for rows in found], np.int32)


class _Samples:
  """One stream; see `stream_steps.Steps`."""

  def __init__(self, runtime: Runtime, facts: Any, decode: Any, carried: Any):
    self._caller, self._decode = Caller(runtime), decode
    self.step_frames, self.frame_s = int(facts['frames']), facts['frame_s']
    self._carried = carried

  @property
  def samples(self) -> int:
    return self._caller.samples

  def hear(self, wave: np.ndarray, *, last: bool = False) -> Iterator[Step]:
    begin = time.perf_counter()
    for log_probs, count in self._caller.hear(wave, last=last):
      outputs = {'logits': log_probs, 'out_len': np.array([count], np.int32)}
      added, self._carried = self._decode(outputs, self._carried)
      added = jax.tree.map(lambda x: np.asarray(x)[0], added)
      yield Step(added, count, time.perf_counter() - begin)
      begin = time.perf_counter()
