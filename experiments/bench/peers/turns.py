"""A program that takes turns and says what a run costs; for ours and peers.

The protocol is that of `experiments.bench.programs`, with `memory` and `cpu`.
"""

import ctypes
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _resident(kind: str) -> int:
  status = Path('/proc/self/status').read_text()
  return 1024 * int(re.search(rf'{kind}:\s*(\d+)', status)[1])


def grown(run: Callable[[], Any]) -> int:
  """Bytes by which a run grows this process at its peak."""
  # What was freed goes back first, and the peak so far is forgotten.
  ctypes.CDLL(None).malloc_trim(0)
  Path('/proc/self/clear_refs').write_text('5')
  before = _resident('VmRSS')
  run()
  return _resident('VmHWM') - before


def serve(run: Callable[[], Any]) -> None:
  """Runs once, says `ready`, and answers each line of stdin until it ends.

  `n`: the seconds that n runs took; `cpu`: those of all cores in the last turn;
  `memory`: the bytes by which the first run grew the process.
  """
  memory, cpu = grown(run), 0.0
  print('ready', flush=True)
  for line in sys.stdin:
    if line.strip() == 'memory':
      print(memory, flush=True)
    elif line.strip() == 'cpu':
      print(cpu, flush=True)
    else:
      start, used = time.perf_counter(), time.process_time()
      for _ in range(int(line)):
        run()
      cpu = time.process_time() - used
      print(time.perf_counter() - start, flush=True)
