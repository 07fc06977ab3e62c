"""Slides as tiles: tissue, levels, splits, bad slides, openslide."""

import pickle
import sys
import types

import cv2
import numpy as np
import pytest
from PIL import Image

from recog_jax.data.image import slides
from recog_jax.data.sources.slide_folder import slide_folder
from recog_jax.errors import UserError
from tests.data import slide_files as made


@pytest.fixture(autouse=True)
def _plain(monkeypatch, tmp_path):
  """Without openslide, and with a cache of its own."""
  monkeypatch.setitem(sys.modules, 'openslide', None)
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))
  slides._opened.cache_clear()
  slides._decoded.cache_clear()
  yield
  slides._opened.cache_clear()


@pytest.fixture
def folder(tmp_path):
  """Eight slides of two stains, of patients with two each."""
  root = tmp_path / 'slides'
  for k in range(8):
    label, stain = ('benign', made.PINK), ('tumour', made.PURPLE)
    label, stain = (label, stain)[k // 2 % 2]
    image = made.slide(128, 64, stain, seed=k)
    made.write(root / label / f'p{k // 2}-{k}.tif', made.levels(image, 2))
  return root


_HALF = {'train': 0.5, 'val': 0.25, 'test': 0.25}


def _open(root, **keys):
  keys = {'tile': 16, 'shares': _HALF, 'split_seed': 0, **keys}
  return slide_folder(root=root, **keys)


# -- tissue -------------------------------------------------------------------


def test_tissue_is_what_otsu_parts():
  image = made.slide(96, 64)
  found = slides.tissue(image)
  assert not found[:, 60:].any() and found[28:36, 20:28].all()
  saturation = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1].astype(int)

  def between(t):  # The variance between the classes, as Otsu has it.
    low, high = saturation[saturation <= t], saturation[saturation > t]
    if not len(low) or not len(high):
      return 0.0
    return len(low) * len(high) * (low.mean() - high.mean()) ** 2

  best = max(range(256), key=between)
  np.testing.assert_array_equal(found, saturation > best)
  # Glass alone has a threshold too, but nothing as saturated as tissue.
  assert not slides.tissue(made.glass(64, 64)).any()
  dark = np.zeros((8, 8, 3), np.uint8)
  dark[:4, :, 0] = 9  # Noise around a scan that is saturated and black.
  assert not slides.tissue(dark).any()


