"""Draws what augmentation does to an experiment's images, as one PNG.

Examples:
  python -m experiments.show_batch --config=configs/resnet50_cifar10.py
  python -m experiments.show_batch --config=configs/digits_resnet8.py \\
      --count=12 --output=/tmp/digits.png

A row each: the originals, every op alone at a strength that can be seen, mixup
and CutMix, then the config's own training chain, with the task's mixing, in
several epochs, and its evaluation chain.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from recog_jax import cli

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config file, with :argument where it takes one.'
)
_OUTPUT = flags.DEFINE_string('output', 'contact.png', 'PNG file to write.')
_COUNT = flags.DEFINE_integer('count', 8, 'Images a row.', lower_bound=2)
cli.define_data_dir()

# Images of different sizes are cut to this side before the ops are shown.
_SIDE = 224


def main() -> None:
  import numpy as np

  from experiments import contact_sheet as sheet
  from recog_jax.data.image import make_augment
  from recog_jax.data.plan import Slice, split_bounds
  from recog_jax.engine import registry
  from recog_jax.errors import UserError

  config = _CONFIG.value
  if config is None:
    raise UserError(
      'say which experiment: --config=configs/digits_resnet8.py needs no data'
    )
  source = registry.build(
    'source', config.data.source, data_dir=flags.FLAGS.data_dir
  )
  name, start, stop = split_bounds(config.data.splits.train, source.sizes())
  records = Slice(source.records(name), start, stop)
  taken = records.take(np.arange(min(_COUNT.value, len(records))))
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
  output = Path(_OUTPUT.value)
  sheet.contact_sheet(labels, rows, output)
  print(f'{len(rows)} rows of {len(targets)} images in {output}')


if __name__ == '__main__':
  cli.run(main)
