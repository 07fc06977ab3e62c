"""A request to stop (SIGTERM, Ctrl-C), asked for between steps."""

import signal
from types import FrameType


class Stopped(Exception):  # noqa: N818 - not an error
  """Raised where work is left because a stop was asked for."""


class StopRequest:
  """Turns the first SIGTERM or SIGINT into a flag; a second one is abrupt.

  Cloud machines send SIGTERM some seconds before they are taken away. Install
  it before the slow imports, so that there is no moment in which the signal
  kills the run.
  """

  def __init__(self) -> None:
    self.requested: str | None = None

  def install(self) -> 'StopRequest':
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._handle)
    return self

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    self.requested = signal.Signals(number).name
    signal.signal(number, signal.SIG_DFL)

  def check(self) -> None:
    """Raises Stopped if a stop was asked for."""
    if self.requested:
      raise Stopped(self.requested)
