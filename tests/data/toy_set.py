"""Small data sets that the tests of this folder write and read."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from recog_jax.data.image.dataset import ImageData
from recog_jax.data.image.records import Records
from recog_jax.data.prepare import writer

_RNG = np.random.default_rng(0)
NAMES = ('ant', 'bee', 'cow')


def png(image: np.ndarray) -> bytes:
  if image.shape[-1] == 3:
    image = image[..., ::-1]
  return cv2.imencode('.png', image)[1].tobytes()


def random_images(n: int, shape=(6, 5, 3)) -> np.ndarray:
  return _RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


def image_data(source: Any, **splits: str) -> ImageData:
  return ImageData(
    source=source, seed=0, splits=splits, batch_size=4, eval_batch_size=4
  )


def write_set(data_dir: Path, image, label, version='1.0.0', shape=None):
  """A data set named `toy` with a train split of one file."""
  folder = data_dir / 'toy' / version
  folder.mkdir(parents=True)
  what = writer.Description(
    'toy', version, shape or image.shape[1:], NAMES, 'id', 'A test.'
  )
  order = np.arange(len(label))
  shards = writer.write_images(folder, what, 'train', image, label, order)
  writer.write_metadata(folder, what, {'train': shards})
  return folder


def take_all(records: Records) -> dict[str, Any]:
  return records.take(np.arange(len(records)))
