"""Connections between processes: lines of JSON, limited, of known kinds."""

import contextlib
import errno
import json
import select
import socket
import threading
from collections.abc import Mapping
from typing import Any

from recog_jax.errors import UserError, sentence_of

SILENT_SECONDS = 20.0
# The first line of a process holds its config, which has some kilobytes.
_LONGEST_LINE = 1 << 20
# Connections that may wait to be taken; a stranger's must not hold up ours.
_WAITING = 1024
# What a message may hold; another one is none of ours.
_KINDS = {
  'nonce': str,
  'process': int,
  'proof': str,
  'facts': dict,
  'welcome': bool,
  'left': bool,
  'end': str,
  'stop': str,
  'place': int,
  'stop_at': int,
}


class Line:
  """One connection."""

  def __init__(self, connection: socket.socket):
    self._socket = connection
    connection.settimeout(SILENT_SECONDS)
    self._reader = connection.makefile('rb')
    self._lock = threading.Lock()

  def send(self, message: Mapping[str, Any]) -> None:
    """Writes a line; a connection that is broken is the reader's business."""
    with self._lock, contextlib.suppress(OSError):
      self._socket.sendall((json.dumps(message) + '\n').encode())

  def read(self) -> dict[str, Any] | None:
    """The next line that is no heartbeat; None if the other side is gone."""
    while True:
      try:
        message = parse(self._reader.readline(_LONGEST_LINE))
      except (OSError, ValueError):
        return None  # Broken, or cut within a line, or no process of ours.
      if message != {}:
        return message

  def silent_after(self, seconds: float) -> None:
    """Sets how long the other side may say nothing."""
    self._socket.settimeout(seconds)

  def is_broken(self) -> bool:
    """Whether the other side has ended; to be asked while nobody reads."""
    try:
      there, _, _ = select.select([self._socket], [], [], 0)
      return bool(there) and not self._socket.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):  # ValueError: closed on this side.
      return True

  def close(self) -> None:
    with contextlib.suppress(OSError):
      self._socket.shutdown(socket.SHUT_RDWR)
    # The socket stays open as long as its reader does.
    self._reader.close()
    self._socket.close()


def parse(line: bytes) -> dict[str, Any]:
  """The message of a line.

  Raises:
    ValueError: it is none.
  """
  try:
    message = json.loads(line)
  except RecursionError as error:
    raise ValueError('it is nested too deeply') from error
  if not isinstance(message, dict):
    raise ValueError('it is no object')
  for key, value in message.items():
    kind = _KINDS.get(key)
    if kind is None or type(value) is not kind:
      raise ValueError(f'it has no {key} of that kind')
  return message


def serve(host: str, port: int) -> socket.socket:
  """Listens where the others look for process 0, and nowhere else."""
  try:
    return _bound(host, port)
  except OSError as error:
    if error.errno == errno.EADDRINUSE:
      raise UserError(
        f'port {port} is taken, which a run needs beside that of --coordinator:'
        ' give another one there, in all processes'
      ) from error
    raise UserError(sentence_of(error)) from error


def _bound(host: str, port: int) -> socket.socket:
  try:
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
  except socket.gaierror:
    places = []
  for family, *_, address in places:
    try:
      return socket.create_server(address[:2], family=family, backlog=_WAITING)
    except OSError as error:
      if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        raise
  # The name is that of a service or a gateway, which passes connections on.
  return socket.create_server(('', port), backlog=_WAITING)
