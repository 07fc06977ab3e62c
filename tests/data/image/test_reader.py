"""Pictures that people give a model, read as evaluation reads its own."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from recog_jax.data.base import Kept
from recog_jax.data.draws import Draws
from recog_jax.data.image import reader as reader_lib
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.records import Info
from recog_jax.errors import UserError

CROP = [{'name': 'resize_center_crop', 'size': 32}]


def make(shape=(None, None, 3), ops=(), eval_batch_size=8):
  info = Info('toys', shape, ('a', 'b'))
  kept = reader_lib.kept(info, make_augment(ops), lambda: None)
  facts = {**kept.facts, 'classes': info.label_names}
  keys = {'augment_eval': ops, 'eval_batch_size': eval_batch_size}
  return reader_lib.make_reader(keys, Kept(facts))


def read(reader, thing):
  (piece,) = reader.read(thing)
  return piece.data


def picture(h=60, w=80):
  y, x = np.mgrid[:h, :w]
  return np.stack([x * 3 % 256, y * 4 % 256, (x + y) % 256], -1).astype(
    np.uint8
  )


def encoded(image, kind, **options):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, kind, **options)
  return buffer.getvalue()


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'TIFF', 'GIF', 'TGA', 'PPM'])
def test_formats(kind):
  image = np.repeat(picture()[..., :1], 3, 2)  # GIF has few colours.
  assert np.array_equal(read(make(), encoded(image, kind)), image)


@pytest.mark.parametrize('kind', ['JPEG', 'WEBP'])
def test_lossy_formats(kind):
  found = read(make(), encoded(picture(), kind, quality=98))
  assert np.abs(found.astype(int) - picture()).mean() < 6


def test_what_a_phone_turned_stands_upright():
  exif = Image.Exif()
  exif[0x0112] = 6
  data = encoded(picture(), 'JPEG', exif=exif, quality=98)
  found = read(make(), data)
  assert found.shape == (80, 60, 3)
  turned = np.rot90(picture(), -1).astype(int)
  assert np.abs(found - turned).mean() < 6


def test_the_ops_of_evaluation_are_applied():
  reader = make(ops=CROP)
  assert reader.shape == (32, 32, 3)
  zero = np.zeros(1, np.int64)
  wanted = make_augment(CROP)(picture()[None], Draws(0, zero, zero))[0]
  assert np.array_equal(read(reader, picture()), wanted)
  assert np.array_equal(read(reader, encoded(picture(), 'PNG')), wanted)


def test_other_sizes_are_brought_to_the_model_s():
  reader = make(shape=(16, 16, 1))
  assert read(reader, picture()).shape == (16, 16, 1)
  same = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
  assert np.array_equal(read(reader, same), same)
  # The largest part of that form: the middle of a wide one.
  wide = np.zeros((16, 48, 1), np.uint8)
  wide[:, 16:32] = 200
  assert read(reader, wide).min() > 190


def test_any_size_where_the_model_takes_any():
  reader = make()
  assert reader.shape is None
  pieces = [next(reader.read(picture(h))) for h in (30, 40)]
  assert reader.group(pieces[0]) != reader.group(pieces[1])


@pytest.mark.parametrize(
  ('channels', 'c', 'value'),
  [(1, 1, 90), (3, 1, 90), (3, 4, 90), (1, 3, 90), (1, 4, 90)],
)
def test_channels_are_the_model_s(channels, c, value):
  image = np.full((8, 8, c), value, np.uint8)
  found = read(make(shape=(8, 8, channels)), image)
  assert found.shape == (8, 8, channels) and (found == value).all()


def test_sixteen_bits_and_palettes():
  deep = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
  ok, data = cv2.imencode('.png', deep)
  assert ok
  found = read(make(), data.tobytes())
  assert found.shape == (64, 64, 3)
  assert np.abs(found[..., 0].astype(int) - deep / 256).max() <= 1
  palette = Image.fromarray(picture()).convert('P')
  buffer = io.BytesIO()
  palette.save(buffer, 'PNG')
  wanted = np.asarray(palette.convert('RGB'))
  assert np.array_equal(read(make(), buffer.getvalue()), wanted)


def test_a_huge_picture_is_told_before_it_is_decoded():
  """A PNG of 30,000 x 30,000 pixels, by its header alone."""
  data = bytearray(encoded(picture(), 'PNG'))
  data[16:24] = (30_000).to_bytes(4, 'big') * 2
  data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
  with pytest.raises(UserError, match='more than 268 million pixels'):
    read(make(), bytes(data))


def test_files_that_end_early_are_told():
  data = encoded(picture(), 'JPEG')
  with pytest.raises(UserError, match='truncated'):
    read(make(), data[: len(data) // 2])
  with pytest.raises(UserError, match='binary mode'):
    read(make(), io.StringIO('x'))
