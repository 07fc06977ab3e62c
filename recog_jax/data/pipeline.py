"""grain pipelines over steps: an element is one local batch, or a part of it.

Sets in memory are indexed and augmented as whole arrays in a thread beside the
train step. Sets whose records must be decoded are split over worker processes:
each element is a chunk of the step's rows, and the chunks are joined here, so
that all workers share each step.
"""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import cv2
import grain
import numpy as np
from grain.python import SharedMemoryArray

from recog_jax.data.base import Batch
from recog_jax.errors import UserError

# A worker looks this often whether the process that started it is still there.
_WATCH_SECONDS = 2.0
# Decoded batches that may wait for the device, in bytes.
_BUFFER_BYTES = 1 << 28
# Whether this process decodes for another.
_is_worker = False


class Maker(Protocol):
  """Turns an element number into arrays; a dataclass that pickles.

  Element e is chunk e % chunks of the local rows of step start_step +
  e // chunks.

  Attributes:
    in_memory: nothing is read or decoded, so that workers would only cost.
    most_rows: local rows of the largest batch.
    step_bytes: of the largest local batch, about.
  """

  chunks: int
  start_step: int
  in_memory: bool
  most_rows: int
  step_bytes: int

  def __call__(self, element: int) -> Batch: ...


class Shared:
  """Makes arrays that grain hands to the main process without a copy."""

  def __init__(self):
    self._made: list[SharedMemoryArray] = []

  def __call__(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
    self._made.append(SharedMemoryArray(shape, dtype))
    return self._made[-1]

  def drop(self) -> None:
    """Frees them, where they are not handed on."""
    for array in self._made:
      array.shm.unlink()


def is_worker() -> bool:
  """Whether this process decodes for another."""
  return _is_worker


def _join(parts: list[Batch]) -> Batch:
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def _worker_init(parent: int, index: int, count: int) -> None:
  """Ties a worker's life to the main process, however that one ends.

  The main process decides when workers stop: a Ctrl-C or a preemption notice
  reaches the whole process group, and must not end them in mid-batch.
  """
  del index, count
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_IGN)

  def watch() -> None:
    while os.getppid() == parent:
      time.sleep(_WATCH_SECONDS)
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
  # One thread a worker: there are as many workers as cores to use.
  cv2.setNumThreads(1)
  global _is_worker
  _is_worker = True


@dataclasses.dataclass(frozen=True)
class _WorkerInit:
  parent: int

  def __call__(self, index: int, count: int) -> None:
    _worker_init(self.parent, index, count)


def _block_signals() -> None:
  # This first, as it unblocks them.
  multiprocessing.resource_tracker.ensure_running()
  signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def _from_workers(iterator: Iterator[Batch]) -> Iterator[Batch]:
  """Starts the workers with signals blocked, which they inherit.

  `_worker_init` comes some seconds too late: a Ctrl-C while a worker imports
  its modules would end it, and the run. The main thread stays open to signals.
  """
  try:
    with concurrent.futures.ThreadPoolExecutor(
      1, initializer=_block_signals
    ) as pool:
      batch = pool.submit(next, iterator, None).result()
    while batch is not None:
      yield batch
      batch = next(iterator, None)
  except RuntimeError as error:
    if 'Worker process was terminated' not in str(error):
      raise
    raise UserError(
      'a process that decodes records was killed: most '
      'often by the system, for lack of memory; lower config.data.workers. The '
      'same command continues'
    ) from error


@contextlib.contextmanager
def batches(
  make: Maker, stop_step: int, workers: int = 0
) -> Iterator[Iterator[Batch]]:
  """Iterates over the local batches of steps [make.start_step, stop_step).

  Args:
    make: makes the arrays.
    stop_step: first step that is not made.
    workers: processes that decode, where the records are not in memory.

  Yields:
    An iterator; workers and threads end with the context.

  Raises:
    UserError: from inside the iterator, for records that cannot be read.
  """
  steps = max(0, stop_step - make.start_step)
  if make.in_memory or steps == 1:
    workers = 0  # They would only cost.
  chunks = max(1, min(workers, make.most_rows))
  make = dataclasses.replace(make, chunks=chunks)
  data = grain.MapDataset.range(steps * chunks).map(make)
  buffered = max(2, min(8, _BUFFER_BYTES // max(1, make.step_bytes)))
  threads = 1 if make.in_memory or workers else os.cpu_count() or 1
  options = grain.ReadOptions(
    num_threads=threads, prefetch_buffer_size=max(threads, buffered)
  )
  if workers:
    # The main thread of a worker decodes; a buffer in it would only be more
    # batches in memory.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
  data = data.to_iter_dataset(options)
  if workers:
    data = data.mp_prefetch(
      grain.MultiprocessingOptions(
        num_workers=workers, per_worker_buffer_size=2
      ),
      worker_init_fn=_WorkerInit(os.getpid()),
    )
  if chunks > 1:
    data = data.batch(chunks, batch_fn=_join)
  iterator = iter(data)
  try:
    yield _from_workers(iterator) if workers else iterator
  finally:
    iterator.close()