@pytest.mark.parametrize('size', [(128, 64), (2304, 64)])
def test_tiles_have_as_much_tissue_as_counted(tmp_path, size):
  image = made.slide(*size)
  path = made.write(tmp_path / 'a.tif', made.levels(image, 3))
  slide = slides.open_slide(path)
  side = 16
  found = slides.tiles(slide, 1.0, side, 0.6)
  shares = np.ones((size[1] // side, size[0] // side))
  whole = slides.tissue(image)
  for y, x in np.ndindex(shares.shape):
    shares[y, x] = whole[
      y * side : (y + 1) * side, x * side : (x + 1) * side
    ].mean()
  taken = np.zeros_like(shares, bool)
  taken[tuple(found.T[::-1] // side)] = True
  clear = abs(shares - 0.6) > 0.15  # An overview rounds.
  np.testing.assert_array_equal(taken[clear], (shares >= 0.6)[clear])
  assert taken.any() and len(slides.tiles(slide, 1.0, side, 0)) == shares.size


# -- the source ---------------------------------------------------------------


def test_slides_are_never_parted(folder):
  source = _open(folder)
  assert source.info.label_names == ('benign', 'tumour')
  assert source.info.grouped and source.info.shape == (16, 16, 3)
  seen, images = {}, {}
  for split, size in source.sizes().items():
    records = source.records(split)
    ids = np.arange(size)
    fields = records.fields(ids)
    taken = records.take(ids)
    assert taken['image'].shape == (size, 16, 16, 3)
    for i, (name, who) in enumerate(
      zip(fields['slide'], fields['patient'], strict=True)
    ):
      assert seen.setdefault(name, split) == split
      label = source.info.label_names[taken['label'][i]]
      assert who == f'{label}/{name}'
      x, y = int(fields['x'][i]), int(fields['y'][i])
      if name not in images:
        with Image.open(folder / label / name) as image:
          images[name] = np.asarray(image.convert('RGB'))
      want = images[name][y : y + 16, x : x + 16]
      np.testing.assert_array_equal(taken['image'][i], want)
      assert records.names([i]) == [f'{label}/{name}#{x},{y}']
  assert len(seen) == 8 and set(seen.values()) == {'train', 'val', 'test'}
  assert _open(folder).fingerprint() == source.fingerprint()
  assert _open(folder, level=1).fingerprint() != source.fingerprint()


def test_patients_are_never_parted(folder):
  source = _open(folder, patient_pattern=r'(p\d)-', shares={'train': 0.5})
  records = source.records('train')
  fields = records.fields(np.arange(len(records)))
  named = set(zip(fields['patient'], fields['slide'], strict=True))
  assert all(slide.startswith(f'{who}-') for who, slide in named)
  assert len(named) == 2 * len(set(fields['patient'])) < 8


def test_tiles_that_are_not_decoded_once_are_read_each(folder, monkeypatch):
  once = _open(folder).records('train')
  monkeypatch.setattr('recog_jax.data.cache.SIZE_LIMIT', 0)
  each = _open(folder).records('train')
  assert once.in_memory and not each.in_memory
  ids = np.array([5, 0, 3])
  want = once.take(ids)
  copy = pickle.loads(pickle.dumps(each))  # As a worker has it.
  np.testing.assert_array_equal(copy.take(ids)['image'], want['image'])
  found = copy.encoded(ids)
  np.testing.assert_array_equal(np.stack(found['image']), want['image'])
  np.testing.assert_array_equal(found['label'], want['label'])


def test_a_slide_is_decoded_once_for_its_tiles(folder, monkeypatch):
  source = _open(folder)
  slides._decoded.cache_clear()
  monkeypatch.setattr('recog_jax.data.cache.num_cores', lambda: 1)
  records = source.records('train')
  count = len(set(records.fields(np.arange(len(records)))['slide']))
  assert slides._decoded.cache_info().misses <= count + 1


def test_scales(folder):
  fine, coarse, half = (
    _open(folder, **keys) for keys in ({}, {'level': 1}, {'mpp': 1.0})
  )
  assert coarse.sizes() == half.sizes() != fine.sizes()
  np.testing.assert_array_equal(
    coarse.records('val').take(np.arange(3))['image'],
    half.records('val').take(np.arange(3))['image'],
  )
  between = _open(folder, mpp=0.75).records('train')
  fields = between.fields(np.arange(len(between)))
  assert {int(x) % 24 for x in fields['x']} == {0}  # 16 * 0.75 / 0.5.


def test_a_table_says_classes_patients_and_splits(folder):
  (folder / 'labels.csv').write_text(
    'slide,label,patient,split\n'
    'p0-0,a,ann,train\np0-1.tif,b,ann,train\nbenign/p2-4,a,bob,test\n'
  )
  keys = {
    'table': 'labels.csv',
    'patient_column': 'patient',
    'split_column': 'split',
    'shares': None,
  }
  source = _open(folder, **keys)
  assert source.info.label_names == ('a', 'b')
  records = source.records('train')
  fields = records.fields(np.arange(len(records)))
  assert set(fields['patient']) == {'ann'}
  assert set(fields['slide']) == {'p0-0.tif', 'p0-1.tif'}
  assert set(source.sizes()) == {'train', 'test'}
  for row, words in (
    ('nosuch,a,ann,train', "'nosuch' is no slide below"),
    ('p0-0,a,ann,train', "'p0-0' is named twice"),
    ('p2-5,,ann,train', "nothing in column 'label'"),
  ):
    text = (folder / 'labels.csv').read_text()
    (folder / 'labels2.csv').write_text(f'{text}{row}\n')
    with pytest.raises(UserError, match=words):
      _open(folder, **{**keys, 'table': 'labels2.csv'})
  (folder / 'labels.csv').write_text(
    'slide,label,patient,split\np0-0,a,ann,train\np0-1,b,ann,test\n'
  )
  with pytest.raises(UserError, match='1 of 1 patients are in two splits'):
    _open(folder, **keys)


# -- what is wrong ------------------------------------------------------------


def test_slides_without_tissue_are_told_once(folder, capsys):
  for k in range(2):
    made.write(folder / 'benign' / f'glass{k}.tif', [made.glass(64, 64, k)])
  source = _open(folder)
  said = capsys.readouterr().err
  assert said.count('2 of 10 slides have no tile') == 1
  assert 'benign/glass0.tif, benign/glass1.tif' in said
  assert sum(source.sizes().values()) == sum(_open(folder).sizes().values())


@pytest.mark.parametrize(
  ('keys', 'words'),
  [
    ({'level': 2}, r'has no level 2, but 2 \(0 to 1\): set source.level'),
    ({'tile': 100}, 'it is 128x64 pixels at this level, smaller than a tile'),
    ({'mpp': 0.2}, '0.5 microns a pixel, and nothing as fine as .*mpp=0.2'),
    ({'patient_pattern': '('}, 'patient_pattern is no regular expression'),
  ],
)
def test_what_slides_do_not_have(folder, keys, words):
  with pytest.raises(UserError, match=words):
    _open(folder, **keys)


def test_bad_slides_stop_or_are_left_out(folder, capsys):
  bad = folder / 'benign' / 'bad.svs'
  bad.write_bytes(b'no slide')
  pattern = r'1 of 9 slides .*bad.svs: without openslide .*recog_jax\[slides'
  with pytest.raises(UserError, match=pattern):
    _open(folder)
  whole = _open(folder, max_bad_share=0.2).sizes()
  assert '1 of 9 slides are left out' in capsys.readouterr().err
  bad.unlink()
  assert whole == _open(folder).sizes()
  image = [made.slide(128, 64)]
  cut = made.write(folder / 'benign' / 'cut.tif', image, mpp=None)
  with pytest.raises(UserError, match='cut.tif: it does not say how many'):
    _open(folder, mpp=0.5)
  data = bytearray(cut.read_bytes())
  at = data.index(b'\x44\x01\x04\x00')  # Offsets of tiles: beyond the end.
  (start,) = np.frombuffer(data[at + 8 : at + 12], '<u4')
  data[start : start + 4] = b'\xff\xff\xff\x7f'
  cut.write_bytes(data)
  with pytest.raises(UserError, match='cut.tif: .*truncated or damaged'):
    _open(folder)


def test_large_levels_need_openslide(folder, monkeypatch):
  monkeypatch.setattr(slides, 'MOST_PIXELS', 5_000)
  with pytest.raises(UserError, match=r'level 0 has 128x64 .*recog_jax\[sli'):
    _open(folder)


def test_a_slide_that_vanishes_is_named(folder, monkeypatch):
  monkeypatch.setattr('recog_jax.data.cache.SIZE_LIMIT', 0)
  records = _open(folder).records('train')
  (name,) = records.names(np.array([0]))
  (folder / name.partition('#')[0]).unlink()
  with pytest.raises(UserError, match=r'record 0\) cannot be read: .*Replace'):
    records.take(np.array([0]))


# -- openslide ----------------------------------------------------------------


class _Fake(types.ModuleType):
  """As much of openslide as is used, on one picture in memory."""

  def __init__(self, pages, mpp='0.25'):
    super().__init__('openslide')
    module = self

    class OpenSlideError(Exception):
      pass

    class OpenSlide:
      detect_format = staticmethod(lambda path: 'fake')
      level_dimensions = tuple(page.shape[1::-1] for page in pages)
      level_downsamples = tuple(4.0**k for k in range(len(pages)))
      properties = {'openslide.mpp-x': mpp} if mpp else {}

      def __init__(self, path):
        if 'bad' in path:
          raise OpenSlideError('bad header')
        module.opened.append(path)

      def read_region(self, place, level, size):
        module.read.append(level)
        by = self.level_downsamples[level]
        x, y = (round(v / by) for v in place)
        part = pages[level][y : y + size[1], x : x + size[0]]
        whole = np.zeros((size[1], size[0], 4), np.uint8)  # Nothing: alpha 0.
        whole[: part.shape[0], : part.shape[1]] = np.dstack(
          [part, np.full(part.shape[:2], 255, np.uint8)]
        )
        return Image.fromarray(whole)

    self.OpenSlide, self.OpenSlideError = OpenSlide, OpenSlideError
    self.opened, self.read = [], []


def test_openslide_reads_the_next_finer_level(tmp_path, monkeypatch):
  pages = made.levels(made.slide(512, 256), 3)[::2]
  fake = _Fake(pages)
  monkeypatch.setitem(sys.modules, 'openslide', fake)
  for label in ('a', 'b'):
    path = tmp_path / 'slides' / 'train' / label / f'{label}.mrxs'
    path.parent.mkdir(parents=True)
    path.write_bytes(b'scan')
  root = tmp_path / 'slides'
  source = slide_folder(root=root, tile=16, mpp=1.0)
  assert len(fake.opened) == 2
  fake.read.clear()
  records = source.records('train')
  assert set(fake.read) == {1}  # A quarter of 0.25 microns.
  fields = records.fields(np.arange(len(records)))
  x, y = int(fields['x'][0]) // 4, int(fields['y'][0]) // 4
  np.testing.assert_array_equal(
    records.take(np.arange(1))['image'][0], pages[1][y : y + 16, x : x + 16]
  )
  slide = slides.open_slide(root / 'train' / 'a' / 'a.mrxs')
  assert (slide.read(500, 0, 0, 20, 4)[:, 12:] == 255).all()
  fake.read.clear()
  slides.region(slide, 0, 0, 3.0, 8, 8)
  assert fake.read == [0]
  (root / 'train' / 'a' / 'bad.svs').write_bytes(b'scan')
  with pytest.raises(UserError, match='bad.svs: openslide cannot read it: bad'):
    slide_folder(root=root, tile=16)


def test_openslide_and_pillow_read_the_same(folder, monkeypatch):
  monkeypatch.delitem(sys.modules, 'openslide')
  pytest.importorskip('openslide', reason='needs the extra slides')
  with_it = _open(folder, mpp=0.6)
  path = next((folder / 'benign').iterdir())
  assert isinstance(slides.open_slide(path), slides._OpenSlide)
  found = with_it.records('train')
  ids = np.arange(len(found))
  images = found.take(ids)['image']
  slides._opened.cache_clear()
  monkeypatch.setitem(sys.modules, 'openslide', None)
  other = _open(folder, mpp=0.6)
  assert with_it.fingerprint() == other.fingerprint()
  np.testing.assert_array_equal(
    other.records('train').take(ids)['image'], images
  )
