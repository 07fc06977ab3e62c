"""The orientation that a camera notes beside a picture, and obeying it."""

import numpy as np

_TAG = 0x0112
# Where the block of tags begins: in a JPEG's header, and after the names of the
# chunks of PNG and WebP (whose length stands between or before).
_JPEG, _PNG, _WEBP = b'Exif\0\0', b'eXIf', b'EXIF'
# A JPEG's header holds it in one segment, before the pixels.
_JPEG_HEADER = 1 << 17
# Orientation -> (transposed, rows reversed, columns reversed), in this order.
_TURNS = {
  2: (False, False, True),
  3: (False, True, True),
  4: (False, True, False),
  5: (True, False, False),
  6: (True, False, True),
  7: (True, True, True),
  8: (True, True, False),
}


def orientation(data: bytes) -> int:
  """How a picture has to be turned, 1 (not at all) to 8, as EXIF numbers it.

  Args:
    data: the bytes of a JPEG, PNG or WebP file; of any other it is 1.
  """
  if data.startswith(b'\xff\xd8'):
    at = data.find(_JPEG, 0, _JPEG_HEADER)
    start = at + len(_JPEG)
  elif data.startswith(b'\x89PNG'):
    at = data.find(_PNG)
    start = at + len(_PNG)
  elif data.startswith(b'RIFF') and data[8:12] == b'WEBP':
    at = data.find(_WEBP)
    start = at + len(_WEBP) + 4
    if data.startswith(_JPEG, start):
      start += len(_JPEG)
  else:
    return 1
  return 1 if at < 0 else _read(data[start : start + (1 << 16)])


def _read(block: bytes) -> int:
  """The orientation of a block of tags in TIFF's form; 1 if it has none."""
  order = {b'II*\0': 'little', b'MM\0*': 'big'}.get(block[:4])
  if order is None:
    return 1

  def number(at: int, size: int) -> int:
    return int.from_bytes(block[at : at + size], order)

  first = number(4, 4)
  for entry in range(number(first, 2)):
    at = first + 2 + 12 * entry
    if at + 12 > len(block):
      break
    if number(at, 2) == _TAG:
      value = number(at + 8, 2)
      return value if value in _TURNS else 1
  return 1


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
  """The picture as it was meant: `h w c` or, transposed, `w h c`."""
  transpose, rows, columns = _TURNS.get(orientation, (False, False, False))
  if transpose:
    image = image.swapaxes(0, 1)
  if rows:
    image = image[::-1]
  if columns:
    image = image[:, ::-1]
  return np.ascontiguousarray(image)
