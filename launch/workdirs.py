"""How far a trial is, read from its workdir alone, here or on a bucket."""

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from etils import epath

from launch import store
from launch.sweep import Trial
from recog_jax.engine import config as config_lib
from recog_jax.engine import lock
from recog_jax.errors import UserError

# Metrics of which less is better.
ERRORS = ('wer', 'cer', 'per', 'ser', 'loss', 'mae', 'mse', 'rmse')
# What `launch` itself keeps in a workdir: how the last attempt ended.
RECORD = 'launch.json'
# On a bucket there are no locks: a run that has written nothing for so long is
# held to be interrupted.
_SILENT_SECONDS = 900.0
# Log lines from which the seconds of a step are taken.
_RECENT = 10


@dataclasses.dataclass(frozen=True)
class Progress:
  """One row of the status table.

  Attributes:
    state: waiting, running, finished, failed or interrupted.
    step: of the last log line.
    last_step: where the run ends; None where the config counts epochs and no
      trial of that length has ended yet.
    metric: name and value of the newest validation metric, or the training loss
      before there is one.
    eta: seconds left, of a running trial.
    test: the final test metric of a trial that has ended. What is chosen by it
      is no longer measured by it.
  """

  state: str
  step: int | None = None
  last_step: int | None = None
  metric: tuple[str, float] | None = None
  eta: float | None = None
  test: tuple[str, float] | None = None

  @property
  def value(self) -> tuple[str, float] | None:
    """Name and value of the validation metric, greater for a better trial."""
    if not self.metric or not self.metric[0].startswith('val '):
      return None
    name, value = self.metric
    return name, -value if name.split()[-1] in ERRORS else value


def is_finished(workdir: epath.Path, trial: Trial) -> bool:
  """Whether a workdir holds the trial's results.

  Raises:
    UserError: it holds those of another config: the config file was changed.
  """
  kept = store.read_json(workdir / 'config.json')
  if kept is None:
    return False
  if fatal := config_lib.conflicts(kept, trial.config):
    raise UserError(
      f'{workdir} was trained with another {trial.spec} ({fatal[0]}): put the '
      'file back, or choose another --workdir for the sweep'
    )
  # A schedule that grew since makes the run go on.
  changed = config_lib.differences(kept, trial.config)
  return not changed and store.read_json(workdir / 'summary.json') is not None


def is_locked(workdir: epath.Path) -> bool:
  """Whether a process trains there; False on a bucket, which has no locks."""
  return not store.is_remote(workdir) and lock.is_locked(Path(workdir))


def look(root: epath.Path, trials: Iterable[Trial]) -> dict[str, Progress]:
  """The progress of every trial, by id."""
  trials = list(trials)
  ends: dict[str, int] = {}
  found = {}
  for trial in trials:
    found[trial.id] = _look(root / trial.id, trial, ends)
  # A trial that counts epochs ends where another of its length has ended.
  for trial in trials:
    row = found[trial.id]
    if row.last_step is None and _length(trial) in ends:
      found[trial.id] = dataclasses.replace(row, last_step=ends[_length(trial)])
  return {
    name: dataclasses.replace(row, eta=_eta(root / name, row))
    for name, row in found.items()
  }


def _look(workdir: epath.Path, trial: Trial, ends: dict[str, int]) -> Progress:
  config = trial.config
  last = config.get('stop_step') or config.get('total_steps')
  locked = is_locked(workdir)
  if not locked and is_finished(workdir, trial):
    summary = store.read_json(workdir / 'summary.json')
    ends[_length(trial)] = summary['step']
    return Progress(
      state='finished',
      step=summary['step'],
      last_step=summary['step'],
      metric=summary_metric(summary, 'val'),
      test=summary_metric(summary, 'test'),
    )
  record = store.read_json(workdir / RECORD) or {}
  rows = store.read_metrics(workdir)
  step = rows[-1]['step'] if rows else None
  metric = _row_metric(rows, trial.config)
  if locked or (store.is_remote(workdir) and _is_fresh(workdir)):
    state = 'running'
  elif record.get('state') == 'failed':
    state = 'failed'
  elif (workdir / 'config.json').exists():
    state = 'interrupted'
  else:
    state = 'waiting'
  return Progress(state, step, last, metric)


def summary_metric(
  summary: Mapping[str, Any], *splits: str
) -> tuple[str, float] | None:
  """The headline metric of summary.json: `test accuracy`, 0.99.

  Args:
    summary: what summary.json holds.
    *splits: the first of them that was reported is taken.
  """
  for name, value in summary.items():
    if isinstance(value, dict) and {'val', 'test'} & value.keys():
      for key in splits:
        if value.get(key) is not None:
          return f'{key} {name}', value[key]
  return None


def _row_metric(
  rows: list[dict[str, Any]], config: Mapping[str, Any]
) -> tuple[str, float] | None:
  """The newest headline metric of metrics.jsonl, as far as it can be told."""
  named = config.get('task', {}).get('headline')
  for row in reversed(rows):
    if row['kind'] == 'val':
      for name in (named, 'accuracy', 'wer', 'f1_macro', 'mse', 'loss'):
        if name in row:
          return f'val {name}', row[name]
  for row in reversed(rows):
    if 'loss' in row:
      return f'{row["kind"]} loss', row['loss']
  return None


def _is_fresh(workdir: epath.Path) -> bool:
  newest = max(
    store.modified(workdir / name) for name in ('config.json', 'metrics.jsonl')
  )
  return time.time() - newest < _SILENT_SECONDS


def _length(trial: Trial) -> str:
  """What the number of steps of a run depends on."""
  config = trial.config
  return repr([config.get('total_epochs'), config.get('data')])


def _eta(workdir: epath.Path, row: Progress) -> float | None:
  if row.state != 'running' or row.step is None or row.last_step is None:
    return None
  rows = store.read_metrics(workdir)
  timed = [r for r in rows if 'time/seconds' in r][-_RECENT:]
  if not timed:
    return None
  first, last = timed[0], timed[-1]
  steps = last['step'] - first['step']
  seconds = last['time/seconds'] - first['time/seconds']
  if not steps:  # One line only: of the whole run so far.
    steps, seconds = last['step'], last['time/seconds']
  return max(0, row.last_step - row.step) * seconds / max(steps, 1)
