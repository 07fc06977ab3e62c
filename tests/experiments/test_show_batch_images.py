"""The contact sheet of augmentations: every op has a row, and it is drawn."""

import cv2
import numpy as np
import pytest

from experiments.show_batch import images as sheet
from experiments.show_batch.sheet import DPI, Panel, Row
from recog_jax.data.image import augment
from recog_jax.tasks.image_inputs import ImageInputs


class Halved:
  """A task that only normalises."""

  images = ImageInputs((0.5,), (0.25,), None)

  def preprocess(self, batch, key, *, train):
    assert (key is not None) == train
    return {**batch, 'inputs': self.images(batch['inputs'])}


def images_of(b, h, w, c) -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (b, h, w, c), np.uint8)


def test_every_op_has_a_row():
  shown = {spec['name'] for spec in sheet.demonstrations(32).values()}
  assert set(augment.OPS) - shown == {'resize', 'center_crop'}


def images_in(row) -> np.ndarray:
  return np.stack([panel.image for panel in row.panels])


def test_rows_and_picture(tmp_path):
  for channels in (1, 3):
    x = images_of(4, 12, 12, channels)
    rows = [*sheet.op_rows(x), *sheet.mixing_rows(x)]
    assert all(len(row.panels) == 4 for row in rows)
    changed = [r.name for r in rows if not np.array_equal(images_in(r), x)]
    # Grey images have no saturation and no hue.
    assert len(changed) >= len(rows) - (0 if channels == 3 else 2)
    path = tmp_path / 'sheet.png'
    shown = sheet.sheet_of(['a', 'b', 'c', 'd'], rows)
    shown.save(path)
    h, w, _ = cv2.imread(str(path)).shape
    assert (h, w) == pytest.approx(
      (DPI * shown.height, DPI * shown.width), abs=1
    )
    assert h > 90 * len(rows)
    assert w > 90 * 4


def test_images_of_any_size_fit(tmp_path):
  x = [images_of(1, h, w, 3)[0] for h, w in ((300, 20), (5, 7), (96, 96))]
  row = Row('section', 'x', '', [Panel(image) for image in x])
  path = tmp_path / 'sheet.png'
  sheet.sheet_of(['', '', ''], [row]).save(path)
  picture = cv2.imread(str(path))
  # The third image fills its place to the pixel.
  found = picture[-102:-6, -15 - 96 : -15]
  assert np.abs(found[..., ::-1].astype(int) - x[2]).mean() < 12


def test_config_rows_undo_the_normalisation():
  x = images_of(4, 12, 12, 3)
  train = [{'name': 'horizontal_flip', 'probability': 1.0}]
  rows = sheet.config_rows(Halved(), x, np.arange(4), train, [])
  *training, evaluation = rows
  assert evaluation.name == 'evaluation'
  assert np.array_equal(images_in(evaluation), x)
  assert all(np.array_equal(images_in(r), x[:, :, ::-1]) for r in training)
