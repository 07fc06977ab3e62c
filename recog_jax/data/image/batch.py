"""One batch of images: taken by number, augmented as whole arrays."""

import dataclasses
import functools
from typing import Any

import numpy as np

from recog_jax.data import pipeline
from recog_jax.data.base import Batch
from recog_jax.data.draws import Draws
from recog_jax.data.image.augment import Chain
from recog_jax.data.image.order import (
  BalancedOrder,
  EvalOrder,
  PoissonOrder,
  Rows,
  TrainOrder,
)
from recog_jax.data.image.records import Records
from recog_jax.data.image.resident import Windows
from recog_jax.errors import UserError


def take_for(
  records: Records, augment: Chain, ids: np.ndarray
) -> dict[str, Any]:
  """Records for a chain of ops: as files, where it says what to decode."""
  if augment.from_files and not records.in_memory:
    return records.encoded(ids)
  return records.take(ids)


def _names(order: Rows) -> dict[str, np.ndarray]:
  return {'index': order.index.astype(np.int32), 'valid': order.valid}


@dataclasses.dataclass(frozen=True)
class MakeBatch:
  """A `Maker` of images.

  Attributes:
    records: the split.
    order: which records a step sees.
    augment: what is done to the images.
    rows: int `k`, the rows of the global batch that this process loads.
    chunks: elements per step.
    start_step: the step of element 0.
    total_steps: the run's length, for augmentation that depends on progress.
    seed: of the augmentation's draws.
    windows: in the place of `augment`: images are numbers, not pixels; see
      `resident`.
  """

  records: Records
  order: TrainOrder | BalancedOrder | PoissonOrder | EvalOrder
  augment: Chain
  rows: np.ndarray
  chunks: int = 1
  start_step: int = 0
  total_steps: int = 1
  seed: int = 0
  windows: Windows | None = None

  @property
  def in_memory(self) -> bool:
    return self.records.in_memory

  @property
  def most_rows(self) -> int:
    return len(self.rows)

  @property
  def step_bytes(self) -> int:
    return len(self.rows) * 3 * 224 * 224  # A guess that is safe.

  def __call__(self, element: int) -> Batch:
    step, chunk = divmod(int(element), self.chunks)
    step += self.start_step
    rows = np.array_split(self.rows, self.chunks)[chunk]
    order = self.order.rows(step, rows)
    draws = Draws(self.seed, order.epoch, order.index, step / self.total_steps)
    if self.windows is not None:
      plan = self.windows(draws)
      numbers = order.index.astype(np.int32)[:, None]
      return {
        'inputs': np.concatenate([numbers, plan], 1),
        'targets': self._labels[order.index],
        **_names(order),
      }
    taken = take_for(self.records, self.augment, order.index)
    images = self._augmented(taken['image'], draws)
    if isinstance(images, list):
      shapes = sorted({image.shape for image in images})
      if len(shapes) > 1:
        raise UserError(
          f'images of one batch have different shapes ({shapes[0]}, '
          f'{shapes[1]}): put random_resized_crop into config.data.augment '
          'and resize_center_crop into config.data.augment_eval'
        )
      images = np.stack(images)
    return {'inputs': images, 'targets': taken['label'], **_names(order)}

  @functools.cached_property
  def _labels(self) -> np.ndarray:
    return self.records.labels()

  def _augmented(self, images: Any, draws: Draws) -> Any:
    if not pipeline.is_worker():
      return self.augment(images, draws)
    shared = pipeline.Shared()
    try:
      return self.augment(images, draws, shared)
    except BaseException:
      shared.drop()
      raise
