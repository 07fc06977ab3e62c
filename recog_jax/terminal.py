"""Output that nobody reads any more ends no command."""

import io
import os
import sys


class _Stream(io.TextIOWrapper):
  """Writes to a file descriptor as long as that can be done."""

  lost = False

  def write(self, text: str) -> int:
    try:
      return super().write(text)
    except OSError:
      self._lose()
    return len(text)

  def flush(self) -> None:
    try:
      super().flush()
    except OSError:
      self._lose()

  def _lose(self) -> None:
    """Nothing comes of what is still to be written, here or by a library."""
    self.lost = True
    _to_nowhere(self.fileno())


def _to_nowhere(number: int) -> None:
  nowhere = os.open(os.devnull, os.O_RDWR)
  if nowhere == number:
    os.set_inheritable(number, True)
    return
  os.dup2(nowhere, number)
  os.close(nowhere)


def open_streams() -> None:
  """Makes stdout and stderr last: closed ones, broken pipes, full disks.

  What they cannot encode is written as an escape. To be called before anything
  else opens a file, which would take the number of a closed stream.
  """
  for number in (0, 1, 2):
    try:
      os.fstat(number)
    except OSError:
      _to_nowhere(number)
  for name, number in (('stdout', 1), ('stderr', 2)):
    old = getattr(sys, name)
    if old is not getattr(sys, f'__{name}__'):
      continue  # A test's or a notebook's.
    if old is not None:
      old.flush()
    stream = _Stream(
      io.BufferedWriter(io.FileIO(number, 'w', closefd=False)),
      encoding=old.encoding if old else 'utf-8',
      errors='backslashreplace',
      line_buffering=number == 2 or os.isatty(number),
    )
    setattr(sys, name, stream)


def is_read() -> bool:
  """Whether what goes to stdout is still wanted."""
  return not getattr(sys.stdout, 'lost', False)
