"""Several processes of one run on this machine."""

import re
import socket
import time
from pathlib import Path

from tests.commands import runs


def free_port() -> int:
  """A port with a free one behind it."""
  while True:
    with socket.create_server(('', 0)) as first:
      port = first.getsockname()[1]
      try:
        socket.create_server(('', port + 1)).close()
      except OSError:
        continue
      return port


class Group:
  """`count` processes with so many simulated devices each."""

  def __init__(
    self,
    folder: Path,
    workdir: Path,
    count: int,
    devices: int,
    *args: str,
    own: dict[int, tuple[str, ...]] | None = None,
    module: str = 'recog_jax.main',
  ):
    """Starts them.

    Args:
      folder: of their logs.
      workdir: of the run.
      count: number of processes; 1 starts one without a coordinator.
      devices: simulated CPU devices of each.
      *args: flags of all.
      own: further flags of some.
      module: the command.
    """
    port = free_port()
    env = {
      **runs.environment(folder / 'cache'),
      'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    }
    self.runs = []
    for i in range(count):
      flags = [f'--workdir={workdir}', *args]
      if count > 1:
        flags += [
          f'--coordinator=127.0.0.1:{port}',
          f'--num_processes={count}',
          f'--process_id={i}',
        ]
      flags += (own or {}).get(i, ())
      log = folder / f'{workdir.name}-{count}-{time.monotonic_ns()}-{i}.log'
      self.runs.append(runs.Run(log, *flags, env=env, module=module))

  def end(self, seconds: float = 300) -> list[int]:
    """The exit codes."""
    return [run.end(seconds) for run in self.runs]

  def errors(self, process: int) -> list[str]:
    """What a process says of errors."""
    text = self.runs[process].text()
    assert 'Traceback' not in text, text
    assert 'Check failure' not in text, text
    return re.findall(r'^error: (.*)', text, re.M)

  def until_step(self, step: int) -> None:
    """Waits until process 0 has logged a step."""
    assert self.runs[0].wait_until(lambda: self.runs[0].step() >= step)
