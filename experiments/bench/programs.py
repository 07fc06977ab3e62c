"""Programs that take turns, so that a noisy machine does not decide.

Each runs in a process of its own on the same cores, says `ready`, then answers
every line `n` on stdin with the seconds that n steps took, and waits without
computing. Before `ready` it says `parameters N`.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recog_jax.backend import KEEPS_MEMORY
from recog_jax.errors import UserError

CORES = 2
_WARM_STEPS = 2
# Read by the C library when a process starts: hence the processes. A training
# has the same; for torch, which keeps its memory itself, they change nothing.
MEMORY = {'GLIBC_TUNABLES': KEEPS_MEMORY}


def serve(
  run: Callable[[int], None],
  parameters: int,
  facts: Callable[[], Mapping[str, Any]] | None = None,
) -> None:
  """Says what a program is and answers until stdin ends.

  Args:
    run: runs n steps and waits for the last.
    parameters: number of trained scalars.
    facts: what it answers, as JSON, to `facts`.
  """
  run(_WARM_STEPS)
  print(f'parameters {parameters}\nready', flush=True)
  for line in sys.stdin:
    if facts is not None and line.strip() == 'facts':
      print(json.dumps(facts()), flush=True)
      continue
    start = time.perf_counter()
    run(int(line))
    print(time.perf_counter() - start, flush=True)


def made_by(
  peer_python: str, script: Path, given: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """What a peer makes of arrays: its script puts it in their file's place.

  Args:
    peer_python: its Python, with torch and torchaudio.
    script: takes `--parity=FILE.npz`.
    given: the arrays.

  Raises:
    UserError: the peer does not run.
  """
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / 'given.npz'
    np.savez(path, **given)
    peer = subprocess.run(
      [peer_python, str(script), f'--parity={path}'], check=False
    )
    if peer.returncode:
      raise UserError(
        f'{peer_python} ended with code {peer.returncode}: it needs torch and '
        'torchaudio'
      )
    with np.load(path) as file:
      return dict(file)


class Program:
  """A program in a process of its own, which waits between its turns.

  Attributes:
    name: for the report.
    parameters: number of trained scalars, once it is ready; None: not said.
  """

  def __init__(
    self,
    name: str,
    command: Sequence[str],
    stderr=None,
    env: Mapping[str, str] = MEMORY,
  ):
    """Starts it.

    Args:
      name: for the report.
      command: the command line.
      stderr: where its stderr goes, if not to ours.
      env: what its environment has beside ours.

    Raises:
      UserError: there is no such command.
    """
    self.name = name
    self.parameters: int | None = None
    try:
      self._process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, **env},
      )
    except OSError as error:
      raise UserError(
        f'{command[0]} does not start ({error.strerror}): give the Python of '
        'an environment with torch and torchvision as --peer_python'
      ) from error

  def _read(self) -> str:
    line = self._process.stdout.readline().strip()
    if not line:
      raise UserError(f'{self.name} ended early; what it said is above')
    return line

  def wait_until_ready(self) -> None:
    while (line := self._read()) != 'ready':
      if line.startswith('parameters '):
        self.parameters = int(line.split()[1])

  def seconds(self, steps: int) -> float:
    return float(self.ask(str(steps)))

  def ask(self, line: str) -> str:
    """Its answer to a line."""
    # Where it ended before, reading says so.
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.write(f'{line}\n')
      self._process.stdin.flush()
    return self._read()

  def close(self) -> None:
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.close()
    self._process.wait()


def torch_loader(python: str, script: str, *options: str) -> Program:
  """A DataLoader of `peers` that is ready; it has our own environment.

  To `VARIANT WORKERS SECONDS` it answers images a second.
  """
  path = Path(__file__).parent / 'peers' / script
  program = Program('the peer', [python, str(path), *options], env={})
  program.wait_until_ready()
  return program


class Times(NamedTuple):
  """Seconds of a step in each round.

  Attributes:
    steady: behind steps that warmed up, as in a training.
    first: the one right after the other programs' turns.
  """

  steady: np.ndarray
  first: np.ndarray


def take_turns(
  commands: Mapping[str, Sequence[str]],
  *,
  rounds: int,
  steps: int,
  say: Callable[[str], None] = lambda line: None,
  plain: Collection[str] = (),
) -> dict[str, Times]:
  """Seconds of a step of each program; they take turns.

  Args:
    commands: {name: command line}.
    rounds: number of turns of each.
    steps: steps in a turn.
    say: is told what happens, line by line.
    plain: names of programs whose C library gives memory back, as it does of
      itself.

  Raises:
    UserError: a program does not start, or ends early, or the programs differ
      in their number of parameters.
  """
  # Inherited by the programs, whose numbers of threads follow.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  programs: list[Program] = []
  seconds: dict[str, list[float]] = {name: [] for name in commands}
  firsts: dict[str, list[float]] = {name: [] for name in commands}
  try:
    for name, command in commands.items():
      env = dict.fromkeys(MEMORY, '') if name in plain else MEMORY
      programs.append(Program(name, command, env=env))
    for p in programs:
      p.wait_until_ready()
      say(f'{p.name}: {p.parameters} parameters')
    if len({p.parameters for p in programs}) > 1:
      raise UserError(
        'the programs have models of other sizes: their speeds say nothing'
      )
    say('round' + ''.join(f'{name:>13}' for name in seconds) + '  ms a step')
    for i in range(rounds):
      for p in programs:
        firsts[p.name].append(p.seconds(1))
        p.seconds(_WARM_STEPS)
        seconds[p.name].append(p.seconds(steps) / steps)
      row = ''.join(f'{1e3 * s[-1]:13.1f}' for s in seconds.values())
      say(f'{i:5d}{row}')
  finally:
    for p in programs:
      p.close()
  return {
    name: Times(np.array(seconds[name]), np.array(firsts[name]))
    for name in commands
  }


def compare(
  commands: Mapping[str, Sequence[str]],
  *,
  unit: str,
  per_step: int,
  rounds: int,
  steps: int,
  plain: Collection[str] = (),
) -> np.ndarray | None:
  """Lets programs take turns; prints a row a round and the ratios of speeds.

  Args:
    commands: {name: command line}, ours first.
    unit: of what a step processes, for example `images`.
    per_step: how many of them.
    rounds: number of turns of each.
    steps: steps in a turn.
    plain: see `take_turns`.

  Returns:
    Our speed by the second program's in each round; None with one program.

  Raises:
    UserError: see `take_turns`.
  """
  seconds = take_turns(
    commands,
    rounds=rounds,
    steps=steps,
    say=functools.partial(print, flush=True),
    plain=plain,
  )
  for name, times in seconds.items():
    ms = 1e3 * np.median(times.first)
    print(f'{name}: {ms:.1f} ms for the first step of a turn')
  rates = {name: per_step / times.steady for name, times in seconds.items()}
  return _report(rates, unit)


def _report(rates: Mapping[str, np.ndarray], unit: str) -> np.ndarray | None:
  for name, r in rates.items():
    print(
      f'{name:<12}{np.median(r):8.1f} {unit}/s ({min(r):.1f} to {max(r):.1f})'
    )
  if len(rates) == 1:
    print('no --peer_python given: nothing to compare with')
    return None
  ours, *others = rates
  ratios = [rates[ours] / rates[name] for name in others]
  for name, ratio in zip(others, ratios, strict=True):
    print(
      f'{ours}/{name}: median {np.median(ratio):.2f} '
      f'({ratio.min():.2f} to {ratio.max():.2f} over {len(ratio)} rounds)',
      flush=True,
    )
  return ratios[0]
