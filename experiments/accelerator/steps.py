"""One step, ours and torch's, in turns on the same device: a line of JSON.

  python -m experiments.accelerator.steps MODEL --dtype=bfloat16 [--inference]
      [--scale=tiny] [--peer_python=PYTHON]

Both start with inputs that lie on the device (images: ours as bytes) and are
processes of their own, which share the device and wait for each other. Each
turn begins with steps that are not counted. torch has channels_last, automatic
mixed precision where bfloat16 is asked for, TF32 where not, and torch.compile
if that works there.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.accelerator.models import SCALES, Job
from experiments.bench.programs import MEMORY, Program, serve
from recog_jax.errors import UserError

_PEERS = Path(__file__).parents[1] / 'bench' / 'peers'
# A turn lasts about so long, in seconds, and has this many steps at most.
_TURN, _MOST_STEPS = 0.5, 50
_ROUNDS = 5
# Both programs share the device's memory: each takes what it needs.
_ENVIRONMENT = {**MEMORY, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}


def _options(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--dtype', choices=['float32', 'bfloat16'], required=True)
  parser.add_argument('--inference', action='store_true')
  parser.add_argument('--scale', choices=SCALES, default='full')
  parser.add_argument('--memory', type=int, default=0)


def _job(args: argparse.Namespace) -> Job:
  return Job(args.model, args.dtype, args.inference, args.scale, args.memory)


def _started(name: str, command: Sequence[str]) -> Program:
  program = Program(name, command, env=_ENVIRONMENT)
  try:
    program.wait_until_ready()
  except UserError:
    program.close()
    raise
  return program


def _peer(python: str, job: Job, device: str) -> tuple[Program, bool]:
  """torch's program, and whether it is compiled."""
  script, *options = job.peer()
  command = [python, str(_PEERS / f'{script}.py'), *options]
  command.append(f'--device={device}')
  if device == 'cuda':
    try:
      return _started('torch, compiled', [*command, '--compile']), True
    except UserError as error:
      print(error, file=sys.stderr)
  return _started('torch', command), False


def measure(
  job: Job, ours: Sequence[str], peer_python: str | None, device: str
) -> dict[str, Any]:
  """The row of a step.

  Args:
    job: which.
    ours: our command.
    peer_python: torch's Python; None: ours alone.
    device: of torch, `cpu` or `cuda`.

  Raises:
    UserError: our program ended early.
  """
  row: dict[str, Any] = {
    'name': job.name,
    'model': job.model,
    'type': job.dtype,
    'mode': 'inference' if job.inference else 'train',
    'scale': job.scale,
    'batch': job.batch,
    'per': job.unit,
    **job.size(),
  }
  programs = {'ours': _started('recog_jax', ours)}
  try:
    if peer_python is None or job.peer() is None:
      row['peer'] = 'no torch here' if job.peer() else 'torch has none'
    else:
      try:
        programs['torch'], row['compiled'] = _peer(peer_python, job, device)
      except UserError as error:
        row['peer'] = str(error)
    row['parameters'] = programs['ours'].parameters
    if 'torch' in programs:
      theirs = programs['torch'].parameters
      if theirs != row['parameters']:
        row['peer'] = f'torch has another size: {theirs} parameters'
        row.pop('compiled', None)
        programs.pop('torch').close()
    row |= _rates(programs, job.batch)
    facts = {k: json.loads(p.ask('facts')) for k, p in programs.items()}
    row |= {'flops': facts['ours']['flops']}
    for name, fact in facts.items():
      row[f'{name}_memory'] = fact['memory']
  finally:
    for program in programs.values():
      program.close()
  return row


def _rates(programs: dict[str, Program], batch: int) -> dict[str, Any]:
  """Examples a second of each: the median of the turns, and the range."""
  steps = {}
  for name, program in programs.items():
    each = program.seconds(2) / 2
    steps[name] = int(np.clip(np.ceil(_TURN / each), 1, _MOST_STEPS))
  rates: dict[str, list[float]] = {name: [] for name in programs}
  for _ in range(_ROUNDS):
    for name, program in programs.items():
      program.seconds(1)
      rates[name].append(batch * steps[name] / program.seconds(steps[name]))
  row: dict[str, Any] = {}
  for name, found in rates.items():
    row[name] = float(np.median(found))
    row[f'{name}_range'] = [min(found), max(found)]
  if 'torch' in rates:
    row['ratio'] = float(np.median(np.divide(rates['ours'], rates['torch'])))
  return row


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('model')
  _options(parser)
  parser.add_argument('--peer_python')
  parser.add_argument('--peer_device', choices=['cpu', 'cuda'], default='cpu')
  parser.add_argument('--serve', action='store_true', help='be our program')
  args = parser.parse_args()
  job = _job(args)
  if args.serve:
    from recog_jax import backend

    backend.configure()
    step = job.build()
    serve(step, step.parameters, step.facts)
    return
  ours = [sys.executable, '-m', 'experiments.accelerator.steps', job.model]
  ours += [f'--dtype={job.dtype}', f'--scale={job.scale}']
  ours += [
    f'--memory={job.memory}',
    '--serve',
    *['--inference'] * job.inference,
  ]
  row = measure(job, ours, args.peer_python, args.peer_device)
  print(json.dumps(row), flush=True)


if __name__ == '__main__':
  main()
