"""Random erasing: which rectangles, of what, in how many images."""

import numpy as np
import pytest

from recog_jax.data.draws import Draws
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.erase import RandomErasing


def draws_of(count, epoch=0) -> Draws:
  record = np.arange(count)
  return Draws(0, np.full_like(record, epoch), record)


def run(x, **keys):
  return make_augment([{'name': 'random_erasing', **keys}])(x, draws_of(len(x)))


def test_boxes_have_the_areas_and_ratios_asked_for():
  op = RandomErasing(probability=1.0, area=(0.1, 0.3), ratio=(0.5, 2.0))
  top, left, h, w = op.boxes(200, 300, draws_of(1000)).T
  assert (h > 0).all()
  assert (top >= 0).all() and (top + h <= 200).all()
  assert (left >= 0).all() and (left + w <= 300).all()
  area, ratio = h * w / 60_000, h / w
  assert area.min() == pytest.approx(0.1, abs=0.005)
  assert area.max() == pytest.approx(0.3, abs=0.005)
  assert area.mean() == pytest.approx(0.2, abs=0.01)
  assert ratio.min() == pytest.approx(0.5, abs=0.02)
  assert ratio.max() == pytest.approx(2.0, abs=0.05)
  assert abs(np.log(ratio).mean()) < 0.05
  # Every place is as likely: the middles are.
  for first, side, n in ((top, h, 200), (left, w, 300)):
    assert np.mean((first + side / 2) / n) == pytest.approx(0.5, abs=0.02)


def test_a_share_of_the_images_has_one_rectangle_of_grey():
  x = np.zeros((1000, 20, 16, 3), np.uint8)
  out = run(x, probability=0.3, fill=7)
  assert set(np.unique(out)) == {0, 7}
  erased = np.flatnonzero((out > 0).any(axis=(1, 2, 3)))
  assert len(erased) == pytest.approx(300, abs=45)
  for mask in (out[erased] == 7).all(axis=-1):
    ys, xs = np.nonzero(mask)
    h, w = np.ptp(ys) + 1, np.ptp(xs) + 1
    assert mask.sum() == h * w
    assert h < 20 and w < 16


def test_noise_is_uniform_and_stays_in_the_rectangle():
  x = np.full((200, 16, 16, 3), 9, np.uint8)
  grey = run(x, probability=1.0, fill=255) == 255
  noisy = run(x, probability=1.0, noise=True)
  assert (noisy[~grey] == 9).all()
  values = noisy[grey].astype(float)
  assert values.mean() == pytest.approx(127.5, abs=2)
  assert values.std() == pytest.approx(73.9, abs=2)
  first = noisy[grey.any(axis=-1)].reshape(-1, 3)
  assert abs(np.corrcoef(first[:, 0], first[:, 1])[0, 1]) < 0.05


def test_what_never_fits_leaves_the_image():
  x = np.zeros((50, 4, 400, 1), np.uint8)
  spec = {'probability': 1.0, 'area': (0.5, 0.9), 'ratio': (1.0, 1.0)}
  assert np.array_equal(run(x, **spec), x)
