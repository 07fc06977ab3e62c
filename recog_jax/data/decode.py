"""From the bytes of an image file to pixels."""

import cv2
import numpy as np

_JPEG_START, _JPEG_SCAN, _JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
# A picture is shown as its bytes are stored: an orientation noted in EXIF is
# ignored, as TFDS and the published ImageNet pipelines ignore it.
_FLAGS = {
  1: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
  3: cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
  4: cv2.IMREAD_UNCHANGED,
}


def decode_image(data: bytes, channels: int) -> np.ndarray:
  """Decodes a JPEG, PNG, BMP or WebP image to 8 bits.

  Args:
    data: the whole file.
    channels: 1 grey, 3 RGB, 4 RGBA; a colour picture is converted to grey (and
      the other way round) as OpenCV does it.

  Returns:
    uint8 `h w channels`.

  Raises:
    ValueError: says in one clause what is wrong with the data.
  """
  if not data:
    raise ValueError('the image is empty')
  # Some of OpenCV's versions fill the missing part of a JPEG with grey. The
  # scan holds no end marker by itself; a thumbnail's lies before the scan.
  if (
    data.startswith(_JPEG_START)
    and not data.endswith(_JPEG_END)
    and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)
  ):
    raise ValueError('the JPEG image is truncated')
  try:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[channels])
  except cv2.error:
    image = None
  if image is None:
    raise ValueError('the image is truncated, damaged or no JPEG or PNG')
  if channels == 1:
    return image[..., None]
  if image.dtype != np.uint8 or image.shape[2:] != (channels,):
    raise ValueError(f'the image does not have {channels} channels of 8 bits')
  order = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA
  return cv2.cvtColor(image, order)
