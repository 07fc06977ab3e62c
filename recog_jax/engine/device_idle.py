"""Whether the devices had work: what of a run's seconds was training.

The loop sends steps to the devices ahead of their results, so the seconds that
it waits for input say little: the devices may be busy meanwhile. What counts is
how long they had nothing to do because the next batch was not there.
"""

import os
import queue
import threading
import time
from pathlib import Path
from typing import Any

import jax

# The devices may stand still for so much of the training time before the run
# is called input-bound.
_TOLERATED = 0.1


class DeviceClock:
  """Measures how long the devices stood still while the loop waited for input.

  A thread waits for the result of each step, and so knows when the last one
  that was sent was done.
  """

  def __init__(self) -> None:
    self.starved_seconds = 0.0
    self._sent: queue.SimpleQueue[Any] = queue.SimpleQueue()
    self._lock = threading.Lock()
    self._open = 0
    self._idle_since: float | None = None
    threading.Thread(target=self._follow, daemon=True).start()

  def sent(self, result: jax.Array) -> None:
    """A step was sent; `result` is an array that it makes (not donated)."""
    with self._lock:
      self._open += 1
      self._idle_since = None
    self._sent.put(result)

  def waited(self, begin: float, end: float) -> None:
    """The loop waited for input, by `time.perf_counter`."""
    with self._lock:
      idle = self._idle_since
    if idle is not None:
      self.starved_seconds += max(0.0, end - max(begin, idle))

  def forget(self) -> None:
    """Something else than training lay between: an idle device is no loss."""
    with self._lock:
      self._idle_since = None

  def close(self) -> None:
    """Ends the thread."""
    self._sent.put(None)

  def _follow(self) -> None:
    while (result := self._sent.get()) is not None:
      try:
        result.block_until_ready()
      except Exception:  # noqa: BLE001 - the loop meets the same error itself.
        return
      now = time.perf_counter()
      with self._lock:
        self._open -= 1
        if not self._open:
          self._idle_since = now


def verdict(starved_seconds: float, training_seconds: float) -> str:
  """One line: input-bound or compute-bound, and what to do about it.

  Args:
    starved_seconds: how long the devices stood still for want of input.
    training_seconds: of the steps and of waiting for their input.
  """
  share = starved_seconds / max(training_seconds, 1e-9)
  if share > _TOLERATED:
    return (
      f'input-bound: the devices waited for input {share:.0%} of the training '
      'time; more config.data.workers, smaller files or fewer augmentations '
      'would help'
    )
  return (
    f'compute-bound: the devices waited for input {share:.0%} of the training '
    'time'
  )


def process_age() -> float:
  """Seconds since this process began, imports included; 0 if not known."""
  try:
    text = Path('/proc/self/stat').read_text()
    ticks = int(text.rpartition(')')[2].split()[19])
    began = ticks / os.sysconf('SC_CLK_TCK')
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
  except (OSError, ValueError, AttributeError, IndexError):
    return 0.0
