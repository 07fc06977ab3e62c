"""Runs the trials of a sweep, here or on other machines.

Examples:
  python -m launch --sweep=experiments/sweeps/digits_lr.py
  python -m launch --sweep=experiments/sweeps/digits_lr.py --dry_run
  python -m launch --sweep=experiments/sweeps/digits_lr.py --search=20
  python -m launch --sweep=S --backend=skypilot --workdir=gs://BUCKET/S \\
      --accelerators=tpu-v5litepod-16 --spot
  python -m launch --sweep=S --backend=slurm --partition=gpu --time=240
  python -m launch.status --sweep=experiments/sweeps/digits_lr.py

The same command again skips the trials that have results and continues those
that were interrupted. Ctrl-C lets them save; a second one kills them.
"""

from absl import flags

from launch.job import Job
from recog_jax import cli

_SWEEP = flags.DEFINE_string('sweep', None, 'File with get_sweep().')
_BACKEND = flags.DEFINE_enum(
  'backend',
  'local',
  ['local', 'skypilot', 'slurm'],
  'local: processes of this machine; skypilot: managed jobs in clouds and on '
  'Kubernetes; slurm: a job array.',
)
_DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Print what would be started.')
_WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'Folder of the workdirs, also gs:// or s3:// (default: runs/sweeps/NAME).',
)
_MAX_PARALLEL = flags.DEFINE_integer(
  'max_parallel', None, 'Trials at a time (local, slurm).'
)
_SEARCH = flags.DEFINE_integer(
  'search', None, 'Trials that Optuna chooses from get_space() (local).'
)
_ACCELERATORS = flags.DEFINE_string(
  'accelerators', None, 'Of a trial, as SkyPilot names them (skypilot).'
)
_INFRA = flags.DEFINE_string(
  'infra', None, 'gcp, aws/us-east-1, k8s, ... (skypilot; default: any).'
)
_SPOT = flags.DEFINE_bool('spot', None, 'Spot machines, recovered (skypilot).')
_NODES = flags.DEFINE_integer(
  'nodes', None, 'Machines of a trial; a TPU slice is one (skypilot, slurm).'
)
_PARTITION = flags.DEFINE_string('partition', None, 'Of the cluster (slurm).')
_TIME = flags.DEFINE_integer('time', None, 'Minutes a job may take (slurm).')
_GPUS = flags.DEFINE_integer('gpus', None, 'GPUs of a machine (slurm).')
cli.define_data_dir()

# Which flag is which key of get_resources(), by backend.
_KEYS = {
  'local': {},
  'skypilot': {
    'accelerators': _ACCELERATORS,
    'infra': _INFRA,
    'use_spot': _SPOT,
    'num_nodes': _NODES,
  },
  'slurm': {
    'partition': _PARTITION,
    'time': _TIME,
    'nodes': _NODES,
    'gpus_per_node': _GPUS,
  },
}


def _resources(sweep) -> dict:
  """What the sweep asks for, and what the flags say instead."""
  from recog_jax.errors import UserError

  backend = _BACKEND.value
  mine = {flag.name for flag in _KEYS[backend].values()}
  for keys in _KEYS.values():
    for flag in keys.values():
      if flag.value is not None and flag.name not in mine:
        raise UserError(f'--{flag.name} is not for --backend={backend}')
  given = {k: f.value for k, f in _KEYS[backend].items() if f.value is not None}
  return {**sweep.resources(backend), **given}


def main() -> int | None:
  from launch import backends, search, store
  from launch import sweep as sweep_lib
  from recog_jax.errors import UserError

  if not _SWEEP.value:
    raise UserError('say which: --sweep=experiments/sweeps/digits_lr.py')
  sweep = sweep_lib.load(_SWEEP.value)
  job = Job(
    sweep,
    store.root(_WORKDIR.value or sweep.default_root()),
    data_dir=flags.FLAGS.data_dir,
    max_parallel=_MAX_PARALLEL.value,
    resources=_resources(sweep),
  )
  if _SEARCH.value is not None:
    if _BACKEND.value != 'local' or _DRY_RUN.value:
      raise UserError('--search is for --backend=local, without --dry_run')
    return search.run(job, _SEARCH.value)
  return backends.start(_BACKEND.value, job, dry_run=_DRY_RUN.value)


if __name__ == '__main__':
  cli.run(main)
