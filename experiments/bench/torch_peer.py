"""A torch DataLoader in a process of its own, which answers with its speed."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from recog_jax.errors import UserError


class Peer:
  """The DataLoader in a Python of its own, which waits between its turns."""

  def __init__(self, python: str, script: str, options: Sequence[str]):
    path = Path(__file__).parent / 'peers' / script
    try:
      self._process = subprocess.Popen(
        [python, str(path), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
      )
    except OSError as error:
      raise UserError(
        f'--peer_python={python} does not start ({error.strerror}): give the '
        'Python of an environment with torch and torchvision'
      ) from error
    self._read('ready')

  def _read(self, expected: str = '') -> str:
    line = self._process.stdout.readline().strip()
    if not line or (expected and line != expected):
      raise UserError(
        'the peer ended early; what it said is above. It needs torch, '
        'torchvision, Pillow and NumPy'
      )
    return line

  def images_per_second(
    self, variant: str, workers: int, seconds: float
  ) -> float:
    self._process.stdin.write(f'{variant} {workers} {seconds}\n')
    self._process.stdin.flush()
    return float(self._read())

  def close(self) -> None:
    self._process.stdin.close()
    self._process.wait()
