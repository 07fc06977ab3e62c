"""The sheet of a config's images, of the first ones of its training split."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.show_batch.sheet import IMAGE, LEFT, RIGHT, Panel, Row, Sheet
from recog_jax import registry
from recog_jax.data.consent import consented
from recog_jax.data.draws import Draws
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.base import Images, one_shape
from recog_jax.data.splits import Subset, split_bounds
from recog_jax.tasks.classification import mixing

# Between images on the sheet, in inches.
_GAP = 0.06
# Images of different sizes are cut to this side before the ops are shown.
_SIDE = 224
# A strength of mixing, and a draw of it, that can be seen.
_ALPHA, _KEY = 1.0, 1


def _row(section: str, name: str, images: Images) -> Row:
  return Row(section, name, '', [Panel(image) for image in images])


def read(config: Any, data_dir: str | None, count: int) -> Sheet:
  """All rows, of the first images of a config's training split.

  Args:
    config: of the experiment.
    data_dir: where data sets are looked for.
    count: images, fewer where there are not so many.

  Raises:
    UserError: the config or its data have a fault.
  """
  source = registry.build('source', config.data.source, data_dir=data_dir)
  source = consented(source, config.data.get('consent'))
  name, start, stop = split_bounds(config.data.splits.train, source.sizes())
  records = Subset(source.records(name), np.arange(start, stop))
  taken = records.take(np.arange(min(count, len(records))))
  images, targets = taken['image'], taken['label']
  even = images
  if isinstance(images, list):
    specs = [{'name': 'resize_center_crop', 'size': _SIDE, 'fraction': 1.0}]
    even = make_augment(specs)(images, draws_of(len(images)))
  task = registry.build('task', config.task, info=source.info)
  chains = {'augment': (), 'augment_eval': (), **config.data}
  rows = [
    _row('Ops, each alone', 'original', images),
    *op_rows(even),
    *mixing_rows(even),
    *config_rows(
      task, images, targets, chains['augment'], chains['augment_eval']
    ),
  ]
  names = source.info.label_names
  single = targets.ndim == 1 and targets.dtype.kind == 'i'
  labels = [names[t] for t in targets] if single else [''] * len(targets)
  return sheet_of(labels, rows)


def sheet_of(labels: Sequence[str], rows: Sequence[Row]) -> Sheet:
  """Rows of pictures, with a label above each column."""
  wide = len(labels) * (IMAGE + _GAP) - _GAP
  return Sheet(
    labels,
    [''] * len(labels),
    rows,
    width=LEFT + RIGHT + wide,
    gap=_GAP,
    column_gap=_GAP,
    axis=0.0,
  )


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
    'random erasing': {'name': 'random_erasing', 'probability': 1.0},
    'random erasing, noise': {
      'name': 'random_erasing',
      'probability': 1.0,
      'noise': True,
    },
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


def draws_of(count: int, epoch: int = 0, progress: float = 0.0) -> Draws:
  """Of records 0, 1, 2, ..., all in one epoch."""
  record = np.arange(count)
  return Draws(0, np.full_like(record, epoch), record, progress)


def op_rows(images: np.ndarray) -> list[Row]:
  """Every op alone.

  Args:
    images: uint8 `b h w c`.
  """
  draws, side = draws_of(len(images)), min(images.shape[1:3])
  return [
    _row('Ops, each alone', name, make_augment([spec])(images, draws))
    for name, spec in demonstrations(side).items()
  ]


def mixing_rows(images: np.ndarray) -> list[Row]:
  """mixup and CutMix of the batch.

  Args:
    images: uint8 `b h w c`.
  """
  targets = np.zeros((len(images), 1), np.float32)
  inputs = images.astype(np.float32)
  return [
    _row(
      'The batch, mixed',
      name,
      _uint8(op(inputs, targets, jax.random.key(_KEY), _ALPHA)[0]),
    )
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
    task: its `preprocess` is applied; `images` holds mean and deviation.
    images: the records', uint8.
    targets: the records', as the task takes them.
    augment: config of the training chain.
    augment_eval: config of the evaluation chain.
  """
  count = len(images)

  def seen(specs, epoch: int, progress: float, train: bool) -> np.ndarray:
    inputs = make_augment(specs)(images, draws_of(count, epoch, progress))
    batch = task.preprocess(
      {
        'inputs': one_shape(inputs, 'of the config'),
        'targets': targets,
        'index': np.arange(count, dtype=np.int32),
        'valid': np.ones(count, bool),
      },
      jax.random.key(epoch) if train else None,
      train=train,
    )
    mean, std = np.array(task.images.mean), np.array(task.images.std)
    return _uint8(255 * (batch['inputs'] * std + mean))

  shown = {
    'training, first epoch': seen(augment, 0, 0.0, True),
    'training, second epoch': seen(augment, 1, 0.0, True),
    'training, end of the run': seen(augment, 2, 1.0, True),
    'evaluation': seen(augment_eval, 0, 0.0, False),
  }
  section = 'This config: what the model sees'
  return [_row(section, name, images) for name, images in shown.items()]
