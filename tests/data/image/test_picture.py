"""JPEG files decoded at a reduced scale, crop by crop."""

import dataclasses
import io
import pickle

import cv2
import numpy as np
import pytest
import simplejpeg
from absl import flags
from PIL import Image

from recog_jax.data import pipeline
from recog_jax.data.draws import Draws
from recog_jax.data.image import picture as picture_lib
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.batch import MakeBatch
from recog_jax.data.image.codecs import decode_image, jpeg_size
from recog_jax.data.image.order import TrainOrder
from recog_jax.data.image.picture import Picture, part, reduction
from recog_jax.data.image.resize import resized
from recog_jax.data.prepare.folder import prepare_folder
from recog_jax.data.sources.image_folder import image_folder
from recog_jax.data.sources.tfds import tfds
from recog_jax.data.splits import Subset
from recog_jax.errors import UserError

CROP = {'name': 'random_resized_crop', 'size': 32}
FLIP = {'name': 'horizontal_flip'}
CENTRE = {'name': 'resize_center_crop', 'size': 32, 'fraction': 0.875}
ANTIALIASED = Image.Resampling.BILINEAR


def photo(h, w, c=3, seed=0) -> np.ndarray:
  """Smooth, with the strongest detail a few pixels wide."""
  rng = np.random.default_rng(seed)
  x = np.zeros((h, w, c), np.float32)
  for pixels, levels in ((60, 50), (20, 20), (6, 5)):
    grid = rng.normal(0, levels, (h // pixels + 2, w // pixels + 2, c))
    x += cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC).reshape(
      x.shape
    )
  return np.clip(x + 128, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, **options) -> bytes:
  file = io.BytesIO()
  image = image[..., 0] if image.shape[-1] == 1 else image
  options = {'format': 'jpeg', 'quality': 95, **options}
  Image.fromarray(image).save(file, **options)
  return file.getvalue()


def error(reason: str) -> UserError:
  return UserError(f'bad: {reason}')


def picture(data: bytes, channels: int = 3) -> Picture:
  return Picture(data, channels, error)


def draws_of(count: int) -> Draws:
  return Draws(0, np.zeros(count, np.int64), np.arange(count))


def difference(a, b) -> float:
  """Mean absolute, of 255."""
  assert a.shape == b.shape
  return float(np.abs(np.asarray(a, np.float64) - b).mean())


@pytest.mark.parametrize(
  'options',
  [
    {},
    {'progressive': True},
    {'exif': b'Exif\0\0II*\0\x08\0\0\0\x00\0\0\0\0\0', 'comment': b'\xff\xc0'},
    {'restart_marker_blocks': 1, 'subsampling': 0},
  ],
  ids=lambda options: ' '.join(options) or 'plain',
)
def test_size_from_the_header(options):
  for shape in ((31, 50, 3), (50, 31, 1)):
    data = jpeg(photo(*shape), **options)
    assert jpeg_size(data) == shape[:2]
    assert picture(data, shape[2]).shape == shape
    padded = data[:2] + b'\xff\xff\xff' + data[2:]
    assert jpeg_size(padded) == shape[:2]
    # Nothing but the header is needed, and half of it is no header.
    frame = max(data.find(b'\xff\xc0'), data.find(b'\xff\xc2'))
    if not options.get('comment'):
      assert jpeg_size(data[: frame + 10]) == shape[:2]
      assert jpeg_size(data[: frame + 6]) is None


def test_files_that_do_not_say_their_size_are_decoded():
  image = photo(20, 30)
  png = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
  assert jpeg_size(png) is None
  file = picture(png)
  assert file.shape == (20, 30, 3)
  box = (3, 4, 10, 20)
  pixels, inside = file.part(box, (5, 5))
  np.testing.assert_array_equal(pixels, image[3:13, 4:24])
  assert inside == (0, 0, 10, 20)
  for data in (b'', b'\xff\xd8', b'\xff\xd8\xff\xd9', b'no image'):
    assert jpeg_size(data) is None
    with pytest.raises(UserError, match='bad: the '):
      picture(data)


def test_reduction_leaves_what_is_needed():
  for by in (2, 4, 8):
    assert reduction((by * 10, by * 20), (10, 20)) == by
    assert reduction((by * 10 - 1, by * 20), (10, 20)) == by // 2
  assert reduction((5, 5), (10, 10)) == 1
  assert reduction((10**4, 10**4), (10, 10)) == 8


@pytest.mark.parametrize('by', [1, 2, 4, 8])
@pytest.mark.parametrize('channels', [1, 3])
def test_part_is_that_of_the_reduced_picture(by, channels):
  data = jpeg(photo(163, 241, channels))
  whole = decode_image(data, channels, reduction=by)
  assert whole.shape == (-(-163 // by), -(-241 // by), channels)
  file, rng = picture(data, channels), np.random.default_rng(0)
  for _ in range(20):
    size = rng.integers(5 * by, 160, 2)
    top, left = rng.integers(0, (163, 241) - size + 1)
    box = (int(top), int(left), int(size[0]), int(size[1]))
    out, inside = file.part(box, tuple(size // by))
    y, x = top // by, left // by
    np.testing.assert_array_equal(
      out, whole[y : y + len(out), x : x + out.shape[1]]
    )
    # The box lies inside, and nothing is more than a pixel outside of it.
    inside = np.array(inside)
    assert ((inside[:2] >= 0) & (inside[:2] < 1)).all()
    ends = inside[:2] + inside[2:]
    assert (
      (ends <= out.shape[:2]) & (ends > np.array(out.shape[:2]) - 1)
    ).all()
    place = inside + (y, x, 0, 0)
    np.testing.assert_allclose(place * by, box)


@pytest.mark.parametrize('size', [(700, 900), (1500, 1100), (300, 400)])
@pytest.mark.parametrize('quality', [75, 95])
def test_close_to_pillows_antialiased_resize(size, quality):
  """Measured: at most 0.85 of 255, over all reductions; 1.4 at full size."""
  data = jpeg(photo(*size), quality=quality)
  full = Image.open(io.BytesIO(data)).convert('RGB')
  rng = np.random.default_rng(0)
  for _ in range(8):
    h, w = (int(side * rng.uniform(0.3, 1)) for side in size)
    top, left = (
      int(rng.integers(0, side - n + 1))
      for side, n in zip(size, (h, w), strict=True)
    )
    pixels, inside = picture(data).part((top, left, h, w), (100, 100))
    ours = resized(pixels, 100, 100, None, inside)
    edges = (left, top, left + w, top + h)
    theirs = full.resize((100, 100), ANTIALIASED, edges)
    print(
      size, reduction((h, w), (100, 100)), difference(ours, np.asarray(theirs))
    )
    assert difference(ours, np.asarray(theirs)) < 1


@pytest.mark.parametrize('by', [1, 2, 4, 8])
def test_the_part_is_where_it_was_drawn(by):
  ramp = np.zeros((250, 250, 3), np.uint8)
  ramp[..., 0] = np.arange(250)[:, None]
  ramp[..., 1] = np.arange(250)
  file = picture(jpeg(ramp, quality=100, subsampling=0))
  rng = np.random.default_rng(0)
  side = 160 // by
  for i in range(30):
    h, w = rng.integers(160, 240, 2).tolist() if i else (250, 250)
    top, left = (int(rng.integers(0, 250 - n + 1)) for n in (h, w))
    assert reduction((h, w), (side, side)) == by
    pixels, inside = file.part((top, left, h, w), (side, side))
    out = resized(pixels, side, side, None, inside).astype(float)
    place = (np.arange(side) + 0.5) / side - 0.5 / np.array([[h], [w]])
    expected = np.array([[top], [left]]) + np.array([[h], [w]]) * place
    # At the very edge there is nothing to interpolate with.
    slack = [1 + by / 2 * (k in (0, side - 1)) for k in range(side)]
    assert (np.abs(out[..., 0].mean(1) - expected[0]) < slack).all()
    assert (np.abs(out[..., 1].mean(0) - expected[1]) < slack).all()


def test_evaluation_is_close_to_pillows():
  chain = make_augment([CENTRE])
  for h, w in ((400, 500), (90, 70), (37, 41)):
    data = jpeg(photo(h, w))
    (ours,) = chain([picture(data)], draws_of(1))
    short = min(h, w)
    full = Image.open(io.BytesIO(data)).convert('RGB')
    theirs = full.resize((36 * w // short, 36 * h // short), ANTIALIASED)
    theirs = np.asarray(theirs)
    top, left = (round((n - 32) / 2) for n in theirs.shape[:2])
    theirs = theirs[top : top + 32, left : left + 32]
    assert difference(ours, theirs) < 1


@pytest.mark.parametrize(
  'specs',
  [
    [CROP],
    [CROP, FLIP],
    [{'name': 'random_resized_crop', 'size': 24}, FLIP, FLIP, {**FLIP}],
    [CENTRE],
    [{'name': 'resize', 'size': 33}, {'name': 'center_crop', 'size': 32}],
    [{'name': 'resize', 'size': (30, 40)}, FLIP],
    [{'name': 'progressive_resize', 'sizes': ((0.0, 20),)}],
  ],
  ids=lambda specs: ' '.join(s['name'] for s in specs),
)
@pytest.mark.parametrize('channels', [1, 3])
def test_chains_read_files_as_they_do_arrays(specs, channels):
  chain = pickle.loads(pickle.dumps(make_augment(specs)))
  assert chain.from_files
  count = 12
  # Small ones are decoded whole, so that nothing differs. Large ones have full
  # contrast from pixel to pixel of the result, and other filters.
  progressive = specs[0]['name'] == 'progressive_resize'
  for scale, bound in ((1, 1.0 if progressive else 0.0), (6, 3.0)):
    sizes = [(scale * (34 + 2 * i), scale * (60 - 2 * i)) for i in range(count)]
    files = [jpeg(photo(*s, channels, seed=i)) for i, s in enumerate(sizes)]
    arrays = [decode_image(data, channels) for data in files]
    draws = draws_of(count)
    out = chain([picture(data, channels) for data in files], draws)
    expected = chain(arrays, draws)
    for a, b in zip(out, expected, strict=True):
      assert difference(a, b) <= bound


def test_flips_in_place_are_flips():
  files = [picture(jpeg(photo(40, 50, seed=i))) for i in range(16)]
  draws = draws_of(16)
  cut = make_augment([CROP])(files, draws)
  once = make_augment([CROP, FLIP])(files, draws)
  np.testing.assert_array_equal(once, make_augment([FLIP])(cut, draws))
  assert not np.array_equal(once, cut)


def test_a_chain_of_crop_and_flip_writes_into_the_given_array():
  made = []

  def empty(shape, dtype):
    made.append(np.full(shape, 7, dtype))
    return made[-1]

  files = [picture(jpeg(photo(40, 50, seed=i))) for i in range(4)]
  out = make_augment([CROP, FLIP])(files, draws_of(4), empty)
  assert len(made) == 1
  assert out is made[0]
  np.testing.assert_array_equal(
    out, make_augment([CROP, FLIP])(files, draws_of(4))
  )


def test_what_does_not_crop_first_gets_decoded_images():
  for specs in ([], [FLIP, CROP], [{'name': 'random_crop', 'size': 8}]):
    assert not make_augment(specs).from_files


def folder_of(root, files: dict[str, bytes]):
  for i, (name, data) in enumerate(files.items()):
    path = root / 'train' / f'class{i % 2}' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return root


def test_imagenets_odd_files(tmp_path):
  """Grey and CMYK JPEGs, and a PNG, under .JPEG names."""
  image = photo(300, 260)
  cmyk = io.BytesIO()
  Image.fromarray(image).convert('CMYK').save(cmyk, 'jpeg', quality=95)
  files = {
    'rgb.JPEG': jpeg(image),
    'cmyk.JPEG': cmyk.getvalue(),
    'png.JPEG': cv2.imencode('.png', image[..., ::-1])[1].tobytes(),
    'grey.JPEG': jpeg(
      np.asarray(Image.fromarray(image).convert('L'))[..., None]
    ),
  }
  source = image_folder(root=folder_of(tmp_path, files))
  records = source.records('train')
  taken = records.encoded(np.arange(4))
  assert {x.shape for x in taken['image']} == {(300, 260, 3)}
  # 300 x 260 at a quarter.
  out = make_augment([CENTRE])(taken['image'], draws_of(4))
  seen = {records.listing.path(i).name: out[i] for i in range(4)}
  for name in ('cmyk.JPEG', 'png.JPEG'):
    assert difference(seen[name], seen['rgb.JPEG']) < 2, name
  grey = seen['grey.JPEG'].astype(int)
  assert (grey == grey[..., :1]).all()
  luma = seen['rgb.JPEG'] @ np.array([0.299, 0.587, 0.114])
  assert difference(grey[..., 0], luma) < 2


def test_damaged_files_are_named(tmp_path):
  data = jpeg(photo(200, 240))
  for name, bad, said in (
    ('short', data[: len(data) // 2], 'truncated'),
    ('empty', b'', 'empty'),
    ('text', b'not an image at all', 'damaged'),
    ('header', data[:300], 'damaged|truncated'),
  ):
    root = folder_of(tmp_path / name, {'a.jpg': data, f'{name}.jpg': bad})
    records = image_folder(root=root).records('train')
    with pytest.raises(UserError, match=rf'{name}.jpg .record \d. .*({said})'):
      make_augment([CROP])(records.encoded(np.arange(2))['image'], draws_of(2))
  wrong = folder_of(tmp_path / 'wrong', {'a.jpg': data})
  records = image_folder(root=wrong, shape=(200, 241))
  with pytest.raises(UserError, match='a.jpg .record 0. is 200x240'):
    records.records('train').encoded(np.arange(1))


def test_header_that_promises_more_than_there_is(monkeypatch):
  file = picture(jpeg(photo(64, 64)))
  monkeypatch.setattr(
    picture_lib, 'decode_image', lambda *a, **k: np.zeros((5, 32, 3), np.uint8)
  )
  with pytest.raises(UserError, match='smaller than its header says'):
    file.part((0, 0, 64, 64), (32, 32))


@pytest.mark.parametrize('by', [1, 2, 4])
@pytest.mark.parametrize('channels', [1, 3])
def test_both_decoders_agree(monkeypatch, channels, by):
  """OpenCV takes over what simplejpeg refuses."""
  data = jpeg(photo(123, 94, channels), quality=85)
  ours = decode_image(data, channels, reduction=by)

  def refuse(*args, **kwargs):
    raise ValueError('subsampling')

  monkeypatch.setattr(simplejpeg, 'decode_jpeg', refuse)
  other = decode_image(data, channels, reduction=by)
  assert np.abs(ours.astype(int) - other).max() <= 2
  assert ours.shape == other.shape == (-(-123 // by), -(-94 // by), channels)


def test_array_view():
  image = photo(20, 30)
  view, inside = part(image, (2, 3, 4, 5), (1, 1))
  assert inside == (0, 0, 4, 5)
  assert np.shares_memory(view, image)
  np.testing.assert_array_equal(view, image[2:6, 3:8])


@pytest.fixture(name='photos', scope='module')
def _photos(tmp_path_factory):
  rng = np.random.default_rng(0)
  files = {}
  for i in range(24):
    h, w = rng.integers(40, 200, 2)
    files[f'{i}.jpg'] = jpeg(photo(h, w, seed=i), quality=85)
  return folder_of(tmp_path_factory.mktemp('photos'), files)


def test_array_records_are_as_the_folder(photos, tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))
  flags.FLAGS.mark_as_parsed()
  prepare_folder(photos, 'toy', tmp_path / 'data')
  ours = tfds(dataset='toy', data_dir=tmp_path / 'data').records('train')
  ours, folder = Subset(ours, np.arange(4, 20)), image_folder(root=photos)
  ids, chain = np.arange(16), make_augment([CROP, FLIP])
  taken, decoded = ours.encoded(ids), ours.take(ids)
  assert [p.shape for p in taken['image']] == [
    x.shape for x in decoded['image']
  ]
  np.testing.assert_array_equal(taken['label'], decoded['label'])
  out = chain(taken['image'], draws_of(16))
  others = chain(
    folder.records('train').encoded(np.arange(24))['image'], draws_of(24)
  )
  assert len(out) == 16
  # The same files, in whichever order.
  shapes = {x.shape for x in decoded['image']}
  listed = folder.records('train').take(np.arange(24))['image']
  assert shapes <= {x.shape for x in listed}
  assert others.shape == (24, 32, 32, 3)
  same = sum(
    any(np.array_equal(a, b) for b in listed) for a in decoded['image']
  )
  assert same == 16


def test_workers_and_resuming_change_nothing(photos):
  flags.FLAGS.mark_as_parsed()
  records = image_folder(root=photos).records('train')
  make = MakeBatch(
    records=records,
    order=TrainOrder(len(records), 10, 3),
    augment=make_augment([CROP, FLIP]),
    rows=np.arange(10),
    total_steps=6,
    seed=3,
  )

  def run(workers, start=0):
    steps = dataclasses.replace(make, start_step=start)
    with pipeline.batches(steps, 6, workers) as batches:
      return [{k: np.array(v) for k, v in b.items()} for b in batches]

  straight = run(0)
  assert len(straight) == 6
  assert straight[0]['inputs'].shape == (10, 32, 32, 3)

  def same(batches, others):
    for a, b in zip(batches, others, strict=True):
      assert a.keys() == b.keys()
      for key in a:
        np.testing.assert_array_equal(a[key], b[key])

  same(straight[2:], run(2, start=2))
  # What three workers would make, in turn.
  thirds = dataclasses.replace(make, chunks=3)
  for step, batch in enumerate(straight):
    parts = [thirds(3 * step + i) for i in range(3)]
    joined = {k: np.concatenate([p[k] for p in parts]) for k in batch}
    same([batch], [joined])
