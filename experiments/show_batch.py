"""Draws what augmentation does to an experiment's images, as one PNG.

Examples:
  python -m experiments.show_batch --config=configs/resnet50_cifar10.py
  python -m experiments.show_batch --config=configs/digits_resnet8.py \\
      --count=12 --output=/tmp/digits.png

A row each: the originals, every op alone at a strength that can be seen, mixup
and CutMix, then the config's own training chain in two epochs, with the task's
mixing, and its evaluation chain.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import flags
from ml_collections import config_flags

from recog_jax import cli
from recog_jax.data.image import make_augment
from recog_jax.data.image_base import Images
from recog_jax.data.random import Draws

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config file, with :argument where it takes one.'
)
_OUTPUT = flags.DEFINE_string('output', 'contact.png', 'PNG file to write.')
_COUNT = flags.DEFINE_integer('count', 8, 'Images a row.', lower_bound=2)
cli.define_data_dir()

# Height and width of a picture on the sheet, and the gap, in pixels.
_CELL, _GAP = 96, 6
# Images of different sizes are cut to this side before the ops are shown.
_SIDE = 224
_BETA = 1.0

Row = tuple[str, Sequence[np.ndarray]]


def contact_sheet(
  labels: Sequence[str], rows: Sequence[Row], output: Path
) -> None:
  """Writes rows of pictures with their names.

  Args:
    labels: one for each column, shown above it.
    rows: (name, images uint8 `h w c`), as many images as labels.
    output: the PNG file.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  step = _CELL + _GAP
  sheet = np.full((len(rows) * step, len(labels) * step, 3), 255, np.uint8)
  for i, (_, images) in enumerate(rows):
    for k, image in enumerate(images):
      cell = _cell(image)
      top = i * step + (_CELL - cell.shape[0]) // 2
      left = k * step + (_CELL - cell.shape[1]) // 2
      sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
  dpi, margin = 100, 190
  height, width = sheet.shape[0] + 40, sheet.shape[1] + margin
  figure = Figure((width / dpi, height / dpi), dpi=dpi)
  FigureCanvasAgg(figure)
  axes = figure.add_axes(
    (margin / width, 0, sheet.shape[1] / width, sheet.shape[0] / height)
  )
  axes.imshow(sheet, interpolation='nearest')
  middle = _CELL / 2
  axes.set_yticks(np.arange(len(rows)) * step + middle, [r[0] for r in rows])
  axes.set_xticks(np.arange(len(labels)) * step + middle, labels)
  axes.xaxis.tick_top()
  axes.tick_params(length=0, labelsize=9)
  for spine in axes.spines.values():
    spine.set_visible(False)
  figure.savefig(output)


def _cell(image: np.ndarray) -> np.ndarray:
  """uint8 `h w 3` that fills a cell one way; small pixels stay square."""
  h, w, c = image.shape
  scale = _CELL / max(h, w)
  method = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
  size = max(1, round(w * scale)), max(1, round(h * scale))
  cell = cv2.resize(image, size, interpolation=method)
  cell = cell.reshape(size[1], size[0], c)
  return np.repeat(cell, 3, axis=-1) if c == 1 else cell[..., :3]


