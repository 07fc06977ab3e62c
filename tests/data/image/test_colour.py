"""Colour ops and RandAugment against PIL and the standard library."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from recog_jax.data.draws import Draws
from recog_jax.data.image import colour, randaugment
from recog_jax.data.image.augment import make_augment


def draws_of(count) -> Draws:
  return Draws(0, np.zeros(count, np.int64), np.arange(count))


def image_of(channels, seed=0) -> np.ndarray:
  """A picture without extreme values, with a histogram of its own."""
  rng = np.random.default_rng(seed)
  spread = rng.integers(20, 60, channels)
  x = rng.normal(rng.integers(90, 160, channels), spread, (40, 30, channels))
  return np.clip(x, 3, 250).astype(np.uint8)


def pil(op, image, *args) -> np.ndarray:
  grey = image.shape[-1] == 1
  out = op(Image.fromarray(image[..., 0] if grey else image), *args)
  return np.asarray(out).reshape(image.shape)


def enhanced(kind, image, factor):
  return pil(lambda im: kind(im).enhance(factor), image)


def error(a, b) -> int:
  return np.abs(a.astype(int) - b).max()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('factor', [0.0, 0.4, 1.0, 1.7])
class TestFactors:
  def test_brightness(self, channels, factor):
    x = image_of(channels)
    expected = enhanced(ImageEnhance.Brightness, x, factor)
    assert error(colour.brightness(x, factor), expected) <= 1

  def test_contrast(self, channels, factor):
    x = image_of(channels)
    expected = enhanced(ImageEnhance.Contrast, x, factor)
    assert error(colour.contrast(x, factor), expected) <= 1

  def test_saturation(self, channels, factor):
    x = image_of(channels)
    expected = enhanced(ImageEnhance.Color, x, factor)
    if channels == 1:
      expected = x
    assert error(colour.saturation(x, factor), expected) <= 1

  def test_sharpness(self, channels, factor):
    x = image_of(channels)
    expected = enhanced(ImageEnhance.Sharpness, x, factor)
    assert error(colour.sharpness(x, factor), expected) <= 1


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('seed', [0, 1, 2])
class TestTables:
  def test_auto_contrast(self, channels, seed):
    x = image_of(channels, seed)
    expected = pil(ImageOps.autocontrast, x)
    assert error(colour.auto_contrast(x), expected) <= 1
    assert colour.auto_contrast(x).max() == 255

  def test_equalize(self, channels, seed):
    x = image_of(channels, seed)
    assert np.array_equal(colour.equalize(x), pil(ImageOps.equalize, x))

  def test_one_value_stays(self, channels, seed):
    x = np.full((5, 5, channels), 40 + seed, np.uint8)
    assert np.array_equal(colour.auto_contrast(x), x)
    assert np.array_equal(colour.equalize(x), x)


class TestHue:
  @pytest.mark.parametrize('shift', [-0.5, -0.2, 0.05, 0.3])
  def test_against_colorsys(self, shift):
    x = image_of(3)
    expected = [
      colorsys.hsv_to_rgb((h + shift) % 1, s, v)
      for h, s, v in (colorsys.rgb_to_hsv(*p) for p in x.reshape(-1, 3) / 255)
    ]
    difference = np.abs(
      colour.hue(x, shift).reshape(-1, 3) - 255 * np.array(expected)
    )
    assert difference.max() < 6
    assert difference.mean() < 1.5

  def test_none_and_grey(self):
    assert np.array_equal(colour.hue(image_of(3), 0.0), image_of(3))
    assert np.array_equal(colour.hue(image_of(1), 0.3), image_of(1))
    grey = np.repeat(image_of(1), 3, axis=-1)
    assert np.array_equal(colour.hue(grey, 0.3), grey)


class TestColourJitter:
  def test_factors_stay_in_range(self):
    x = np.full((300, 2, 2, 3), 100, np.uint8)
    op = make_augment([{'name': 'colour_jitter', 'brightness': 0.3}])
    levels = op(x, draws_of(300))[:, 0, 0, 0]
    assert 70 <= levels.min() < 72
    assert 128 < levels.max() <= 130

  def test_factors_are_never_negative(self):
    x = np.full((300, 2, 2, 3), 100, np.uint8)
    op = make_augment([{'name': 'colour_jitter', 'brightness': 3.0}])
    assert op(x, draws_of(300)).min() < 10

  def test_order_is_random(self):
    """Contrast and brightness do not commute: both results occur."""
    x = np.tile(image_of(3)[None], (200, 1, 1, 1))
    strengths = {'brightness': 0.9, 'contrast': 0.9}
    out = make_augment([dict(name='colour_jitter', **strengths)])(
      x, draws_of(200)
    )
    assert len({o.tobytes() for o in out}) == 200

  def test_leaves_grey_without_colour(self):
    x = np.tile(image_of(1)[None], (10, 1, 1, 1))
    spec = {'name': 'colour_jitter', 'saturation': 0.9, 'hue': 0.5}
    assert np.array_equal(make_augment([spec])(x, draws_of(10)), x)


class TestRandomAugment:
  @pytest.mark.parametrize('increasing', [True, False])
  @pytest.mark.parametrize('level', [0.0, 0.3, 0.9, 1.0])
  @pytest.mark.parametrize('channels', [1, 3])
  def test_tables_against_pil(self, level, increasing, channels):
    x = image_of(channels)
    strength = randaugment.Strength(level, 1, increasing)
    threshold, bits = int(level * 256), int(level * 4)
    if increasing:
      threshold, bits = 256 - threshold, 4 - bits
    expected = pil(ImageOps.solarize, x, threshold)
    assert np.array_equal(
      randaugment.COLOURS['solarize'](x, strength), expected
    )
    step = 2 ** (8 - bits)
    expected = x.astype(int) // step * step
    assert np.array_equal(
      randaugment.COLOURS['posterize'](x, strength), expected
    )
    expected = np.where(x < 128, np.minimum(x + int(level * 110), 255), x)
    assert np.array_equal(
      randaugment.COLOURS['solarize_add'](x, strength), expected
    )
    expected = pil(ImageOps.invert, x)
    assert np.array_equal(randaugment.COLOURS['invert'](x, strength), expected)

  def test_factors(self):
    up = randaugment.Strength(0.5, 1, True)
    assert up.factor == pytest.approx(1.45)
    assert randaugment.Strength(0.5, -1, True).factor == pytest.approx(0.55)
    assert randaugment.Strength(1.0, -1, True).factor == pytest.approx(0.1)
    assert randaugment.Strength(0.5, -1, False).factor == pytest.approx(1.0)

  @pytest.mark.parametrize('name', randaugment.MOVES)
  def test_moves_go_both_ways_and_grow(self, name):
    distance = [
      np.abs(randaugment.move_matrix(name, s, 40, 40) - np.eye(3)).max()
      for s in (0, 0.5, 1)
    ]
    assert distance[0] == 0
    assert distance[1] == pytest.approx(distance[2] / 2, rel=0.05)
    there = randaugment.move_matrix(name, 0.7, 40, 40)
    back = randaugment.move_matrix(name, -0.7, 40, 40)
    assert np.allclose(there @ back, np.eye(3))

  def test_every_op_is_picked(self, monkeypatch):
    picked = []
    colours = {
      name: lambda x, s, name=name: (picked.append(name), x)[1]
      for name in randaugment.COLOURS
    }
    monkeypatch.setattr(randaugment, 'COLOURS', colours)
    x = np.tile(image_of(3)[None], (600, 1, 1, 1))
    out = randaugment.RandomAugment(count=1)(x, draws_of(600))
    assert set(picked) == set(colours)
    assert len(randaugment.OPS) == 15
    # What was not a colour was a move: all five, 40 times each on average.
    moved = (out != x).any(axis=(1, 2, 3)).sum()
    assert moved + len(picked) == 600
    assert 150 < moved < 250

  def test_magnitudes_spread(self, monkeypatch):
    levels = []
    monkeypatch.setattr(
      randaugment,
      'COLOURS',
      {
        name: lambda x, s: (levels.append(s.level), x)[1]
        for name in randaugment.COLOURS
      },
    )
    x = np.zeros((500, 4, 4, 3), np.uint8)
    randaugment.RandomAugment(1, 6.0, magnitude_std=0.5)(x, draws_of(500))
    assert np.mean(levels) == pytest.approx(0.6, abs=0.01)
    assert np.std(levels) == pytest.approx(0.05, abs=0.01)
