"""Draws what augmentation does to an experiment's images or speech, as one PNG.

Examples:
  python -m experiments.show_batch --config=configs/resnet50_cifar10.py
  python -m experiments.show_batch --config=configs/digits_resnet8.py \\
      --count=12 --output=/tmp/digits.png
  python -m experiments.show_batch --config=configs/lstm_ctc_spoken_digits.py

A row each, of images: the originals, every op alone at a strength that can be
seen, mixup and CutMix, then the config's own training chain, with the task's
mixing, in several epochs, and its evaluation chain.

Of speech, as waveforms and log-mel over seconds: the originals, every op on
waveforms alone, every part of SpecAugment alone and its policies by name, then
the config's own training and evaluation chains. Blue lies over masks, and
white lines lead from a time of the original to where the warp has moved it.
"""

import importlib
from pathlib import Path

from absl import flags

from recog_jax import cli

_OUTPUT = flags.DEFINE_string(
  'output',
  None,
  'PNG file to write (default: show_batch/CONFIG.png in --data_dir or runs).',
)
_COUNT = flags.DEFINE_integer(
  'count',
  None,
  'Images or utterances a row (default: 8 images, 4 utterances).',
  lower_bound=2,
)
cli.define_config()
cli.define_data_dir()

# config.data.name -> the module that makes its rows, panels in each, of what.
_MAKERS = {
  'images': ('images', 8, 'images'),
  'speech': ('speech', 4, 'utterances'),
}


def _output(spec: str) -> Path:
  """Where the sheet goes; if nothing is said, beside the data or the runs."""
  from recog_jax.engine.config import run_name
  from recog_jax.errors import UserError

  name = f'{flags.FLAGS.data_dir or "runs"}/show_batch/{run_name(spec)}.png'
  file = Path(_OUTPUT.value or name).expanduser()
  if file.suffix.lower() != '.png':
    raise UserError(f'--output={file}: give the name of a .png file')
  file.parent.mkdir(parents=True, exist_ok=True)
  return file


def main() -> None:
  from recog_jax.errors import UserError, say, unknown_name

  config = cli.given.config
  if config is None:
    raise UserError(
      'say which experiment: --config=configs/digits_resnet8.py needs no data'
    )
  name = config.data.get('name')
  if name not in _MAKERS:
    raise unknown_name('data', str(name), _MAKERS)
  module, count, things = _MAKERS[name]
  maker = importlib.import_module(f'experiments.show_batch.{module}')
  output = _output(cli.given.spec)
  sheet = maker.read(config, flags.FLAGS.data_dir, _COUNT.value or count)
  sheet.save(output)
  say(f'{len(sheet.rows)} rows of {len(sheet.labels)} {things} in {output}')


if __name__ == '__main__':
  cli.run(main)
