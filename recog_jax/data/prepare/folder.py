"""An image folder (ILSVRC's too) becomes array_record files, in parallel.

The files keep the pictures' own bytes, but for those that EXIF says have to be
turned: their pixels are turned and stored as PNG. A conversion that was stopped
continues (see `sharded`).
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from absl import logging

from recog_jax.data import files
from recog_jax.data.image import exif
from recog_jax.data.image.codecs import decode_image
from recog_jax.data.prepare import sharded, writer
from recog_jax.data.sources import bad_records
from recog_jax.data.sources.image_folder import list_images
from recog_jax.data.sources.pictures import Listing
from recog_jax.errors import UserError

_SHARD_BYTES = 128 << 20


def prepare_folder(
  root: Path,
  dataset: str,
  data_dir: Path,
  *,
  channels: int = 3,
  max_bad_share: float = 0.0,
  shard_bytes: int = _SHARD_BYTES,
) -> Path:
  """Converts root/split/class/picture to data_dir/dataset/1.0.0.

  Args:
    root: the image folder.
    dataset: the new data set's name: lower-case letters, digits, underscores.
    data_dir: the folder of all data sets.
    channels: 3, or 1 for grey.
    max_bad_share: pictures that cannot be decoded are left out and named up to
      this share of all; at 0 the first one stops the conversion.
    shard_bytes: size of a file, about.

  Returns:
    The folder of the version.

  Raises:
    UserError: no pictures, too many that cannot be decoded, or the name is in
      use for other pictures.
  """
  sharded.check_name(dataset)
  bad_records.check_share(max_bad_share)
  if channels not in (1, 3):
    raise UserError(f'--channels must be 1 or 3, not {channels}.')
  names, listings = list_images(root)
  shards = [
    shard
    for split, listing in listings.items()
    for shard in sharded.cut(
      dataset,
      split,
      len(listing),
      math.ceil(int(listing.sizes.sum()) / shard_bytes),
    )
  ]
  pictures = [[k, v.fingerprint()] for k, v in listings.items()]
  total = sum(len(listing) for listing in listings.values())
  conversion = _Pictures(listings, channels, int(max_bad_share * total))

  def describe(folder: Path, splits, reports: Mapping[str, sharded.Report]):
    for report in reports.values():
      for line in report.bad.values():
        logging.warning('Left out: %s', line)
    shapes = {tuple(s) for r in reports.values() for s in r.notes}
    what = writer.Description(
      name=dataset,
      version=sharded.VERSION,
      shape=shapes.pop() if len(shapes) == 1 else (None, None, channels),
      label_names=names,
      text_key='file_name',
      text=f'Pictures of the folder {root.name}.',
    )
    writer.write_metadata(folder, what, splits)

  return sharded.convert(
    data_dir / dataset / sharded.VERSION,
    sharded.fingerprint(names, shards, channels, *pictures),
    shards,
    sharded.Conversion('images', conversion.examples, conversion.check_bad),
    describe,
  )


@dataclasses.dataclass(frozen=True)
class _Pictures:
  """The pictures of all splits as examples."""

  listings: Mapping[str, Listing]
  channels: int
  allowed: int

  def examples(
    self, shard: sharded.Shard, report: sharded.Report
  ) -> Iterator[bytes]:
    listing = self.listings[shard.split]
    shapes: set[tuple[int, ...]] = set()
    for number in range(shard.start, shard.stop):
      path = listing.path(number)
      try:
        data = files.read_bytes(path)
        image = decode_image(data, self.channels)
        if (turn := exif.orientation(data)) != 1:
          image = exif.turned(image, turn)
          data = _png(image)
        shape = image.shape
      except (OSError, ValueError) as e:
        report.bad[number] = f'{path}: {e}'
        self.check_bad([*report.bad.values()])
        continue
      if shape not in shapes and len(shapes) < 2:
        shapes.add(shape)
        report.notes.append(list(shape))
      yield writer.example(
        {
          'file_name': bytes(listing.files[number]),
          'image': data,
          'label': int(listing.labels[number]),
        }
      )

  def check_bad(self, bad: Sequence[str]):
    if len(bad) <= self.allowed:
      return
    if not self.allowed:
      raise UserError(
        f'{bad[0]}. Replace or remove it and run the command again, or allow '
        'some such pictures with --max_bad_share.'
      )
    raise UserError(
      f'more than the {self.allowed} pictures that --max_bad_share allows '
      f'cannot be decoded; the last one is {bad[-1]}.'
    )


def _png(image: np.ndarray) -> bytes:
  """Encodes uint8 `h w c`, RGB or grey."""
  if image.shape[-1] == 3:
    image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
  return cv2.imencode('.png', image)[1].tobytes()
