"""From the bytes of an image file to pixels.

simplejpeg decodes JPEGs and OpenCV the rest, and what simplejpeg refuses (rare
chroma subsampling). Both contain libjpeg-turbo and give the same pixels, but
simplejpeg took 1.08 ms where OpenCV took 1.42 (a file of ImageNet's size, 108
kB, one core), and delivers RGB.
"""

import cv2
import numpy as np
import simplejpeg

from recog_jax.data.image import medical

_PNG_START = b'\x89PNG\r\n\x1a\n'
_PNG_BITS_AT = 24  # Bits of a sample, and 0 where it is grey without alpha.
_TWELVE_BITS = 4095
_JPEG_START, _JPEG_SCAN, _JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
# A picture is decoded as its bytes are stored, as TFDS and the published
# ImageNet pipelines do; of people's own pictures see `exif`.
_FLAGS = {
  1: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
  3: cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
  4: cv2.IMREAD_UNCHANGED,
}
# simplejpeg's names for the same.
_COLOURS = {1: 'GRAY', 3: 'RGB'}
# By what a JPEG can be shrunk while it is decoded, and OpenCV's flag for it.
REDUCTIONS = {
  1: 0,
  2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
  4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
  8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
# Changes whenever pixels may.
VERSION = f'{cv2.__version__} {simplejpeg.__version__}'
# Markers of a frame's header: all but DHT, JPG and DAC of C0 to CF.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# TEM and the restart markers: they stand alone.
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def jpeg_size(data: bytes) -> tuple[int, int] | None:
  """Height and width of a JPEG from its header, in a few microseconds.

  Returns:
    None if it is no JPEG, or one whose header does not say.
  """
  at = 2 if data.startswith(_JPEG_START) else len(data)
  while at + 9 <= len(data) and data[at] == 0xFF:
    marker = data[at + 1]
    if marker in _FRAMES:
      h = int.from_bytes(data[at + 5 : at + 7], 'big')
      w = int.from_bytes(data[at + 7 : at + 9], 'big')
      return (h, w) if h and w else None
    if marker in _JPEG_SCAN[1:] + _JPEG_END[1:]:
      return None
    if marker == 0xFF:  # Padding.
      at += 1
    elif marker in _ALONE:
      at += 2
    else:
      at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
  return None


def decode_image(
  data: bytes,
  channels: int,
  *,
  reduction: int = 1,
  box: tuple[int, int, int, int] | None = None,
  frame: int = 0,
) -> np.ndarray:
  """Decodes a JPEG, PNG, BMP, WebP or DICOM image to 8 bits.

  Grey and CMYK pictures become RGB, and what a file holds is told by its bytes,
  not by its name: ImageNet has a PNG and CMYK among its `.JPEG` files. A grey
  PNG of 16 bits that holds no value above 4,095 is one of 12 bits, as X-rays
  are. DICOM files and NIfTI volumes are decoded as `medical` says.

  Args:
    data: the whole file.
    channels: 1 grey, 3 RGB, 4 RGBA; a colour picture is converted to grey, and
      the other way round.
    reduction: 1, 2, 4 or 8, above 1 of a JPEG only: its sides are divided by
      that, rounded up, by decoding the low frequencies of each block alone
      (libjpeg's DCT scaling), which is an antialiased reduction.
    box: top, left, height and width of the part that is returned, in pixels of
      the reduced picture.
    frame: of a DICOM file or a NIfTI volume, which may hold several.

  Returns:
    uint8 `h w channels`.

  Raises:
    ValueError: says in one clause what is wrong with the data.
  """
  if not data:
    raise ValueError('the image is empty')
  # Decoders fill the missing part of a JPEG with grey. The scan holds no end
  # marker by itself; a thumbnail's lies before the scan.
  if (
    data.startswith(_JPEG_START)
    and not data.endswith(_JPEG_END)
    and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)
  ):
    raise ValueError('the JPEG image is truncated')
  image = _decode_jpeg(data, channels, reduction)
  if image is None:
    image = medical.decode(data, channels, frame)
  if image is None:
    image = _decode_other(data, channels, reduction)
  if box is not None:
    top, left, h, w = box
    image = image[top : top + h, left : left + w]
  return image


def _decode_jpeg(
  data: bytes, channels: int, reduction: int
) -> np.ndarray | None:
  """None of what is no JPEG, or one that simplejpeg refuses."""
  size = jpeg_size(data)
  if size is None or channels not in _COLOURS:
    return None
  h, w = (-(-side // reduction) for side in size)
  try:
    # Not strict: files with a few bytes too many are harmless. The scale is the
    # smallest that gives this height and width.
    return simplejpeg.decode_jpeg(
      data, _COLOURS[channels], min_height=h, min_width=w, strict=False
    )
  except ValueError:
    return None


def _by_opencv(data: bytes, flags: int) -> np.ndarray | None:
  """None of what it cannot decode."""
  try:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
  except cv2.error:
    return None


def _is_deep_grey(png: bytes) -> bool:
  """Whether a PNG has one channel, of 16 bits."""
  return png[_PNG_BITS_AT : _PNG_BITS_AT + 2] == b'\x10\x00'


def _decode_other(data: bytes, channels: int, reduction: int) -> np.ndarray:
  if channels < 4 and data.startswith(_PNG_START) and _is_deep_grey(data):
    whole = _by_opencv(data, cv2.IMREAD_UNCHANGED)
    if whole is not None and whole.max() <= _TWELVE_BITS:
      grey = np.rint(whole * (255 / _TWELVE_BITS)).astype(np.uint8)
      return np.repeat(grey[..., None], channels, 2)
  image = _by_opencv(data, _FLAGS[channels] | REDUCTIONS[reduction])
  if image is None:
    raise ValueError('the image is truncated, damaged or no JPEG or PNG')
  if channels == 1:
    return image[..., None]
  if image.dtype != np.uint8 or image.shape[2:] != (channels,):
    raise ValueError(f'the image does not have {channels} channels of 8 bits')
  order = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA
  return cv2.cvtColor(image, order)
