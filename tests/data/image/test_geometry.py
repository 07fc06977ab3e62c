"""Crops, flips, masks, sizes and warps against slow and obvious references."""

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from recog_jax.data.draws import Draws
from recog_jax.data.image import affine
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.geometry import RandomResizedCrop
from recog_jax.data.image.resize import resized


def draws_of(count, epoch=0, progress=0.0) -> Draws:
  record = np.arange(count)
  return Draws(0, np.zeros_like(record) + epoch, record, progress)


def images_of(b, h, w, c=3) -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (b, h, w, c), np.uint8)


def smooth_of(b, h, w, c=3) -> np.ndarray:
  """Images with little detail, on which interpolation errors stay small."""
  x = np.random.default_rng(0).uniform(0, 255, (b, h, w, c))
  return ndimage.gaussian_filter(x, (0, 4, 4, 0), mode='nearest').astype(
    np.uint8
  )


def run(x, epoch=0, progress=0.0, **spec):
  return make_augment([spec])(x, draws_of(len(x), epoch, progress))


class TestRandomCrop:
  @pytest.mark.parametrize('mode', ['constant', 'reflect'])
  @pytest.mark.parametrize(
    ('padding', 'size', 'channels'), [(2, None, 3), (1, 7, 1), (0, 8, 3)]
  )
  def test_is_a_window_of_the_padded_image(self, mode, padding, size, channels):
    x = images_of(200, 10, 9, channels)
    spec = {'padding': padding, 'mode': mode}
    out = run(x, name='random_crop', **spec, **({'size': size} if size else {}))
    h, w = (size, size) if size else (10, 9)
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(x, border, mode)
    places = []
    for i in range(200):
      places += [
        (top, left)
        for top in range(padded.shape[1] - h + 1)
        for left in range(padded.shape[2] - w + 1)
        if np.array_equal(out[i], padded[i, top : top + h, left : left + w])
      ]
    # Each is one window and no other, and every window occurs.
    assert len(places) == 200
    count = (padded.shape[1] - h + 1) * (padded.shape[2] - w + 1)
    assert len(set(places)) == count


class TestHorizontalFlip:
  def test_mirrors_a_share_of_the_images(self):
    x = images_of(400, 6, 5)
    out = run(x, name='horizontal_flip', probability=0.3)
    flipped = np.array(
      [np.array_equal(o, i[:, ::-1]) for o, i in zip(out, x, strict=True)]
    )
    kept = np.array([np.array_equal(o, i) for o, i in zip(out, x, strict=True)])
    assert (flipped ^ kept).all()
    assert 80 < flipped.sum() < 160

  def test_alternating(self):
    x = images_of(200, 4, 4)
    out = [
      run(x, epoch=e, name='horizontal_flip', alternating=True)
      for e in range(3)
    ]
    assert np.array_equal(out[0], out[2])
    assert np.array_equal(out[0], out[1][:, :, ::-1])
    kept = [np.array_equal(o, i) for o, i in zip(out[0], x, strict=True)]
    assert 60 < sum(kept) < 140


class TestRandomResizedCrop:
  def test_boxes(self):
    op = RandomResizedCrop(8, scale=(0.2, 0.6), ratio=(0.5, 2.0))
    sizes = np.tile([[200, 300]], (500, 1))
    top, left, h, w = op.boxes(sizes, draws_of(500)).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= 200).all()
    assert (left + w <= 300).all()
    area, ratio = h * w / 60000, w / h
    assert area.min() == pytest.approx(0.2, abs=0.01)
    assert area.max() == pytest.approx(0.6, abs=0.01)
    assert ratio.min() == pytest.approx(0.5, abs=0.03)
    # The widest parts of the largest areas do not fit: fewer at that end.
    assert 1.8 < ratio.max() < 2.03
    assert abs(np.median(np.log(ratio))) < 0.1

  def test_centre_where_no_part_fits(self):
    op = RandomResizedCrop(8, scale=(0.9, 1.0))
    boxes = op.boxes(np.array([[30, 300], [300, 30]]), draws_of(2))
    assert boxes.tolist() == [[0, 130, 30, 40], [130, 0, 40, 30]]

  def test_shows_the_part(self):
    x = np.zeros((50, 60, 80, 3), np.uint8)
    x[..., 0] = np.arange(60)[:, None]
    x[..., 1] = np.arange(80)
    op = RandomResizedCrop(16)
    out = op(x, draws_of(50)).astype(float)
    sizes = np.tile([[60, 80]], (50, 1))
    top, left, h, w = op.boxes(sizes, draws_of(50)).T
    middle = out.mean(axis=(1, 2))
    assert np.abs(middle[:, 0] - (top + (h - 1) / 2)).max() < 0.6
    assert np.abs(middle[:, 1] - (left + (w - 1) / 2)).max() < 0.6


