"""Trials as managed jobs of SkyPilot: TPU slices and pods, GPUs, Kubernetes.

SkyPilot provisions, and starts a job again on another machine when a spot one
was taken; the trial then continues from its checkpoint on the bucket. Each
trial is one task: `task_config` is its YAML, which SkyPilot itself reads.
"""

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from launch import local, store
from launch.job import Job, missing
from launch.sweep import Trial, main_flags
from recog_jax.errors import UserError

_LOGIN = (
  'no cloud can be used yet: log in (`gcloud auth application-default login` '
  'for Google Cloud, `aws configure` for AWS), and `sky check` says what is '
  'still missing'
)
# What belongs to the task rather than to `resources`.
_TASK_KEYS = ('num_nodes',)
_PORT = 8476
# SkyPilot's default for v5 is the image of v5p.
_RUNTIMES = {'tpu-v5litepod': 'v2-alpha-tpuv5-lite'}
# A machine image may have an older Python than this package asks for; uv
# brings its own.
_SETUP = """\
set -e
export PATH="$HOME/.local/bin:$PATH"
command -v uv > /dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
uv venv --allow-existing --python 3.11 ~/recog_jax_env
. ~/recog_jax_env/bin/activate
uv pip install -c .ci/constraints.txt -e '.{extras}'
"""
_RUN = """\
set -e
. ~/recog_jax_env/bin/activate
exec python -m recog_jax.main {words}
"""
# jax finds the hosts of a TPU slice by itself; those of a GPU cluster it is
# told.
_MANY_HOSTS = (
  f'--coordinator="$(echo "$SKYPILOT_NODE_IPS" | head -n 1):{_PORT}" '
  '--num_processes="$SKYPILOT_NUM_NODES" --process_id="$SKYPILOT_NODE_RANK"'
)


def start(job: Job, *, dry_run: bool) -> int:
  """Submits a managed job for each trial, or prints their tasks.

  Trials with results are skipped, and so are those whose job waits or runs.

  Raises:
    UserError: SkyPilot or credentials are missing, the workdir is local, or
      SkyPilot does not take a task.
  """
  sky = _import()
  if not store.is_remote(job.root):
    raise UserError(
      f'--workdir={job.root} would vanish with the machines: give a bucket, '
      '--workdir=gs://BUCKET/FOLDER or s3://BUCKET/FOLDER'
    )
  if job.max_parallel is not None:
    raise UserError(
      '--max_parallel is not for --backend=skypilot: all jobs are submitted, '
      'and start as far as the quota goes'
    )
  if dry_run:
    for trial in job.sweep.trials:
      config = task_config(trial, job)
      _task(sky, config)
      print(f'---\n{task_text(config)}', end='')
    return 0
  store.check_access(job.root)
  todo = job.unfinished()
  active = _active(sky) if todo else set()
  skipped = len(job.sweep.trials) - len(todo)
  print(f'{skipped} of {len(job.sweep.trials)} trials have results already')
  for trial in todo:
    if trial.id in active:
      print(f'{trial.id}: its job waits or runs already')
      continue
    task = _task(sky, task_config(trial, job))
    ids, _ = _asked(sky, lambda t=task, n=trial.id: sky.jobs.launch(t, name=n))
    print(f'{trial.id}: managed job {_first(ids)}: {trial.text()}')
  print('`sky jobs queue` lists them, `sky jobs logs ID` shows one')
  return 0


