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

from pathlib import Path
from typing import Any

from absl import flags

from recog_jax import cli

_OUTPUT = flags.DEFINE_string('output', 'contact.png', 'PNG file to write.')
_COUNT = flags.DEFINE_integer(
  'count',
  None,
  'Images or utterances a row (default: 8 images, 4 utterances).',
  lower_bound=2,
)
cli.define_config()
cli.define_data_dir()

# Images of different sizes are cut to this side before the ops are shown.
_SIDE = 224


def _show_images(
  config: Any, data_dir: str | None, count: int | None, output: Path
) -> str:
  """Writes the sheet of images; returns a line that says what it holds."""
  import numpy as np

  from experiments.show_batch import images as sheet
  from recog_jax import registry
  from recog_jax.data.image.augment import make_augment
  from recog_jax.data.splits import split_bounds
  from recog_jax.data.subset import Subset

  source = registry.build('source', config.data.source, data_dir=data_dir)
  name, start, stop = split_bounds(config.data.splits.train, source.sizes())
  records = Subset(source.records(name), np.arange(start, stop))
  taken = records.take(np.arange(min(count or 8, len(records))))
  images, targets = taken['image'], taken['label']
  even = images
  if isinstance(images, list):
    specs = [{'name': 'resize_center_crop', 'size': _SIDE, 'fraction': 1.0}]
    even = make_augment(specs)(images, sheet.draws_of(len(images)))
  task = registry.build('task', config.task, info=source.info)
  chains = {'augment': (), 'augment_eval': (), **config.data}
  rows = [
    ('original', images),
    *sheet.op_rows(even),
    *sheet.mixing_rows(even),
    *sheet.config_rows(
      task, images, targets, chains['augment'], chains['augment_eval']
    ),
  ]
  names = source.info.label_names
  single = targets.ndim == 1 and targets.dtype.kind == 'i'
  labels = [names[t] for t in targets] if single else [''] * len(targets)
  sheet.contact_sheet(labels, rows, output)
  return f'{len(rows)} rows of {len(targets)} images in {output}'


def _show_speech(
  config: Any, data_dir: str | None, count: int | None, output: Path
) -> str:
  """Writes the sheet of utterances; returns a line that says what it holds."""
  from experiments.show_batch import speech_sheet as sheet

  shown = sheet.read(config, data_dir, count or 4)
  sheet.speech_sheet(shown, output)
  return f'{len(shown.rows)} rows of {len(shown.labels)} utterances in {output}'


# config.data.name -> what draws it.
_SHEETS = {'images': _show_images, 'speech': _show_speech}


def main() -> None:
  from recog_jax.errors import UserError, unknown_name

  config = cli.given.config
  if config is None:
    raise UserError(
      'say which experiment: --config=configs/digits_resnet8.py needs no data'
    )
  name = config.data.get('name')
  if name not in _SHEETS:
    raise unknown_name('data', str(name), _SHEETS)
  output = Path(_OUTPUT.value)
  print(_SHEETS[name](config, flags.FLAGS.data_dir, _COUNT.value, output))


if __name__ == '__main__':
  cli.run(main)
