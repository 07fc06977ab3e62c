"""A day with an accelerator: parity, speed and figures, in the minutes given.

Examples:
  python -m experiments.accelerator --minutes=25 --data_dir=DIR \\
      --peer_python=PYTHON --output=runs/accelerator
  python -m experiments.accelerator --minutes=5 --only=parity --output=DIR
  python -m experiments.accelerator --report --output=DIR

parity: whether the device computes what the host does in float64. steps: train
and inference steps beside torch's, and what the input pipeline delivers.
figures: the published networks, for as many epochs as the time allows.

Results are lines of JSON in DIR/lines.jsonl, written as soon as they are known;
the same command again goes on. --report makes report.md of them, which a day
also does at its end. On a CPU all is tiny: it shows that it runs, not how fast.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.accelerator import day, report, units
from experiments.accelerator.lines import Lines
from experiments.accelerator.models import SCALES
from experiments.exit_code import chosen, exit_code_of
from recog_jax.errors import UserError, say

_ROOT = Path(__file__).resolve().parents[2]


def _device() -> dict[str, Any]:
  """What is here; found in another process, which gives the device back.

  Raises:
    UserError: jax does not start.
  """
  command = [sys.executable, '-m', 'experiments.accelerator.device']
  found = subprocess.run(command, capture_output=True, text=True)
  if found.returncode:
    said = found.stderr.strip().split('\n')[-1]
    raise UserError(f'jax finds no device: {said}')
  return json.loads(found.stdout.strip().split('\n')[-1])


def _has_torch(python: str) -> bool:
  command = [python, '-c', 'import torch']
  try:
    return not subprocess.run(command, capture_output=True).returncode
  except OSError:
    return False


def _interrupt(number: int, frame: Any) -> None:
  raise KeyboardInterrupt


def _run(args: argparse.Namespace) -> int:
  parts = chosen('part', args.only, units.PARTS)
  folder = Path(args.output)
  lines = Lines(folder)
  if not args.report:
    if args.minutes is None or args.minutes <= 0:
      raise UserError('say how many minutes there are: --minutes=25')
    clock = day.Clock(args.minutes)
    device = _device()
    scale = args.scale or ('tiny' if device['platform'] == 'cpu' else 'full')
    before = [(d['kind_of'], d['scale']) for d in lines.of('device')]
    if before and before[-1] != (device['kind'], scale):
      raise UserError(
        f'{folder} has results of another device or scale '
        f'({", ".join(before[-1])}; this is {device["kind"]}, {scale}): take '
        'another --output'
      )
    python = args.peer_python or sys.executable
    peer = python if _has_torch(python) else None
    if args.peer_python and peer is None:
      raise UserError(f'--peer_python={python} has no torch')
    described = {k: v for k, v in device.items() if k != 'kind'}
    lines.add(
      'device',
      'day',
      kind_of=device['kind'],
      scale=scale,
      minutes=args.minutes,
      torch=peer is not None,
      **described,
    )
    say(f'{device["count"]} {device["kind"]}, scale {scale}')
    cache = str(folder.absolute() / 'compiled')
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', cache)
    # Compared, and timed: what is not confirmed is seen here.
    os.environ.setdefault('RECOG_JAX_CUDNN', '1')
    setting = units.Setting(scale, device, folder, args.data_dir, peer)
    left = day.run(
      units.units(parts, setting, lines, clock),
      lines,
      clock,
      folder / 'logs',
      say,
    )
    if left:
      say(f'left for another time: {", ".join(left)}')
  path = report.write(lines, folder)
  say(f'wrote {path}')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.accelerator',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--minutes', type=float, help='that there are')
  parser.add_argument('--only', default=','.join(units.PARTS), help='parts')
  parser.add_argument('--output', required=True, help='folder of all results')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument(
    '--peer_python', help='Python with torch (default: this one, if it has)'
  )
  parser.add_argument(
    '--scale', choices=SCALES, help='default: tiny on a CPU, else full'
  )
  parser.add_argument(
    '--report', action='store_true', help='run nothing, write the report'
  )
  args = parser.parse_args(argv)
  for key in ('output', 'data_dir'):
    if value := getattr(args, key):
      setattr(args, key, str(Path(value).absolute()))
  os.chdir(_ROOT)
  signal.signal(signal.SIGTERM, _interrupt)
  try:
    return exit_code_of(lambda: _run(args))
  except KeyboardInterrupt:
    return 128 + signal.SIGINT


if __name__ == '__main__':
  sys.exit(main())
