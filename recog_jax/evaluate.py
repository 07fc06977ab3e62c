"""Evaluates checkpoints of a training from its workdir alone.

Examples:
  python -m recog_jax.evaluate --workdir=runs/digits_resnet8
  python -m recog_jax.evaluate --workdir=runs/digits_resnet8 --checkpoint=best
  python -m recog_jax.evaluate --workdir=runs/resnet50_cifar10 --split=val \\
      --data_dir=/data/tfds --watch

Writes results/<split>-<step>.json into the workdir, with a confusion matrix and
a sheet of the worst mistakes.
"""

from pathlib import Path

from absl import flags

from recog_jax import cli

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a training.')
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'latest', 'latest, best, or a step.'
)
_SPLIT = flags.DEFINE_string('split', 'test', 'train, val or test.')
_WATCH = flags.DEFINE_bool(
  'watch', False, 'Evaluate each new checkpoint until the training has ended.'
)
cli.define_data_dir()


def main() -> None:
  from recog_jax.engine import serving
  from recog_jax.errors import UserError

  if not _WORKDIR.value:
    raise UserError('say which training: --workdir=runs/digits_resnet8')
  trained = serving.open_workdir(Path(_WORKDIR.value), flags.FLAGS.data_dir)
  if _WATCH.value:
    trained.watch(_SPLIT.value)
  else:
    trained.report(_SPLIT.value, _CHECKPOINT.value)


if __name__ == '__main__':
  cli.run(main)
