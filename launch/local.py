"""Trials as processes of this machine."""

import collections
import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from launch import store, workdirs
from launch.devices import Slot
from launch.sweep import Trial, main_flags
from recog_jax.engine.stopping import Heard

# How often a trial is started before it counts as failed.
ATTEMPTS = 3
MAIN = (sys.executable, '-m', 'recog_jax.main')
_LINES = 10
_POLL_SECONDS = 0.1


@dataclasses.dataclass
class Outcome:
  """How a sweep ended.

  Attributes:
    finished: ids of the trials that have results now.
    ran: ids of those among them that were started here.
    failed: id -> why, of the trials that failed every time.
    interrupted: ids that a stop left unfinished or unstarted.
    signal: what stopped it, or None.
  """

  finished: list[str] = dataclasses.field(default_factory=list)
  ran: list[str] = dataclasses.field(default_factory=list)
  failed: dict[str, str] = dataclasses.field(default_factory=dict)
  interrupted: list[str] = dataclasses.field(default_factory=list)
  signal: int | None = None

  def exit_code(self) -> int:
    """0 if every trial has results."""
    if self.signal is not None:
      return 128 + self.signal
    return 1 if self.failed else 0


@dataclasses.dataclass
class _Job:
  """A trial in a slot; without a process it runs elsewhere."""

  trial: Trial
  attempt: int
  process: subprocess.Popen | None
  log: Path
  offset: int
  begin: float


def run(
  trials: Sequence[Trial],
  root: epath.Path,
  slots: Sequence[Slot],
  *,
  data_dir: str | None = None,
  command: Sequence[str] = MAIN,
  say: Callable[[str], Any] = print,
) -> Outcome:
  """Runs what is not finished yet, and returns when all have ended.

  A trial that fails is started again after the others, three times in all, but
  not if it said what has to be changed, for example in its config. The
  first SIGINT or SIGTERM is passed on and lets the trials save; a second one
  kills them. To be called from the main thread, if signals are to be heard.

  Args:
    trials: of one sweep.
    root: each trial's workdir is the folder of its id in it.
    slots: one trial at a time runs in each.
    data_dir: for `recog_jax.main`.
    command: what is started in its place, with the same flags, in tests.
    say: gets every line of the report.

  Raises:
    UserError: a workdir holds a run of another config.
  """
  return _Local(root, slots, data_dir, command, say).run(trials)


