"""Readers of the official archives; whatever is in them, they write nothing.

An archive is untrusted: members are found by their exact name, their sizes are
known beforehand, and nothing is unpickled or extracted.
"""

import dataclasses
import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np

from recog_jax.errors import UserError

_BROKEN = (
  *(EOFError, OSError, zlib.error, tarfile.TarError),
  *(ValueError, OverflowError),
)


@dataclasses.dataclass(frozen=True)
class Images:
  """One split as it was published.

  Attributes:
    image: uint8 `n h w c`.
    label: int64 `n`.
  """

  image: np.ndarray
  label: np.ndarray


def read_cifar10(
  file: Path, *, records: int = 10_000, batches: int = 5
) -> dict[str, Images]:
  """CIFAR-10's binary version (Krizhevsky, 2009).

  A record is a label and 32x32 pixels: all red, then all green, then all blue.

  Args:
    file: the .tar.gz.
    records: images in each member.
    batches: members of the training split.

  Raises:
    UserError: a member is absent or of another size, or the file is damaged.
  """
  folder = 'cifar-10-batches-bin'
  train = [f'{folder}/data_batch_{i + 1}.bin' for i in range(batches)]
  test = [f'{folder}/test_batch.bin']
  data = _tar_members(file, dict.fromkeys(train + test, records * 3073))
  return {
    'train': _cifar_records(file, b''.join(data[name] for name in train)),
    'test': _cifar_records(file, b''.join(data[name] for name in test)),
  }


def read_mnist(
  files: dict[str, Path], *, sizes: tuple[int, int] = (60_000, 10_000)
) -> dict[str, Images]:
  """MNIST's four idx files, each in gzip (LeCun et al., 1998).

  Args:
    files: each by its published name.
    sizes: images of train and test.

  Raises:
    UserError: a file is damaged or holds something else.
  """
  result = {}
  for split, prefix, size in zip(
    ('train', 'test'), ('train', 't10k'), sizes, strict=True
  ):
    image = files[f'{prefix}-images-idx3-ubyte.gz']
    label = files[f'{prefix}-labels-idx1-ubyte.gz']
    labels = _read_idx(label, (size,))
    _check_labels(label, labels)
    images = _read_idx(image, (size, 28, 28))
    result[split] = Images(images[..., None], labels.astype(np.int64))
  return result


def _tar_members(file: Path, wanted: dict[str, int]) -> dict[str, bytes]:
  """The contents of the wanted members, whose sizes are known."""
  found: dict[str, bytes] = {}
  try:
    # Not tarfile's own gzip mode, which does not compare gzip's checksum.
    with gzip.open(file) as f, tarfile.open(fileobj=f, mode='r|') as tar:
      for member in tar:
        if member.name not in wanted:
          continue
        size = wanted[member.name]
        if not member.isreg() or member.size != size or member.name in found:
          raise UserError(
            f'{member.name} in {file} is not the one file of {size} bytes that '
            'it should be; get the archive again.'
          )
        found[member.name] = tar.extractfile(member).read()
        if len(found[member.name]) != size:
          raise EOFError(f'{member.name} ends early')
      while f.read(1 << 20):
        pass  # The checksum is compared where the file ends.
  except _BROKEN as e:
    raise _damaged(file, e) from e
  if missing := sorted(wanted.keys() - found.keys()):
    raise UserError(
      f'{file} does not hold {missing[0]}: it is another archive, or damaged.'
    )
  return found


def _cifar_records(file: Path, data: bytes) -> Images:
  rows = np.frombuffer(data, np.uint8).reshape(-1, 3073)
  image = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
  _check_labels(file, rows[:, 0])
  return Images(np.ascontiguousarray(image), rows[:, 0].astype(np.int64))


def _read_idx(file: Path, shape: tuple[int, ...]) -> np.ndarray:
  """uint8 of a known shape: two zeros, type 8, rank, big-endian sizes, data."""
  header = bytes([0, 0, 8, len(shape)])
  header += b''.join(size.to_bytes(4, 'big') for size in shape)
  size = int(np.prod(shape))
  try:
    with gzip.open(file) as f:
      start = f.read(len(header))
      # One byte more than there should be, never all of an endless stream;
      # reading to the end also compares gzip's own checksum.
      data = f.read(size + 1)
  except _BROKEN as e:
    raise _damaged(file, e) from e
  if start != header or len(data) != size:
    raise UserError(
      f'{file} does not hold {"x".join(map(str, shape))} bytes in the idx '
      'format: it is another file, or damaged.'
    )
  return np.frombuffer(data, np.uint8).reshape(shape)


def _check_labels(file: Path, labels: np.ndarray):
  if labels.max() > 9:
    at = int(np.flatnonzero(labels > 9)[0])
    raise UserError(
      f'{file} has the label {labels[at]} at record {at}; 0 to 9 are known.'
    )


def _damaged(file: Path, error: Exception) -> UserError:
  return UserError(
    f'{file} is truncated or damaged ({error}); get the archive again.'
  )
