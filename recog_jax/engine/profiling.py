"""A trace of chosen steps, for XProf and TensorBoard."""

import contextlib
import re
from typing import Any

import jax

from recog_jax.errors import UserError
from recog_jax.storage import AnyPath, is_remote


class Profile:
  """Writes a trace of the steps from `start` until before `stop`.

  Attributes:
    folder: where the trace is; None if none is wanted.
  """

  def __init__(self, spec: str | None, workdir: AnyPath):
    """Nothing is traced yet.

    Args:
      spec: `START:STOP`, steps done before the first of them and after the
        last; None for no trace.
      workdir: the run's folder.

    Raises:
      UserError: spec is something else.
    """
    self.folder = None
    self._start = self._stop = -1
    self._active = False
    if spec is None:
      return
    found = re.fullmatch(r'(\d+):(\d+)', spec)
    if not found or int(found[1]) >= int(found[2]):
      raise UserError(
        f'--profile={spec}: give two numbers of steps, the smaller first, for '
        'example --profile=10:15'
      )
    self._start, self._stop = int(found[1]), int(found[2])
    self.folder = workdir / 'profile'
    if is_remote(workdir):
      raise UserError(
        f'--profile writes to a disk, and {workdir} is a bucket: profile a few '
        'steps with a local --workdir'
      )

  def begin(self, step: int) -> bool:
    """Starts the trace if it is time; whether it did. Steps 0 to `step` ran."""
    if self._active or not self._start <= step < self._stop:
      return False
    jax.profiler.start_trace(str(self.folder))
    self._active = True
    return True

  def step(self, step: int) -> contextlib.AbstractContextManager[Any]:
    """Around what is to be seen as one step."""
    if not self._active:
      return contextlib.nullcontext()
    return jax.profiler.StepTraceAnnotation('train', step_num=step)

  def end(self, step: int, result: Any) -> str | None:
    """Ends the trace if it is time, and tells where it is.

    Args:
      step: steps done.
      result: of the last of them: it is waited for.
    """
    if not self._active or step < self._stop:
      return None
    return self._close(result)

  def close(self) -> None:
    """Ends a trace that the end of the run has cut."""
    if self._active:
      self._close(None)

  def _close(self, result: Any) -> str:
    jax.block_until_ready(result)
    jax.profiler.stop_trace()
    self._active = False
    return (
      f'trace of steps {self._start} to {self._stop}: xprof --logdir='
      f'{self.folder} shows it (pip install xprof)'
    )