class TestCutout:
  @pytest.mark.parametrize('size', [3, 4])
  def test_one_square_cut_at_the_border(self, size):
    x = np.zeros((300, 9, 9, 1), np.uint8)
    out = run(x, name='cutout', size=size, fill=7)
    assert set(np.unique(out)) == {0, 7}
    whole = 0
    for mask in out[..., 0] == 7:
      ys, xs = np.nonzero(mask)
      h, w = ys.max() - ys.min() + 1, xs.max() - xs.min() + 1
      assert mask.sum() == h * w
      for span, low, high in ((h, ys.min(), ys.max()), (w, xs.min(), xs.max())):
        assert span == size or (span < size and (low == 0 or high == 8))
      whole += mask.sum() == size**2
    assert whole > 100
    assert (out == 7).any(axis=0).all()

  def test_several(self):
    x = np.zeros((50, 32, 32, 3), np.uint8)
    masked = (run(x, name='cutout', size=4, count=5) > 0).mean(axis=(1, 2, 3))
    assert masked.max() <= 5 * 16 / 1024
    assert masked.mean() > 3 * 16 / 1024


class TestSizes:
  def test_shrinking_averages(self):
    x = images_of(1, 12, 8)[0]
    expected = x.reshape(4, 3, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(resized(x, 4, 4) - expected).max() <= 0.51

  def test_enlarging_is_bilinear(self):
    ramp = np.tile(
      np.arange(0, 200, 20, dtype=np.uint8)[:, None, None], (10, 1)
    )
    out = resized(ramp, 20, 10)[..., 0]
    assert np.abs(np.diff(out[1:-1].astype(int), axis=0) - 10).max() <= 1

  @pytest.mark.parametrize('channels', [1, 3])
  def test_shrinking_is_pillows_antialiased_filter(self, channels):
    x = smooth_of(1, 90, 140, channels)[0]
    x = cv2.resize(x, (700, 450)).reshape(450, 700, channels)[:90, :140]
    for h, w in ((89, 139), (60, 100), (46, 71), (30, 130), (100, 70)):
      reference = [
        Image.fromarray(x[..., i]).resize((w, h), Image.Resampling.BILINEAR)
        for i in range(channels)
      ]
      error = np.abs(resized(x, h, w) - np.stack(reference, -1).astype(int))
      assert error.mean() < 0.7
      assert error.max() <= 3

  @pytest.mark.parametrize('level', [0, 1, 77, 254, 255])
  def test_flat_images_stay_as_they_are(self, level):
    x = np.full((80, 90, 3), level, np.uint8)
    for h, w in ((79, 61), (45, 50), (20, 80), (41, 47), (100, 30)):
      assert (resized(x, h, w) == level).all()
      assert (resized(x, h, w, None, (2.3, 4.5, 60.1, 70.7)) == level).all()

  def test_fine_stripes_do_not_alias(self):
    stripes = np.tile(np.array([0, 255], np.uint8)[:, None], (50, 100))
    stripes = np.repeat(stripes[..., None], 3, axis=-1)
    for size in (30, 40, 51, 62):
      out = resized(stripes, size, 100)[2:-2, :, 0].astype(float)
      bilinear = cv2.resize(stripes, (100, size))[2:-2, :, 0].astype(float)
      assert out.std() < 0.55 * bilinear.std()

  @pytest.mark.parametrize('channels', [1, 3])
  @pytest.mark.parametrize(
    'box', [None, (0, 0, 40, 50), (3.5, 1.25, 30.0, 40.5)]
  )
  @pytest.mark.parametrize('size', [(40, 50), (33, 21), (60, 55), (10, 12)])
  def test_writes_into_the_given_array(self, channels, box, size):
    x = smooth_of(1, 40, 50, channels)[0]
    batch = np.full((3, *size, channels), 9, np.uint8)
    out = resized(x, *size, batch[1], box)
    assert out.base is batch
    assert np.array_equal(batch[1], resized(x, *size, None, box))
    assert (batch[::2] == 9).all()

  @pytest.mark.parametrize(
    ('shape', 'expected'),
    [((20, 31), (10, 15)), ((31, 20), (15, 10)), ((5, 5), (10, 10))],
  )
  def test_short_side(self, shape, expected):
    out = run([images_of(1, *shape)[0]], name='resize', size=10)
    assert out[0].shape == (*expected, 3)

  def test_center_crop_is_torchvisions(self):
    x = images_of(1, 11, 14)
    out = run(x, name='center_crop', size=8)
    assert np.array_equal(out, x[:, 2:10, 3:11])

  def test_resize_center_crop(self):
    x = [images_of(1, 60, 90)[0], images_of(1, 70, 50)[0]]
    chain = [
      {'name': 'resize', 'size': 36},
      {'name': 'center_crop', 'size': 32},
    ]
    expected = make_augment(chain)(x, draws_of(2))
    out = run(x, name='resize_center_crop', size=32, fraction=0.875)
    assert np.array_equal(out, expected)

  @pytest.mark.parametrize(
    ('progress', 'size'),
    [(0.0, 6), (0.44, 6), (0.45, 8), (0.9, 12), (0.99, 12)],
  )
  def test_progressive(self, progress, size):
    x = images_of(3, 12, 12)
    sizes = ((0.0, 6), (0.45, 8), (0.9, 12))
    out = run(x, progress=progress, name='progressive_resize', sizes=sizes)
    assert out.shape == (3, size, size, 3)
    assert np.array_equal(out[1], resized(x[1], size, size))


def affine_reference(x, matrices, mode, fill=0):
  """scipy's spline of order 1, one image and one channel at a time."""
  out = np.empty(x.shape)
  h, w = x.shape[1:3]
  centre = np.array([(h - 1) / 2, (w - 1) / 2])
  for i, matrix in enumerate(matrices):
    linear = matrix[:2, :2][::-1, ::-1]  # (y, x) instead of (x, y)
    offset = centre + matrix[:2, 2][::-1] - linear @ centre
    for k in range(x.shape[-1]):
      out[i, ..., k] = ndimage.affine_transform(
        x[i, ..., k].astype(float),
        linear,
        offset,
        order=1,
        mode={'constant': 'constant', 'reflect': 'mirror'}[mode],
        cval=fill,
      )
  return out


class TestWarp:
  @pytest.mark.parametrize('mode', ['constant', 'reflect'])
  @pytest.mark.parametrize('channels', [1, 3])
  @pytest.mark.parametrize(
    'move',
    [
      affine.Rotation(40),
      affine.Scaling(0.6, 1.5),
      affine.Translation(0.3),
    ],
  )
  def test_against_scipy(self, move, channels, mode):
    x = smooth_of(20, 24, 31, channels)
    matrices = move.matrices(draws_of(20), 24, 31)
    out = affine.warp(x, matrices, mode).astype(float)
    expected = affine_reference(x, matrices, mode)
    # OpenCV also blends the border's grey into the outermost half pixel, and
    # scipy does not: those pixels are left out.
    error = np.abs(out - expected)
    inside = expected > 0 if mode == 'constant' else np.ones(x.shape, bool)
    inside = ndimage.binary_erosion(
      inside, np.ones((1, 5, 5, 1)), border_value=1
    )
    assert inside.mean() > 0.5
    assert error[inside].max() < 3
    assert error[inside].mean() < 0.6

  def test_outside_is_filled(self):
    x = np.full((1, 9, 9, 3), 200, np.uint8)
    matrix = np.eye(3)[None].copy()
    matrix[0, 0, 2] = 3
    out = affine.warp(x, matrix, fill=50)
    assert (out[:, :, :6] == 200).all()
    assert (out[:, :, 6:] == 50).all()

  def test_whole_pixels_and_right_angles_are_exact(self):
    x = images_of(1, 9, 9)
    quarter = np.array([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]], float)
    out = affine.warp(x, quarter)
    assert any(np.array_equal(out[0], np.rot90(x[0], k)) for k in (1, 3))
    shift = np.eye(3)[None].copy()
    shift[0, :2, 2] = 2, 1
    out = affine.warp(x, shift)
    assert np.array_equal(out[:, :-1, :-2], x[:, 1:, 2:])

  def test_bounds(self):
    draws = draws_of(2000)
    turn = affine.Rotation(20).matrices(draws, 8, 8)
    angles = np.rad2deg(np.arctan2(turn[:, 1, 0], turn[:, 0, 0]))
    assert -20 <= angles.min() < -19
    assert 19 < angles.max() <= 20
    zoom = 1 / affine.Scaling(0.5, 2).matrices(draws, 8, 8)[:, 0, 0]
    assert 0.5 <= zoom.min() < 0.52
    assert 1.98 < zoom.max() <= 2
    shift = affine.Translation(0.25).matrices(draws, 8, 16)[:, :2, 2]
    assert (np.abs(shift).max(axis=0) <= (4, 2)).all()
    assert (np.abs(shift).max(axis=0) > (3.9, 1.95)).all()

  def test_neighbouring_moves_resample_once(self, monkeypatch):
    x, draws = smooth_of(10, 24, 24), draws_of(10)
    moves = [
      {'name': 'rotation', 'degrees': 20},
      {'name': 'scaling', 'low': 0.8, 'high': 1.2},
      {'name': 'translation', 'fraction': 0.2},
    ]
    one_by_one = x
    for move in moves:
      one_by_one = make_augment([move])(one_by_one, draws)
    calls = []
    warp_affine = cv2.warpAffine
    monkeypatch.setattr(
      cv2, 'warpAffine', lambda *a: (calls.append(1), warp_affine(*a))[1]
    )
    out = make_augment(moves)(x, draws)
    assert len(calls) == 10
    middle = (slice(None), slice(8, 16), slice(8, 16))
    error = np.abs(out[middle].astype(float) - one_by_one[middle])
    assert error.mean() < 2
    mixed = [moves[0], {**moves[1], 'mode': 'reflect'}, moves[2]]
    make_augment(mixed)(x, draws)
    assert len(calls) == 40
