"""A request to stop (SIGTERM, Ctrl-C), asked for between steps."""

import atexit
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from recog_jax.engine.liveness import Channel

# Launchers such as `timeout` signal a process and then its group: what comes
# this soon after the first signal is the same request.
_SAME_SECONDS = 0.5


class Heard:
  """Which signal came first, and whether another one was meant after it.

  Attributes:
    number: of the first signal; None before.
    abrupt: a second one asks for more haste.
  """

  def __init__(self) -> None:
    self.number: int | None = None
    self.abrupt = False
    self._first = 0.0

  def hear(self, number: int) -> bool:
    """Notes a signal; whether it is the first."""
    now = time.monotonic()
    if self.number is None:
      self.number, self._first = number, now
      return True
    self.abrupt |= now - self._first > _SAME_SECONDS
    return False


class Stopped(Exception):  # noqa: N818 - not an error
  """Raised where work is left because a stop was asked for."""


class StopRequest:
  """Turns the first SIGTERM or SIGINT into a flag; a later SIGINT is abrupt.

  Cloud machines send SIGTERM some seconds before they are taken away, and some
  of them again and again until the process has ended. Install
  it before the slow imports, so that there is no moment in which the signal
  kills the run.
  """

  def __init__(self) -> None:
    self.requested: str | None = None
    self._channel: Channel | None = None
    self._asked = False

  def install(self) -> 'StopRequest':
    """Takes over both signals; for the main thread of a command."""
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._handle)
    atexit.register(self._ignore)
    # Python calls a handler between two lines of the main thread, which may
    # lie minutes apart where XLA compiles. The numbers of signals arrive on
    # this socket at once.
    self._reader, self._writer = socket.socketpair()
    self._writer.setblocking(False)
    signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=self._listen, daemon=True).start()
    return self

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    self.requested = signal.Signals(number).name

  def _ignore(self) -> None:
    """Python ends by giving signals back to the system, which would kill it.

    A command that has saved, and ends with 0, must not end by that.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, signal.SIG_IGN)

  def share(self, channel: 'Channel') -> None:
    """A request to one process is one to all of them, from now on."""
    self._channel = channel
    if self.requested:
      self._ask_all(self.requested)

  def _ask_all(self, reason: str) -> None:
    if self._channel is not None and not self._asked:
      self._asked = True
      self._channel.request_stop(reason)

  def _listen(self) -> None:
    heard = Heard()
    while True:
      number = self._reader.recv(1)[0]
      if number not in (signal.SIGTERM, signal.SIGINT):
        continue
      if heard.hear(number):
        print(
          f'{signal.Signals(number).name}: stopping after this step, with a '
          'checkpoint; a second Ctrl-C stops at once',
          file=sys.stderr,
          flush=True,
        )
        self._ask_all(signal.Signals(number).name)
      elif heard.abrupt and number == signal.SIGINT:
        os._exit(128 + number)

  def check(self) -> None:
    """Raises Stopped if a stop was asked for: in all processes alike.

    To be called in the same order everywhere.
    """
    if self._channel is None:
      reason = self.requested
    else:
      reason = self._channel.pass_place()
    if reason:
      raise Stopped(reason)