def demonstrations(side: int) -> dict[str, dict[str, Any]]:
  """Row name -> the config of one op, for square images of this side."""
  part = {'scale': (0.25, 1.0), 'size': side}
  jitter = {'brightness': 0.4, 'contrast': 0.4, 'saturation': 0.4, 'hue': 0.1}
  return {
    'random crop, zeros': {'name': 'random_crop', 'padding': side // 5},
    'random crop, reflect': {
      'name': 'random_crop',
      'padding': side // 5,
      'mode': 'reflect',
    },
    'random resized crop': {'name': 'random_resized_crop', **part},
    'horizontal flip': {'name': 'horizontal_flip'},
    'rotation': {'name': 'rotation', 'degrees': 30},
    'scaling': {'name': 'scaling', 'low': 0.6, 'high': 1.6},
    'translation': {'name': 'translation', 'fraction': 0.25},
    'brightness': {'name': 'colour_jitter', 'brightness': 0.6},
    'contrast': {'name': 'colour_jitter', 'contrast': 0.8},
    'saturation': {'name': 'colour_jitter', 'saturation': 1.0},
    'hue': {'name': 'colour_jitter', 'hue': 0.3},
    'colour jitter': {'name': 'colour_jitter', **jitter},
    'cutout': {'name': 'cutout', 'size': max(2, side // 3)},
    'RandAugment(2, 9)': {'name': 'random_augment'},
    'resize + centre crop': {
      'name': 'resize_center_crop',
      'size': side,
      'fraction': 0.7,
    },
    'progressive resize': {
      'name': 'progressive_resize',
      'sizes': ((0.0, max(2, side // 2)),),
    },
  }


def _draws(count: int, epoch: int = 0) -> Draws:
  record = np.arange(count)
  return Draws(0, np.full_like(record, epoch), record)


def op_rows(images: np.ndarray) -> list[Row]:
  """Every op alone.

  Args:
    images: uint8 `b h w c`.
  """
  draws, side = _draws(len(images)), min(images.shape[1:3])
  return [
    (name, make_augment([spec])(images, draws))
    for name, spec in demonstrations(side).items()
  ]


def mixing_rows(images: np.ndarray) -> list[Row]:
  """mixup and CutMix of the batch.

  Args:
    images: uint8 `b h w c`.
  """
  import jax

  from recog_jax.tasks import mixing

  targets = np.zeros((len(images), 1), np.float32)
  inputs = images.astype(np.float32)
  return [
    (name, _uint8(op(inputs, targets, jax.random.key(0), _BETA)[0]))
    for name, op in (('mixup', mixing.mixup), ('cutmix', mixing.cutmix))
  ]


def _uint8(x: Any) -> np.ndarray:
  return np.clip(np.rint(np.asarray(x)), 0, 255).astype(np.uint8)


def config_rows(
  task: Any,
  images: Images,
  targets: np.ndarray,
  augment: Iterable[Mapping[str, Any]],
  augment_eval: Iterable[Mapping[str, Any]],
) -> list[Row]:
  """What the model of a config sees, with the normalisation undone.

  Args:
    task: its `preprocess` is applied; `mean` and `std` are on the 0..1 scale.
    images: the records', uint8.
    targets: the records', as the task takes them.
    augment: config of the training chain.
    augment_eval: config of the evaluation chain.
  """
  import jax

  def seen(specs, epoch: int, train: bool) -> np.ndarray:
    count = len(images)
    inputs = make_augment(specs)(images, _draws(count, epoch))
    batch = task.preprocess(
      {
        'inputs': np.asarray(inputs),
        'targets': targets,
        'index': np.arange(count, dtype=np.int32),
        'valid': np.ones(count, bool),
      },
      jax.random.key(epoch) if train else None,
      train=train,
    )
    return _uint8(
      255 * (batch['inputs'] * np.array(task.std) + np.array(task.mean))
    )

  return [
    ('config, epoch 0', seen(augment, 0, True)),
    ('config, epoch 1', seen(augment, 1, True)),
    ('config, evaluation', seen(augment_eval, 0, False)),
  ]


def main() -> None:
  from recog_jax.data.plan import Slice, split_bounds
  from recog_jax.engine import registry
  from recog_jax.errors import UserError

  config, count = _CONFIG.value, _COUNT.value
  if config is None:
    raise UserError(
      'say which experiment: --config=configs/digits_resnet8.py needs no data'
    )
  source = registry.build(
    'source', config.data.source, data_dir=flags.FLAGS.data_dir
  )
  name, start, stop = split_bounds(config.data.splits.train, source.sizes())
  records = Slice(source.records(name), start, stop)
  taken = records.take(np.arange(min(count, len(records))))
  images, targets = taken['image'], taken['label']
  even = images
  if isinstance(images, list):
    specs = [{'name': 'resize_center_crop', 'size': _SIDE, 'fraction': 1.0}]
    even = make_augment(specs)(images, _draws(len(images)))
  task = registry.build('task', config.task, info=source.info)
  rows = [('original', images), *op_rows(even), *mixing_rows(even)]
  rows += config_rows(
    task,
    images,
    targets,
    config.data.get('augment', ()),
    config.data.get('augment_eval', ()),
  )
  names = source.info.label_names
  single = targets.ndim == 1 and targets.dtype.kind == 'i'
  labels = [names[t] for t in targets] if single else [''] * len(targets)
  output = Path(_OUTPUT.value)
  contact_sheet(labels, rows, output)
  print(f'{len(rows)} rows of {len(targets)} images in {output}')


if __name__ == '__main__':
  cli.run(main)
