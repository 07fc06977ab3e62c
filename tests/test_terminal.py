"""Streams that nobody reads, in processes of their own."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Writes more than a pipe holds, says so in a file, and ends with 0.
PROGRAM = """
import sys
from recog_jax import terminal
terminal.open_streams()
with open(sys.argv[1], 'w') as file:
  for i in range(3000):
    print('x' * 50, '\\udcff', flush=i % 2 == 0)
    print('y', file=sys.stderr)
  file.write('done')
"""


@pytest.mark.parametrize(
  'redirection',
  ['>&-', '2>&-', '>&- 2>&- <&-', '>/dev/full', '2>/dev/full', '| head -n 1'],
)
def test_a_program_goes_on(tmp_path, redirection):
  program, file = tmp_path / 'program.py', tmp_path / 'file'
  program.write_text(PROGRAM)
  command = f'{sys.executable} {program} {file} {redirection}; exit $PIPESTATUS'
  done = subprocess.run(
    ['bash', '-c', command],
    env={'PYTHONPATH': str(ROOT), 'PYTHONIOENCODING': 'ascii'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert file.read_text() == 'done'
  assert 'Error' not in done.stderr
  if redirection == '2>&-':
    assert done.stdout.count('\\udcff') == 3000
