"""Says what a config needs of devices that are not here; nothing is trained.

Compiles the real train step with the real compiler for TPUs (extra `plan`: pip
install 'recog_jax[plan]'; no TPU is needed) or for simulated CPU devices, and
prints memory, work, collectives and an estimate of time. Data need not be here.

Examples:
  python -m recog_jax.plan --config=configs/resnet50_imagenet.py \\
      --topology=v5e:2x2 --topology=v5e:16x16
  python -m recog_jax.plan --config=configs/vit_s16_imagenet.py \\
      --topology=v6e:4x4 --batch_per_chip=128 --save=plans
  python -m recog_jax.plan --config=configs/vit_s16_imagenet.py \\
      --topology=v5e:2x2 --sweep=batch
  python -m recog_jax.plan --config=configs/digits_resnet8.py --platform=cpu
"""

from pathlib import Path

from absl import flags

from recog_jax import cli

_TOPOLOGY = flags.DEFINE_multi_string(
  'topology', [], 'For example v5e:16x16, or cpu:8; several, one flag each.'
)
_PLATFORM = flags.DEFINE_enum(
  'platform', 'tpu', ['tpu', 'cpu'], 'cpu: simulated devices, no libtpu.'
)
_BATCH = flags.DEFINE_integer(
  'batch_per_chip',
  None,
  "Rows of a chip in place of the config's batch; of length buckets those of "
  'the longest.',
)
_SWEEP = flags.DEFINE_enum(
  'sweep', None, ['batch'], 'batch: find the largest batch that fits.'
)
_ALL_SHAPES = flags.DEFINE_bool(
  'all_shapes', False, 'Compile every length bucket, not the longest alone.'
)
_HBM = flags.DEFINE_float(
  'hbm_gb', None, 'Memory of a device in GB (default: as published).'
)
_SAVE = flags.DEFINE_string(
  'save', None, 'Folder for the compiled programs (HLO) and their numbers.'
)
cli.define_config()
cli.define_data_dir()


def _topologies() -> list[str]:
  """The topologies asked for, of the platform that was asked for."""
  from recog_jax.errors import UserError

  names = _TOPOLOGY.value
  if _PLATFORM.value == 'cpu':
    names = names or ['cpu:8']
    wrong = [name for name in names if not name.startswith('cpu:')]
    if wrong:
      raise UserError(
        f'--platform=cpu has topologies like cpu:8, not {wrong[0]}'
      )
  elif not names:
    raise UserError(
      'say which devices: --topology=v5e:16x16, or --platform=cpu'
    )
  return names


def main() -> None:
  from recog_jax.errors import UserError, say
  from recog_jax.planning import planner, topology

  spec, config = cli.given.spec, cli.given.config
  if spec is None or config is None:
    raise UserError(
      'say which experiment: --config=configs/resnet50_imagenet.py'
    )
  names = _topologies()
  topology.simulate(names)
  request = planner.Request(
    config=config,
    name=Path(spec.partition(':')[0]).stem,
    data_dir=flags.FLAGS.data_dir,
    batch_per_chip=_BATCH.value,
    all_shapes=_ALL_SHAPES.value,
    hbm=_HBM.value and _HBM.value * 1e9,
    save=Path(_SAVE.value) if _SAVE.value else None,
  )
  if request.save:  # Its errors come before minutes of compiling.
    request.save.mkdir(parents=True, exist_ok=True)
  run = planner.sweep if _SWEEP.value == 'batch' else planner.plan
  for name in names:
    for line in run(request, name):
      say(*line.split('\n'))


if __name__ == '__main__':
  cli.run(main)
