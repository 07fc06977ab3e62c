"""The contact sheet of augmentations: every op has a row, and it is drawn."""

import cv2
import jax.numpy as jnp
import numpy as np

from experiments.show_batch import images as sheet
from recog_jax.data.image import augment


class Halved:
  """A task that only normalises."""

  mean, std = (0.5,), (0.25,)

  def preprocess(self, batch, key, *, train):
    assert (key is not None) == train
    x = batch['inputs'].astype(jnp.float32) / 255
    return {**batch, 'inputs': (x - 0.5) / 0.25}


def images_of(b, h, w, c) -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (b, h, w, c), np.uint8)


def test_every_op_has_a_row():
  shown = {spec['name'] for spec in sheet.demonstrations(32).values()}
  assert set(augment.OPS) - shown == {'resize', 'center_crop'}


def test_rows_and_picture(tmp_path):
  for channels in (1, 3):
    x = images_of(4, 12, 12, channels)
    rows = [('original', x), *sheet.op_rows(x), *sheet.mixing_rows(x)]
    assert all(len(images) == 4 for _, images in rows)
    changed = [name for name, images in rows if not np.array_equal(images, x)]
    assert len(changed) >= len(rows) - (1 if channels == 3 else 3)
    path = tmp_path / 'sheet.png'
    sheet.contact_sheet(['a', 'b', 'c', 'd'], rows, path)
    h, w, _ = cv2.imread(str(path)).shape
    assert h > 90 * len(rows)
    assert w > 90 * 4


def test_images_of_any_size_fit(tmp_path):
  x = [images_of(1, h, w, 3)[0] for h, w in ((300, 20), (5, 7), (96, 96))]
  sheet.contact_sheet(['', '', ''], [('x', x)], tmp_path / 'sheet.png')
  assert (tmp_path / 'sheet.png').stat().st_size > 1000


def test_config_rows_undo_the_normalisation():
  x = images_of(4, 12, 12, 3)
  train = [{'name': 'horizontal_flip', 'probability': 1.0}]
  rows = sheet.config_rows(Halved(), x, np.arange(4), train, [])
  names, images = zip(*rows, strict=True)
  assert names[-1] == 'config, evaluation'
  assert np.array_equal(images[-1], x)
  assert all(np.array_equal(i, x[:, :, ::-1]) for i in images[:-1])
