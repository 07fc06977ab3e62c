"""Trains an experiment, evaluates it on the way, and continues it.

Examples:
  python -m recog_jax.main --config=configs/digits_resnet8.py
  python -m recog_jax.main --config=configs/resnet50_cifar10.py \\
      --data_dir=/data/tfds --config.total_steps=100
  python -m recog_jax.main --config=configs/resnet18_cifar10.py:tiny

The same command again continues from the last checkpoint. SIGTERM and Ctrl-C
save and exit. Every key of the config can be set, for example
--config.optimizer.name=adam; --keys lists them, with what they mean.
"""

from absl import flags

from recog_jax import cli, storage
from recog_jax.engine import stopping

_WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'Output folder, also gs:// or s3:// (default: runs/<config>-<overrides>).',
)
_PROFILE = flags.DEFINE_string(
  'profile', None, 'START:STOP: write an XProf trace of these steps.'
)
cli.define_config()
cli.define_data_dir()
cli.define_compilation_cache()
cli.define_processes()


def main() -> None:
  # A signal that comes during the slow imports must not be lost.
  stop = stopping.StopRequest().install()

  from recog_jax.engine import (
    compilation_cache,
    experiment,
    interface,
    probe,
    processes,
    shaping,
    train,
  )
  from recog_jax.engine import config as config_lib
  from recog_jax.engine.device_idle import process_age
  from recog_jax.engine.lock import locked
  from recog_jax.engine.profiling import Profile
  from recog_jax.errors import UserError

  spec, config = cli.given.spec, cli.given.config
  if spec is None or config is None:
    raise UserError(
      'say which experiment: --config=configs/digits_resnet8.py runs on '
      'embedded data'
    )
  workdir = storage.path_of(
    _WORKDIR.value or config_lib.default_workdir(spec, cli.given.overrides)
  )
  storage.check_access(workdir)
  data_dir = flags.FLAGS.data_dir
  compilation_cache.enable(flags.FLAGS.compilation_cache)
  profile = Profile(_PROFILE.value, workdir)
  given = config_lib.canonical(config)
  facts = {'config': given, '--workdir': str(workdir)}
  with cli.joined(facts, stop):
    shaping.shape(config, workdir)
    canonical = config_lib.canonical(config)
    if make := experiment.prepare(config, data_dir):
      processes.one_first(make)
    ex = experiment.build(config, data_dir)
    with locked(workdir, held=processes.is_first()):
      if processes.is_first():
        config_lib.keep(workdir, config, ex.stop_step)
        interface.keep(ex, workdir)
      if ex.settings.probe is not None:
        probe.run(ex, workdir, config=canonical, stop=stop)
      else:
        train.train(
          ex,
          workdir,
          config=canonical,
          stop=stop,
          profile=profile,
          start_seconds=process_age(),
        )


if __name__ == '__main__':
  cli.run(main)
