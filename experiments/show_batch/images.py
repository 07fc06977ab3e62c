"""Pictures of what augmentation does, in rows with names, as one PNG."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from recog_jax.data.draws import Draws
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.base import Images, one_shape
from recog_jax.tasks.classification import mixing

# Height and width of a picture on the sheet, and the gap, in pixels.
_CELL, _GAP = 96, 6
# A strength of mixing, and a draw of it, that can be seen.
_ALPHA, _KEY = 1.0, 1

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
    (name, make_augment([spec])(images, draws))
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
    (name, _uint8(op(inputs, targets, jax.random.key(_KEY), _ALPHA)[0]))
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

  return [
    ('config, first epoch', seen(augment, 0, 0.0, True)),
    ('config, second epoch', seen(augment, 1, 0.0, True)),
    ('config, end of the run', seen(augment, 2, 1.0, True)),
    ('config, evaluation', seen(augment_eval, 0, 0.0, False)),
  ]