def task_config(trial: Trial, job: Job) -> dict[str, Any]:
  """The task of one trial, as SkyPilot's YAML has it.

  Args:
    trial: what is trained.
    job: where its workdir is and what machines it needs.
  """
  resources = {k: v for k, v in job.resources.items() if k not in _TASK_KEYS}
  accelerator = _accelerator(resources)
  if accelerator.startswith('tpu-'):
    for prefix, runtime in _RUNTIMES.items():
      if accelerator.startswith(prefix):
        given = resources.get('accelerator_args', {})
        resources['accelerator_args'] = {'runtime_version': runtime, **given}
  resources.setdefault(
    'job_recovery', {'max_restarts_on_errors': local.ATTEMPTS - 1}
  )
  nodes = int(job.resources.get('num_nodes') or 1)
  mounts, data_dir = _data(job.data_dir)
  words = shlex.join(main_flags(trial, job.workdir(trial), data_dir))
  if nodes > 1 and not accelerator.startswith('tpu'):
    words += f' {_MANY_HOSTS}'
  config: dict[str, Any] = {
    'name': trial.id,
    'workdir': '.',
    'num_nodes': nodes,
    'resources': resources,
    'setup': _SETUP.format(extras=_extras(accelerator, job)),
    'run': _RUN.format(words=words),
  }
  if mounts:
    config['file_mounts'] = mounts
  return config


def task_text(config: dict[str, Any]) -> str:
  """A task as YAML, its scripts line by line."""
  return yaml.dump(config, Dumper=_Lines, sort_keys=False)


class _Lines(yaml.SafeDumper):
  """Writes text of several lines as such."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
  style = '|' if '\n' in text else None
  return dumper.represent_scalar('tag:yaml.org,2002:str', text, style=style)


_Lines.add_representer(str, _text_node)


def _accelerator(resources: Mapping[str, Any]) -> str:
  """The name of the first accelerator; empty for a CPU machine."""
  found = resources.get('accelerators') or ''
  if not isinstance(found, str):  # {'H100': 8}, or several that would do.
    found = next(iter(found))
  return found


def _extras(accelerator: str, job: Job) -> str:
  """What of the package a machine needs beside its core."""
  scheme = str(job.root).partition('://')[0]
  extras = [scheme]
  if accelerator:
    extras.append('tpu' if accelerator.startswith('tpu') else 'cuda')
  return f'[{",".join(sorted(extras))}]'


def _data(data_dir: str | None) -> tuple[dict[str, Any], str | None]:
  """Data sets on a bucket are mounted, since they are read at random."""
  if data_dir is None or '://' not in data_dir:
    return {}, data_dir
  return {'/data': {'source': data_dir, 'mode': 'MOUNT'}}, '/data'


def _import() -> Any:
  try:
    import sky
  except ImportError as error:
    raise missing('SkyPilot', 'skypilot') from error
  return sky


def _task(sky: Any, config: dict[str, Any]) -> Any:
  """The task as SkyPilot reads it.

  Raises:
    UserError: it does not take it; the resources are the user's.
  """
  try:
    # It consumes what it is given.
    return sky.Task.from_yaml_config(yaml.safe_load(task_text(config)))
  except Exception as error:
    raise UserError(
      f'SkyPilot does not take the task of {config["name"]}: '
      f'{" ".join(str(error).split())}'
    ) from error


def _active(sky: Any) -> set[str]:
  """The names of the managed jobs that have not ended."""
  from sky import exceptions

  try:
    jobs = _asked(sky, lambda: sky.jobs.queue_v2(True, skip_finished=True))
  except exceptions.ClusterNotUpError:
    return set()  # There was no job yet, hence no controller.
  return {job['job_name'] for job in jobs[0]}


def _asked(sky: Any, request: Any) -> Any:
  """The answer to a request; what a login mends is told of in a sentence."""
  from sky import exceptions

  try:
    return sky.get(request())
  except (
    exceptions.NoCloudAccessError,
    exceptions.InvalidCloudCredentials,
    exceptions.CloudUserIdentityError,
  ) as error:
    raise UserError(_LOGIN) from error
  except exceptions.ResourcesUnavailableError as error:
    raise UserError(
      f'SkyPilot finds no machine for it ({" ".join(str(error).split())}); '
      '`sky check` says which clouds can be used, `sky gpus list` what they '
      'have'
    ) from error


def _first(ids: Any) -> Any:
  return ids[0] if isinstance(ids, list) and ids else ids