class _Local:
  def __init__(self, root, slots, data_dir, command, say):
    self._root = root
    self._slots = slots
    self._data_dir = data_dir
    self._command = list(command)
    self._say = say
    self._jobs: dict[int, _Job] = {}
    self._queue: collections.deque[tuple[Trial, int]] = collections.deque()
    self._outcome = Outcome()
    self._stop = Heard()
    self._passed_on = False

  def run(self, trials: Sequence[Trial]) -> Outcome:
    for trial in trials:
      if self._is_finished(trial):
        self._outcome.finished.append(trial.id)
      else:
        self._queue.append((trial, 1))
    if done := len(self._outcome.finished):
      self._say(f'{done} of {len(trials)} trials have results already')
    with _hearing(self._stop):
      try:
        while self._queue or self._jobs:
          if self._stop.number is not None and not self._wind_up():
            break
          self._reap()
          self._fill()
          time.sleep(_POLL_SECONDS)
      finally:
        self._kill()
    self._outcome.signal = self._stop.number
    return self._outcome

  # -- starting --------------------------------------------------------------

  def _fill(self) -> None:
    for index, slot in enumerate(self._slots):
      if index not in self._jobs and self._queue and not self._stop.number:
        trial, attempt = self._queue.popleft()
        self._jobs[index] = self._start(trial, attempt, slot)

  def _start(self, trial: Trial, attempt: int, slot: Slot) -> _Job:
    workdir = self._root / trial.id
    log = self._log(trial)
    log.parent.mkdir(parents=True, exist_ok=True)
    job = _Job(trial, attempt, None, log, 0, time.monotonic())
    if workdirs.is_locked(workdir):
      self._say(f'{trial.id}: trains elsewhere; waiting for it')
      return job
    self._record(trial, state='started', attempt=attempt)
    argv = [
      *self._command,
      *main_flags(trial, str(workdir), self._data_dir),
    ]
    with log.open('ab') as file, _on_cores(slot.cores):
      job.offset = file.tell()
      file.write(f'$ {shlex.join(argv)}\n'.encode())
      file.flush()
      job.process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        env={**os.environ, 'PYTHONUNBUFFERED': '1', **slot.env},
        # Ctrl-C reaches it once, from here; what it starts is in its group.
        start_new_session=True,
      )
    again = f' (attempt {attempt} of {ATTEMPTS})' if attempt > 1 else ''
    self._say(f'{trial.id}: started on {slot.name}{again}: {trial.text()}')
    return job

  def _log(self, trial: Trial) -> Path:
    if store.is_remote(self._root):
      return Path('runs') / 'logs' / self._root.name / f'{trial.id}.log'
    return Path(self._root / trial.id / 'launch.log')

  # -- ending ----------------------------------------------------------------

  def _reap(self) -> None:
    for index, job in list(self._jobs.items()):
      if job.process is None:
        if not workdirs.is_locked(self._root / job.trial.id):
          del self._jobs[index]
          self._ended_elsewhere(job)
      elif _has_ended(job.process.pid):
        _kill_group(job.process.pid)  # Workers that have outlived it.
        del self._jobs[index]
        self._ended(job, job.process.wait())

  def _ended_elsewhere(self, job: _Job) -> None:
    if self._is_finished(job.trial):
      self._outcome.finished.append(job.trial.id)
      self._say(f'{job.trial.id}: finished elsewhere')
    else:
      self._queue.appendleft((job.trial, job.attempt))

  def _ended(self, job: _Job, code: int) -> None:
    trial, seconds = job.trial, time.monotonic() - job.begin
    if code == 0 and self._is_finished(trial):
      self._outcome.finished.append(trial.id)
      self._outcome.ran.append(trial.id)
      summary = store.read_json(self._root / trial.id / 'summary.json')
      metric = workdirs.summary_metric(summary, 'val')
      shown = f', {metric[0]} {metric[1]:.4g}' if metric else ''
      self._record(trial, state='finished', attempt=job.attempt)
      self._say(f'{trial.id}: finished in {seconds:.0f} s{shown}')
      return
    if self._stop.number is not None:
      self._outcome.interrupted.append(trial.id)
      self._record(trial, state='interrupted', attempt=job.attempt)
      return
    why = _reason(code)
    tail = _tail(job.log, job.offset)
    last = ', which another attempt would not mend' if _told(code, tail) else ''
    self._say(
      f'{trial.id}: {why} after {seconds:.0f} s, attempt {job.attempt} of '
      f'{ATTEMPTS}{last}; the end of {job.log}:'
    )
    for line in tail:
      self._say(f'  | {line}')
    if job.attempt < ATTEMPTS and not _told(code, tail):
      self._queue.append((trial, job.attempt + 1))
      state = 'retrying'
    else:
      self._outcome.failed[trial.id] = why
      state = 'failed'
    self._record(
      trial, state=state, attempt=job.attempt, exit_code=code, log=tail
    )

  def _is_finished(self, trial: Trial) -> bool:
    return workdirs.is_finished(self._root / trial.id, trial)

  def _record(self, trial: Trial, **values: Any) -> None:
    store.write_json(self._root / trial.id / workdirs.RECORD, values)

  # -- stopping --------------------------------------------------------------

  def _wind_up(self) -> bool:
    """Passes a stop on; False when there is nothing left to wait for."""
    if self._queue:
      self._outcome.interrupted += [trial.id for trial, _ in self._queue]
      self._queue.clear()
    for index, job in list(self._jobs.items()):
      if job.process is None:
        self._outcome.interrupted.append(job.trial.id)
        del self._jobs[index]
    if not self._passed_on:
      self._passed_on = True
      name = signal.Signals(self._stop.number).name
      self._say(
        f'{name}: {len(self._jobs)} trial(s) save and end; a second signal '
        'kills them'
      )
      for job in self._jobs.values():
        with contextlib.suppress(ProcessLookupError):
          os.kill(job.process.pid, signal.SIGTERM)
    if self._stop.abrupt:
      self._outcome.interrupted += [j.trial.id for j in self._jobs.values()]
      return False
    return bool(self._jobs)

  def _kill(self) -> None:
    """Leaves nothing behind, whatever ended the loop."""
    for job in self._jobs.values():
      if job.process is not None:
        _kill_group(job.process.pid)
        job.process.wait()


@contextlib.contextmanager
def _hearing(heard: Heard) -> Iterator[None]:
  """Takes over SIGINT and SIGTERM, and gives them back."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  numbers = (signal.SIGINT, signal.SIGTERM)
  before = [signal.signal(n, lambda n, _: heard.hear(n)) for n in numbers]
  try:
    yield
  finally:
    for number, handler in zip(numbers, before, strict=True):
      signal.signal(number, handler)


@contextlib.contextmanager
def _on_cores(cores: Sequence[int]) -> Iterator[None]:
  """What is started inside runs on these cores: affinity is inherited."""
  if not hasattr(os, 'sched_setaffinity'):
    yield
    return
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, cores)
  try:
    yield
  finally:
    os.sched_setaffinity(0, before)


def _has_ended(pid: int) -> bool:
  """Looks without collecting it, so that its number stays taken."""
  flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
  return os.waitid(os.P_PID, pid, flags) is not None


def _kill_group(pid: int) -> None:
  with contextlib.suppress(ProcessLookupError, PermissionError):
    os.killpg(pid, signal.SIGKILL)


def _reason(code: int) -> str:
  if code < 0:
    return f'killed by {signal.Signals(-code).name}'
  return f'exit code {code}' if code else 'ended without results'


def _told(code: int, tail: Sequence[str]) -> bool:
  """Whether a trial ended with a sentence about what has to be mended."""
  return code == 1 and any(line.startswith('error: ') for line in tail)


def _tail(log: Path, offset: int) -> list[str]:
  """The last lines that an attempt wrote."""
  with log.open('rb') as file:
    file.seek(offset)
    text = file.read().decode(errors='replace')
  return [line.rstrip() for line in text.splitlines() if line.strip()][-_LINES:]
