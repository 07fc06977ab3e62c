"""Which code a run was made with."""

import functools
import subprocess
from importlib import metadata
from pathlib import Path


@functools.cache
def version() -> str:
  """The package's version, with the commit where it runs from a checkout."""
  try:
    name = metadata.version('recog_jax')
  except metadata.PackageNotFoundError:
    name = 'unknown'
  try:
    commit = subprocess.run(
      ['git', 'describe', '--always', '--dirty'],
      cwd=Path(__file__).parent,
      capture_output=True,
      text=True,
      timeout=10,
      check=True,
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    return name
  return f'{name}+{commit}'
