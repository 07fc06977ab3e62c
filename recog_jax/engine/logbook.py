"""What a run says of itself: terminal, metrics.jsonl, TensorBoard, timing."""

import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tqdm import tqdm

from recog_jax import storage
from recog_jax.engine.device_idle import DeviceClock
from recog_jax.engine.metric_rows import is_number, is_row, read
from recog_jax.errors import UserError, printable, warn
from recog_jax.storage import AnyPath, as_json, is_remote, write_whole

# Where a second of a run can go; what is in none of them is `other`.
# `start` is from the process's begin, `lost` what had to be done again after a
# kill: from the last checkpoint to the last line of the log.
PHASES = (
  'start',
  'compile',
  'step',
  'input',
  'evaluation',
  'checkpoint',
  'lost',
)
# Flushing TensorBoard's file waits for the disk.
_FLUSH_SECONDS = 10.0


class Logbook:
  """Sums scalars between log lines, and writes lines to three places.

  metrics.jsonl is the record: one JSON object a line, `{"step": 100, "kind":
  "train", "loss": ...}`. TensorBoard's event files are made from it, anew at
  each start, so that after a resume both show each step once.
  """

  def __init__(
    self, workdir: AnyPath, *, quiet: bool = False, start_seconds: float = 0.0
  ):
    """Opens the logs of a workdir.

    Args:
      workdir: the run's folder.
      quiet: writes nothing (processes other than the first).
      start_seconds: what the process has done before this.
    """
    self._workdir = workdir
    # Files that grow are here, and copied to a bucket now and then.
    self._own = tempfile.TemporaryDirectory() if is_remote(workdir) else None
    folder = Path(self._own.name) if self._own else workdir
    self._path = folder / 'metrics.jsonl'
    self._events = folder / 'tensorboard'
    self._quiet = quiet
    self._file = None
    self._rows = 0
    self._flushed = 0.0
    self._writer: EventsWriter | None = None
    self._bar: tqdm | None = None
    self._sums: dict[str, list[float]] = {}
    self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
    self.seconds['start'] = start_seconds
    self.clock = DeviceClock()
    self._active: list[str] = []
    self._mark = time.perf_counter()
    self._begin = self._mark
    self._earlier = start_seconds

  # -- state that a checkpoint carries ---------------------------------------

  def state(self) -> dict[str, Any]:
    """The open sums, the rows and the seconds so far; JSON.

    The logs have what it tells of: a run continues with both.
    """
    self.sync()
    return {
      'rows': self._rows,
      'sums': self._sums,
      'seconds': self.seconds,
      'total_seconds': self.total_seconds(),
      'starved_seconds': self.clock.starved_seconds,
    }

  def start(self, step: int, state: Mapping[str, Any] | None = None) -> None:
    """Continues after `step`: later lines are dropped, open sums put back.

    Lines are counted, as well as compared by step: a run that was stopped in
    an evaluation may have written of that step twice.
    """
    rows = 0
    if state is not None:
      self._sums = {k: list(v) for k, v in state['sums'].items()}
      for phase, seconds in state['seconds'].items():
        self.seconds[phase] += seconds  # Restoring has taken some already.
      self.clock.starved_seconds += state.get('starved_seconds', 0.0)
      rows = state['rows']
    path = self._workdir / 'metrics.jsonl'
    if state is not None:
      lost = _seconds_until(read(path)) - state['total_seconds']
      self.seconds['lost'] += max(0.0, lost)
      self._earlier += state['total_seconds'] + max(0.0, lost)
    if self._quiet:
      return
    kept = _kept(path, rows, step)
    write_whole(self._path, ''.join(as_json(row) + '\n' for row in kept))
    self._rows = len(kept)
    self._events.mkdir(exist_ok=True)
    old = self._workdir / 'tensorboard'
    for file in old.glob('events.*') if old.exists() else ():
      file.unlink()
    # Not SummaryWriter: its thread dies on a full disk, and the run with it
    # hangs when its queue is full.
    self._writer = EventsWriter(str(self._events / 'events'))
    for row in kept:
      self._to_tensorboard(row)
    self._flush()
    self._file = self._path.open('a')

  # -- time ------------------------------------------------------------------

  def total_seconds(self) -> float:
    """Seconds of the run, those before a resume included."""
    return self._earlier + time.perf_counter() - self._begin

  @contextlib.contextmanager
  def timed(self, phase: str) -> Iterator[None]:
    """Adds the seconds inside to a phase; an inner phase's are its own."""
    self._charge()
    self._active.append(phase)
    try:
      yield
    finally:
      self._charge()
      self._active.pop()

  def _charge(self) -> None:
    now = time.perf_counter()
    if self._active:
      self.seconds[self._active[-1]] += now - self._mark
    self._mark = now

  # -- scalars ---------------------------------------------------------------

  def add(self, terms: Mapping[str, tuple[float, float]]) -> None:
    """Adds (sum, weight) terms to the open sums."""
    for name, (value, weight) in terms.items():
      entry = self._sums.setdefault(name, [0.0, 0.0])
      entry[0] += float(value)
      entry[1] += float(weight)

  def means(self, *, close: bool) -> dict[str, float]:
    """The means of the open sums.

    Args:
      close: begin new sums. False where a run ends between two log lines, so
        that the next line, after a resume, is that of a run without a stop.
    """
    means = {
      k: value / weight if weight else math.nan
      for k, (value, weight) in self._sums.items()
    }
    if close:
      self._sums = {}
    return means

  def write(
    self,
    step: int,
    kind: str,
    values: Mapping[str, Any],
    shown: Sequence[str] | None = None,
  ) -> None:
    """One line of metrics.jsonl, TensorBoard and the terminal.

    Args:
      step: optimizer steps done.
      kind: `train`, `val`, ...
      values: numbers; names under `time/` are not comparable between runs.
      shown: the names that the terminal gets; None for all.
    """
    if self._quiet:
      return
    row = {'step': step, 'kind': kind, **values}
    assert self._file is not None
    self._file.write(as_json(row) + '\n')
    self._file.flush()
    self._rows += 1
    self._to_tensorboard(row)
    if time.perf_counter() - self._flushed > _FLUSH_SECONDS:
      self._flush()
    numbers = {
      k: v
      for k, v in values.items()
      if not k.startswith('time/') and (shown is None or k in shown)
    }
    text = ' '.join(f'{k}={_short(v)}' for k, v in numbers.items())
    rate = values.get('time/examples_per_second')
    if rate:
      text += f' ({rate:,.0f} examples/s)'
    if self._bar is None or kind != 'train':
      self.say(f'step {step} {kind}: {text}')

  def _to_tensorboard(self, row: Mapping[str, Any]) -> None:
    assert self._writer is not None
    values = [
      Summary.Value(tag=printable(f'{row["kind"]}/{name}'), simple_value=value)
      for name, value in row.items()
      if is_number(value) and name != 'step'
    ]
    summary = Summary(value=values)
    self._writer.write_event(
      Event(wall_time=time.time(), step=row['step'], summary=summary)
    )

  def _flush(self) -> None:
    assert self._writer is not None
    self._writer.flush()
    try:
      self.sync()
    except UserError as error:  # The next time makes up for it.
      warn(str(error))
    self._flushed = time.perf_counter()

  def sync(self) -> None:
    """Copies the logs to a bucket; on a disk they are there.

    Raises:
      UserError: the bucket could not be written.
    """
    if not self._own or self._quiet:
      return
    try:
      storage.copy_tree(Path(self._own.name), self._workdir)
    except Exception as error:  # Each library of a bucket has its own.
      raise UserError(
        f'the log could not be written to {self._workdir} ({error}): run the '
        'same command again, it continues'
      ) from error

  def say(self, *lines: str) -> None:
    """Lines on the terminal, beside a progress bar too."""
    if not self._quiet:
      tqdm.write('\n'.join(map(printable, lines)), file=sys.stdout)
      sys.stdout.flush()

  # -- progress --------------------------------------------------------------

  def show_progress(self, step: int, stop_step: int) -> None:
    """Opens a progress bar, on a terminal only."""
    if sys.stderr.isatty() and not self._quiet:
      self._bar = tqdm(
        total=stop_step, initial=step, unit='step', dynamic_ncols=True
      )

  def progress(self, loss: float, examples_per_second: float) -> None:
    """One step further."""
    if self._bar is not None:
      self._bar.set_postfix(
        {'loss': f'{loss:.4f}', 'examples/s': f'{examples_per_second:,.0f}'},
        refresh=False,
      )
      self._bar.update(1)

  def close(self) -> None:
    """Closes the files; what could not be written was told of by `write`."""
    self.clock.close()
    if self._bar is not None:
      self._bar.close()
    for file in (self._file, self._writer):
      if file is not None:
        with contextlib.suppress(OSError):
          file.close()
    if self._own:
      with contextlib.suppress(UserError):
        self.sync()
      self._own.cleanup()


