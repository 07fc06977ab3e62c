"""Trials as a job array of Slurm, through submitit."""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from launch import local, store, workdirs
from launch.job import Job, missing
from launch.sweep import Trial, keep, main_flags
from recog_jax.errors import UserError, unknown_name

# Minutes; one process a machine, which takes all of its GPUs.
_DEFAULTS = {'time': 60, 'nodes': 1, 'ntasks_per_node': 1}


def start(job: Job, *, dry_run: bool) -> int:
  """Submits the trials without results as one array, or prints its script.

  Trials whose job waits or runs already are left alone.

  Raises:
    UserError: submitit or Slurm's commands are missing, or a parameter is
      unknown.
  """
  _check_installed()
  trials = job.sweep.trials
  if dry_run:
    print(script(job, len(trials)))
    for index, trial in enumerate(trials):
      print(f'# task {index}: {shlex.join(["python", *_argv(job, trial)])}')
    return 0
  if shutil.which('sbatch') is None or shutil.which('srun') is None:
    raise UserError(
      'sbatch and srun are not on this machine: log in to the head of the '
      'cluster (ssh), and give the command there'
    )
  store.check_access(job.root)
  keep(job.root, job.sweep)
  todo = job.unfinished()
  print(f'{len(trials) - len(todo)} of {len(trials)} trials have results')
  active = _active() if todo else set()
  free = []
  for trial in todo:
    record = store.read_json(job.root / trial.id / workdirs.RECORD) or {}
    if record.get('slurm_job') in active:
      print(f'{trial.id}: job {record["slurm_job"]} waits or runs already')
    else:
      free.append(trial)
  if free:
    _submit(job, free)
  return 0


def script(job: Job, count: int) -> str:
  """The batch script with which submitit submits so many trials."""
  from submitit.slurm import slurm as submitit_slurm

  class Offline(submitit_slurm.SlurmExecutor):
    """Writes scripts where there is no Slurm."""

    @classmethod
    def affinity(cls) -> int:
      return 1

  executor = Offline(folder=_folder(job))
  _set_parameters(executor, job)
  if count > 1:  # As its own submission of arrays does.
    executor.parameters['map_count'] = count
  return executor._make_submission_file_text(
    executor._submitit_command_str, 'dry_run'
  )


def _submit(job: Job, trials: list[Trial]) -> None:
  import submitit

  from launch.slurm_job import TrainJob

  executor = submitit.SlurmExecutor(folder=_folder(job))
  _set_parameters(executor, job)
  submitted = executor.submit_array(
    [TrainJob(_argv(job, trial), local.ATTEMPTS) for trial in trials]
  )
  for trial, task in zip(trials, submitted, strict=True):
    store.write_json(
      job.root / trial.id / workdirs.RECORD,
      {'state': 'submitted', 'slurm_job': task.job_id},
    )
    print(f'{trial.id}: job {task.job_id}: {trial.text()}')
  print(f'`squeue --me` lists them; logs are in {executor.folder}')


def _set_parameters(executor: Any, job: Job) -> None:
  from submitit.slurm.slurm import SlurmExecutor

  given = {'job_name': job.sweep.name, **_DEFAULTS, **job.resources}
  if job.max_parallel is not None:
    given['array_parallelism'] = job.max_parallel
  known = SlurmExecutor._valid_parameters()
  for key in given:
    if key not in known:
      raise unknown_name('parameter of Slurm', key, known)
  executor.update_parameters(**given)


def _argv(job: Job, trial: Trial) -> list[str]:
  words = main_flags(trial, job.workdir(trial), job.data_dir)
  return ['-m', 'recog_jax.main', *words]


def _folder(job: Job) -> Path:
  """Of submitit's own files, on a disk that all machines see."""
  if store.is_remote(job.root):
    return Path('runs', 'slurm', job.root.name)
  return Path(job.root / 'slurm')


def _active() -> set[str]:
  """The ids of this user's jobs that wait or run, `12_0` in an array."""
  listed = subprocess.run(
    ['squeue', '--me', '--noheader', '--array', '--format=%i'],
    capture_output=True,
    text=True,
  )
  if listed.returncode:
    raise UserError(f'squeue fails: {listed.stderr.strip()}')
  return set(listed.stdout.split())


def _check_installed() -> None:
  try:
    import submitit  # noqa: F401
  except ImportError as error:
    raise missing('submitit', 'slurm') from error
