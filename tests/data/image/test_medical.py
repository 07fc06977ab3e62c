"""DICOM files, 16-bit PNG and NIfTI volumes become pictures of 8 bits."""

import gzip

import cv2
import numpy as np
import pytest

from recog_jax.data.image import codecs, medical

pydicom = pytest.importorskip('pydicom', reason='needs the extra dicom')

from pydicom.pixels import apply_modality_lut, apply_voi_lut  # noqa: E402

from tests.data import dicom_files as made  # noqa: E402


@pytest.fixture(scope='module')
def twelve():
  return {k: made.content(v) for k, v in made.twelve().items()}


def _by_pydicom(found, frame=0):
  """pydicom's own array after both look-ups."""
  pixels = found.pixel_array
  if medical.frames_of(found) > 1:
    pixels = pixels[frame]
  if str(found.PhotometricInterpretation) == 'RGB':
    return pixels
  return apply_voi_lut(apply_modality_lut(pixels, found), found)


def test_twelve_kinds_are_what_pydicom_has(twelve):
  assert len(twelve) == 12
  for kind, data in twelve.items():
    found = made.read(data)
    for frame in range(medical.frames_of(found)):
      np.testing.assert_array_equal(
        medical.values(medical.read_dicom(data), frame),
        _by_pydicom(found, frame),
        err_msg=kind,
      )


# Low and high of the values that become black and white.
RANGES = {
  'window': (0, 4095),
  'signed_ct': (-2 * 2048 - 100, 2 * 2047 - 100),
  'voi_table': (0, 1023),
  'modality_table': (0, 65535),
  'rle': (0, 4095),
}


def test_eight_bits_by_hand(twelve):
  for kind, (low, high) in RANGES.items():
    values = _by_pydicom(made.read(twelve[kind])).astype(float)
    expected = np.rint((values - low) / (high - low) * 255)
    image = codecs.decode_image(twelve[kind], 1)
    assert image.shape == (made.SIDE, made.SIDE, 1) and image.dtype == np.uint8
    np.testing.assert_array_equal(image[..., 0], expected, err_msg=kind)
  # Without a window from lowest to highest.
  full = codecs.decode_image(twelve['sixteen_bits'], 1)
  assert (full.min(), full.max()) == (0, 255)


def test_monochrome1_is_inverted_last(twelve):
  one, two = (
    codecs.decode_image(twelve[k], 1) for k in ('monochrome1', 'window')
  )
  np.testing.assert_array_equal(one, 255 - two)


def test_frames_and_colours(twelve):
  frames = [codecs.decode_image(twelve['frames'], 1, frame=i) for i in range(3)]
  np.testing.assert_array_equal(frames[0][..., 0], frames[1][..., 0].T)
  np.testing.assert_array_equal(frames[2], 255 - frames[0])
  rgb = codecs.decode_image(twelve['rgb'], 3)
  np.testing.assert_array_equal(rgb, made.read(twelve['rgb']).pixel_array)
  grey = codecs.decode_image(twelve['frames'], 3)
  assert grey.shape[-1] == 3 and (grey[..., 0] == grey[..., 2]).all()
  with pytest.raises(ValueError, match='no frame 3'):
    codecs.decode_image(twelve['frames'], 1, frame=3)


def _broken(**tags):
  found = made.dataset(made.ramp(12), 12)
  for name, value in tags.items():
    if value is None:
      delattr(found, name)
    else:
      setattr(found, name, value)
  return made.content(found)


@pytest.mark.parametrize(
  ('tags', 'sentence'),
  [
    ({'PixelData': None}, 'holds no pixels'),
    ({'BitsStored': 17}, 'wrong bits: 17 stored of 16'),
    ({'HighBit': 15}, 'wrong bits: 12 stored of 16, the highest is number 15'),
    ({'Rows': 99}, 'not as long'),
    ({'Rows': None}, 'lacks Rows'),
  ],
)
def test_bad_files_are_told_of_without_names(tags, sentence, caplog, recwarn):
  with pytest.raises(ValueError, match=sentence) as caught:
    codecs.decode_image(_broken(**tags), 1)
  assert 'Doe' not in str(caught.value)
  said = caplog.text + ''.join(str(w.message) for w in recwarn)
  assert 'Doe' not in said and '1234' not in said


def test_a_compression_that_nothing_reads_names_the_package():
  found = made.dataset(made.ramp(8), 8)
  data = made.content(found)

  def with_syntax(uid):
    other = made.read(data)
    other.file_meta.TransferSyntaxUID = uid
    return other

  jpeg_ls = '1.2.840.10008.1.2.4.80'
  with pytest.raises(ValueError, match='pip install pyjpegls'):
    medical.values(with_syntax(jpeg_ls))
  lossless = '1.2.840.10008.1.2.4.70'
  with pytest.raises(ValueError, match=r'pylibjpeg-libjpeg .*GPL'):
    medical.values(with_syntax(lossless))
  with pytest.raises(ValueError, match='does not know'):
    medical.values(with_syntax('1.2.3.4.5'))


def test_a_cut_file_is_no_picture(twelve):
  data = twelve['window']
  for end in (140, 400, len(data) - 50):
    with pytest.raises(ValueError, match='truncated|not as long|no pixels'):
      codecs.decode_image(data[:end], 1)


def test_png_of_twelve_and_of_sixteen_bits():
  dark = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
  whole = dark * 16
  for image, scale in ((dark, 4095), (whole, 65535)):
    data = cv2.imencode('.png', image)[1].tobytes()
    found = codecs.decode_image(data, 1)[..., 0]
    assert np.abs(found - image / scale * 255).max() <= 1
    assert codecs.decode_image(data, 3).shape == (16, 16, 3)


@pytest.mark.parametrize('packed', [False, True])
def test_slices_of_a_volume(packed):
  nibabel = pytest.importorskip('nibabel')
  volume = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
  data = nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()
  data = gzip.compress(data) if packed else data
  assert medical.slices_of(data) == 6
  low, high = np.percentile(volume, (0.5, 99.5))
  # Rows go from front to back, columns from left to right.
  expected = volume[:, ::-1, 2].T
  expected = np.rint(np.clip((expected - low) / (high - low), 0, 1) * 255)
  found = codecs.decode_image(data, 1, frame=2)
  np.testing.assert_array_equal(found[..., 0], expected)
  with pytest.raises(ValueError, match='truncated'):
    medical.slices_of(nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()[:400])
