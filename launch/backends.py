"""Where the trials of a sweep run."""

import shlex
import sys
from collections.abc import Sequence

from etils import epath

from launch import devices, local, store
from launch.job import Job
from launch.sweep import Trial, keep, main_flags
from recog_jax.errors import listed, say


def start(backend: str, job: Job, *, dry_run: bool) -> int:
  """Runs a sweep, or prints what would be run.

  Args:
    backend: local, skypilot or slurm.
    job: what to run.
    dry_run: print commands, tasks or the script instead.

  Returns:
    The exit code.

  Raises:
    UserError: a package or credentials are missing, or see `local.run`.
  """
  if backend == 'skypilot':
    from launch import skypilot  # Two seconds.

    return skypilot.start(job, dry_run=dry_run)
  if backend == 'slurm':
    from launch import slurm

    return slurm.start(job, dry_run=dry_run)
  return _start_local(job, dry_run)


def _start_local(job: Job, dry_run: bool) -> int:
  slots = devices.slots(job.max_parallel)
  if dry_run:
    print(f'{len(slots)} at a time, each on {slots[0].name}:')
    for trial in job.sweep.trials:
      words = main_flags(trial, job.workdir(trial), job.data_dir)
      print(shlex.join(['python', '-m', 'recog_jax.main', *words]))
    return 0
  store.check_access(job.root)
  keep(job.root, job.sweep)
  return train_here(job.sweep.trials, job.root, slots, job.data_dir)


def train_here(
  trials: Sequence[Trial],
  root: epath.Path,
  slots: Sequence[devices.Slot],
  data_dir: str | None = None,
  command: Sequence[str] = local.MAIN,
) -> int:
  """Runs what has no results yet, and says how it ended; see `local.run`.

  Returns:
    The exit code.
  """
  outcome = local.run(
    trials,
    root,
    slots,
    data_dir=data_dir,
    command=command,
    say=say,
  )
  print(
    f'{len(outcome.finished)} of {len(trials)} trials have results in {root}, '
    f'{len(outcome.ran)} of them from now'
  )
  if outcome.interrupted:
    print(
      f'not finished: {listed(outcome.interrupted)}; the same command goes on'
    )
  for name, why in outcome.failed.items():
    print(
      f'failed {local.ATTEMPTS} times: {name}: {why}; see {root / name}',
      file=sys.stderr,
    )
  return outcome.exit_code()
