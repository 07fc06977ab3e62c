"""Orientation in EXIF, against Pillow."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from recog_jax.data.image import codecs, exif
from recog_jax.data.image.picture import Picture
from recog_jax.data.sources.image_folder import image_folder
from recog_jax.errors import UserError

SHAPE = (24, 16, 3)


def encoded(kind, number, **options):
  pixels = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE) % 251
  image = Image.fromarray(pixels.astype(np.uint8))
  tags = Image.Exif()
  tags[0x010F] = 'A camera'
  if number:
    tags[0x0112] = number
  file = io.BytesIO()
  image.save(file, kind, exif=tags, **options)
  return file.getvalue()


@pytest.mark.parametrize('number', range(9))
@pytest.mark.parametrize(
  ('kind', 'options'),
  [('JPEG', {'quality': 95}), ('PNG', {}), ('WEBP', {'lossless': True})],
)
def test_a_picture_is_turned_as_pillow_turns_it(kind, options, number):
  data = encoded(kind, number, **options)
  found = exif.orientation(data)
  assert found == (number or 1)
  ours = exif.turned(codecs.decode_image(data, 3), found)
  theirs = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
  assert ours.shape == theirs.shape
  assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_a_folder_is_upright_and_read_lazily_too(tmp_path):
  for split in ('train', 'val'):
    for label in 'ab':
      place = tmp_path / split / label
      place.mkdir(parents=True)
      for number in (1, 6):
        (place / f'{number}.jpg').write_bytes(encoded('JPEG', number))
  records = image_folder(root=tmp_path).records('train')
  ids = np.arange(4)
  shapes = sorted(image.shape for image in records.take(ids)['image'])
  assert shapes == [(16, 24, 3)] * 2 + [(24, 16, 3)] * 2
  for whole, lazy in zip(
    records.take(ids)['image'], records.encoded(ids)['image'], strict=True
  ):
    assert lazy.shape == whole.shape
    box = (0, 0, *whole.shape[:2])
    assert np.array_equal(lazy.part(box, whole.shape[:2])[0], whole)


def test_of_other_sources_bytes_are_taken_as_they_are():
  picture = Picture(encoded('JPEG', 6), 3, UserError)
  assert picture.shape == SHAPE


@pytest.mark.parametrize('cut', [4, 20, 40])
def test_a_damaged_block_turns_nothing(cut):
  data = encoded('JPEG', 6)
  at = data.index(b'Exif') + 6
  assert exif.orientation(data[:at] + b'\xff' * cut) == 1
