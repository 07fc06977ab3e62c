"""Runs units of work, each in a process of its own, until the time is up.

A unit prints its results as lines of JSON, which are written down at once. It
is begun if it is likely to end in time: by what units of its kind have taken
here, or else by a guess. One that fails or hangs costs no other.
"""

import dataclasses
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from experiments.accelerator.lines import Lines

# After the end is asked for; then it is killed.
_GRACE_SECONDS = 20.0
# Before the time is up, where a unit saves what it has.
_SAVE_SECONDS = 15.0
_REASON = 300  # Letters of it.
_ERROR = re.compile(r'[\w.]*(Error|Exception)\b')


@dataclasses.dataclass(frozen=True)
class Unit:
  """What is begun and written down as one.

  Attributes:
    name: `PART/WHAT`.
    command: prints lines of JSON.
    like: units of the same `like` take about as long.
    guess: seconds, before any of them has run.
    continues: it keeps what it has done, so that it is worth being begun where
      the time is short, and asked to end when it is up.
    env: beside the environment that is there.
  """

  name: str
  command: Sequence[str]
  like: str
  guess: float
  continues: bool = False
  env: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def part(self) -> str:
    return self.name.partition('/')[0]


class Clock:
  """The time that a day has.

  Attributes:
    end: when it is up, by `now`.
  """

  def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic):
    self._now = now
    self.end = now() + 60 * minutes

  def left(self) -> float:
    """Seconds."""
    return self.end - self._now()


def estimate(unit: Unit, lines: Lines) -> float:
  """Seconds that a unit will take."""
  done = lines.of('done')
  same = [d['seconds'] for d in done if d['unit'] == unit.name]
  like = [d['seconds'] for d in done if d.get('like') == unit.like]
  known = same[-1:] or like
  return mean(known) if known else unit.guess


def run(
  units: Iterable[Unit],
  lines: Lines,
  clock: Clock,
  logs: Path,
  say: Callable[[str], None] = print,
) -> list[str]:
  """Runs what is not done yet, in order; what failed before comes last.

  Args:
    units: of all parts; made one by one, when the ones before have ended.
    lines: where results go.
    clock: the time there is.
    logs: a folder for what the units say on stderr.
    say: is told what happens.

  Returns:
    Names of the units that the time did not suffice for.
  """
  left, again = [], []
  failed = lines.ended('failed')

  def attempt(unit: Unit) -> None:
    seconds = estimate(unit, lines)
    if clock.left() <= (2 * _SAVE_SECONDS if unit.continues else seconds):
      left.append(unit.name)
      return
    say(f'{unit.name}: about {seconds:.0f} s, {clock.left():.0f} s are left')
    if not _run(unit, lines, clock, logs, say):
      left.append(unit.name)

  for unit in units:
    if unit.name in lines.ended('done'):
      continue
    if unit.name in failed:
      again.append(unit)
    else:
      attempt(unit)
  for unit in again:
    attempt(unit)
  return left


def _run(unit, lines, clock, logs, say) -> bool:
  """Runs a unit; False if it was the time that ended it."""
  logs.mkdir(parents=True, exist_ok=True)
  log = logs / (unit.name.replace('/', '_') + '.log')
  begin = time.monotonic()
  with log.open('w') as stderr:
    process = subprocess.Popen(
      unit.command,
      stdout=subprocess.PIPE,
      stderr=stderr,
      text=True,
      env={**os.environ, **unit.env},
      start_new_session=True,
    )
    over = threading.Event()

    def end() -> None:
      over.set()
      _signal(process, signal.SIGTERM)
      try:
        process.wait(_GRACE_SECONDS)
      except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)

    margin = _SAVE_SECONDS if unit.continues else 0.0
    timer = threading.Timer(max(0.0, clock.left() - margin), end)
    timer.start()
    try:
      for text in process.stdout:
        _take(unit, text, lines, say)
      code = process.wait()
    finally:
      timer.cancel()
      if process.poll() is None:
        _signal(process, signal.SIGKILL)
        process.wait()
  took = {'seconds': round(time.monotonic() - begin, 1), 'like': unit.like}
  if code == 0:
    lines.add('done', unit.name, **took)
    return True
  if over.is_set():
    say(f'{unit.name}: the time was up after {took["seconds"]:.0f} s')
    return False
  reason = _reason(log, code)
  lines.add('failed', unit.name, reason=reason, **took)
  say(f'{unit.name} failed: {reason}')
  return True


def _signal(process: subprocess.Popen, number: int) -> None:
  """To the process and those that it has started."""
  try:
    os.killpg(process.pid, number)
  except ProcessLookupError:
    return


def _take(unit: Unit, text: str, lines: Lines, say) -> None:
  """A line that a unit has printed."""
  try:
    row = json.loads(text)
  except ValueError:
    row = None
  if isinstance(row, dict):
    kind = row.pop('kind', 'row')
    lines.add(kind, unit.name, **row)
  elif text.strip():
    say(f'  {text.rstrip()}')


def _reason(log: Path, code: int) -> str:
  """The error, or the last thing that it said, or how it ended."""
  said = [line.strip() for line in log.read_text().split('\n') if line.strip()]
  if code < 0:
    said.append(f'signal {-code}')
  errors = [line for line in said if _ERROR.match(line)]
  text = errors[-1] if errors else said[-1] if said else f'exit code {code}'
  return text[:_REASON]