def _seconds_until(rows: Sequence[Mapping[str, Any]]) -> float:
  """Seconds of the run up to the last line that tells them."""
  return max((row.get('time/seconds', 0.0) for row in rows), default=0.0)


def _kept(path: AnyPath, count: int, step: int) -> list[dict[str, Any]]:
  """The rows that a run continues with.

  Of a file that has lost some a copy stays, and this is said.

  Args:
    path: metrics.jsonl.
    count: so many of them the checkpoint had seen.
    step: that it is of.
  """
  content = storage.read_bytes(path)
  found = [row for row in storage.rows_of(content) if is_row(row)]
  kept = [row for row in found[:count] if row['step'] <= step]
  # A kill may cut the last line, which has no end then.
  whole = sum(bool(line.strip()) for line in content.split(b'\n')[:-1])
  lost, bad = count - len(kept), whole - len(found)
  if not count or (lost <= 0 and bad <= 0):
    return kept
  said = []
  if bad > 0:
    said.append(f'{bad} lines that are no rows are skipped')
  if lost > 0:
    said.append(f'{lost} of the {count} rows up to step {step} are lost')
  if content:
    copy = path.with_name('metrics.damaged.jsonl')
    number = 1
    while copy.exists():
      number += 1
      copy = path.with_name(f'metrics.damaged-{number}.jsonl')
    write_whole(copy, content)
    said.append(f'the file as it was is {copy}')
  warn(f'{path}: {"; ".join(said)}')
  return kept


def _short(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)
