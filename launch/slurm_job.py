"""What a Slurm job of one trial does; it runs on the cluster's machine."""

import signal
import subprocess
import sys
from collections.abc import Sequence

from submitit.helpers import Checkpointable

# A shell that lets the signal pass by which Slurm announces the end of a job:
# submitit hears it, and asks the trial to save.
_DEAF = ('sh', '-c', 'trap "" USR1 USR2; exec "$@"', 'sh')


class TrainJob(Checkpointable):
  """Runs a command, again if it fails; on a time-out it saves and is requeued.

  submitit calls `checkpoint` before Slurm ends the job, and submits it again.
  """

  def __init__(self, argv: Sequence[str], attempts: int):
    """Takes the command.

    Args:
      argv: its words; the first one, python, is that of the machine.
      attempts: how often it is started before the job fails.
    """
    self._argv = list(argv)
    self._attempts = attempts
    self._process: subprocess.Popen | None = None

  def __call__(self) -> int:
    """Returns 0.

    Raises:
      RuntimeError: it failed every time.
    """
    for attempt in range(1, self._attempts + 1):
      self._process = subprocess.Popen([*_DEAF, sys.executable, *self._argv])
      code = self._process.wait()
      if code == 0:
        return 0
      print(f'attempt {attempt} of {self._attempts}: exit code {code}')
    raise RuntimeError(f'failed {self._attempts} times, last with {code}')

  def checkpoint(self):
    """Lets the trial save, and asks for the same job again."""
    process, self._process = self._process, None
    if process is not None:
      process.send_signal(signal.SIGTERM)
      process.wait()
    return super().checkpoint()
