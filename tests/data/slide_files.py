"""Made-up slides: stained discs on glass, as pyramidal tiled TIFF."""

import struct
from pathlib import Path

import numpy as np

GLASS = (244, 242, 243)
PINK, PURPLE = (214, 120, 168), (120, 70, 160)
_TILE = 64  # Of the file, in pixels.


def glass(width: int, height: int, seed: int = 0) -> np.ndarray:
  """uint8 `h w 3`: bright, with a little noise."""
  rng = np.random.default_rng(seed)
  noise = rng.integers(-1, 2, (height, width, 1))
  return (np.array(GLASS) + noise).astype(np.uint8)


def slide(
  width: int, height: int, stain=PINK, radius: float = 0.45, seed: int = 0
) -> np.ndarray:
  """Glass with a disc of tissue in the middle of its left half.

  Args:
    width: in pixels.
    height: in pixels.
    stain: RGB.
    radius: of the disc, as a share of the height.
    seed: of the noise.
  """
  image = glass(width, height, seed)
  y, x = np.mgrid[:height, :width]
  inside = np.hypot(x - width / 4, y - height / 2) < radius * height
  rng = np.random.default_rng(seed)
  noise = rng.integers(-12, 13, (height, width, 3))
  image[inside] = np.clip(np.array(stain) + noise, 0, 255)[inside]
  return image


def levels(image: np.ndarray, count: int) -> list[np.ndarray]:
  """The image, and means of blocks of 4, 16, ... pixels (sides halve)."""
  found = [image]
  for _ in range(count - 1):
    h, w = (side // 2 for side in found[-1].shape[:2])
    blocks = found[-1][: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3)
    found.append(blocks.mean((1, 3)).round().astype(np.uint8))
  return found


def write(path: Path, pages: list[np.ndarray], mpp: float | None = 0.5) -> Path:
  """A TIFF of tiles that are not compressed; each page is a level.

  Args:
    path: the file; its folder is made.
    pages: uint8 `h w 3`, the largest first.
    mpp: microns a pixel of the first page; None: it does not say.
  """
  data = bytearray(b'II*\0\0\0\0\0')
  at = 4  # Where the offset of the next directory stands.
  for number, page in enumerate(pages):
    h, w = page.shape[:2]
    down, across = -(-h // _TILE), -(-w // _TILE)
    padded = np.zeros((down * _TILE, across * _TILE, 3), np.uint8)
    padded[:h, :w] = page
    offsets = []
    for row in range(down):
      for column in range(across):
        offsets.append(len(data))
        rows = padded[row * _TILE : (row + 1) * _TILE]
        part = rows[:, column * _TILE : (column + 1) * _TILE]
        data += part.tobytes()
    size = _TILE * _TILE * 3
    entries = [
      (254, 'I', [int(number > 0)]),
      (256, 'I', [w]),
      (257, 'I', [h]),
      (258, 'H', [8, 8, 8]),
      (259, 'H', [1]),
      (262, 'H', [2]),
      (277, 'H', [3]),
      (284, 'H', [1]),
      (322, 'I', [_TILE]),
      (323, 'I', [_TILE]),
      (324, 'I', offsets),
      (325, 'I', [size] * len(offsets)),
    ]
    if mpp is not None:
      per_cm = [round(1e4 / mpp / 2**number), 1]
      entries += [(282, 'R', per_cm), (283, 'R', per_cm), (296, 'H', [3])]
    struct.pack_into('<I', data, at, _directory(data, sorted(entries)))
    at = len(data) - 4
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data)
  return path


def _directory(data: bytearray, entries) -> int:
  """Adds what does not fit into entries, and the directory; its offset."""
  packed = []
  for tag, kind, values in entries:
    form, code = {'H': ('H', 3), 'I': ('I', 4), 'R': ('I', 5)}[kind]
    value = struct.pack(f'<{len(values)}{form}', *values)
    if len(value) > 4:
      data += b'\0' * (len(data) % 2)
      value, place = struct.pack('<I', len(data)), value
      data += place
    count = len(values) // (2 if kind == 'R' else 1)
    packed.append(struct.pack('<HHI', tag, code, count) + value.ljust(4, b'\0'))
  data += b'\0' * (len(data) % 2)
  start = len(data)
  data += struct.pack('<H', len(packed)) + b''.join(packed) + b'\0' * 4
  return start
