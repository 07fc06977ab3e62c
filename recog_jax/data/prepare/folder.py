"""An image folder (ILSVRC's too) becomes array_record files, in parallel.

The files keep the pictures' own bytes. Each finished file has a manifest with
its checksum beside it until all are done, so that a conversion that was stopped
continues with the files that are not proved whole.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import math
import re
import shutil
import zlib
from pathlib import Path

import tqdm
from absl import logging

from recog_jax.data.cache import num_cores
from recog_jax.data.decode import decode_image
from recog_jax.data.prepare import writer
from recog_jax.data.sources.image_folder import Listing, list_images
from recog_jax.errors import UserError

VERSION = '1.0.0'
_SHARD_BYTES = 128 << 20
# Remains in the finished data set: tells what it was made of.
_ORIGIN = 'prepare.json'


@dataclasses.dataclass(frozen=True)
class _Shard:
  """What one file is made of: the rows [start, stop) of a split."""

  file: str
  split: str
  start: int
  stop: int


@dataclasses.dataclass(frozen=True)
class _Manifest:
  """Proof that a file is whole, and what the description files need of it."""

  plan: str
  size: int
  crc32: int
  records: int
  num_bytes: int
  shapes: list[list[int]]
  bad: list[str]


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
  if not re.fullmatch(r'[a-z][a-z0-9_]*', dataset):
    raise UserError(
      f'--dataset={dataset or ""} cannot name a data set: use lower-case '
      'letters, digits and underscores.'
    )
  if channels not in (1, 3):
    raise UserError(f'--channels must be 1 or 3, not {channels}.')
  names, listings = list_images(root)
  shards = _plan(dataset, listings, shard_bytes)
  plan = _fingerprint(names, listings, shards, channels)
  target = data_dir / dataset / VERSION
  work = target.with_name(f'{VERSION}.incomplete')
  try:
    with writer.locked(target.parent):
      if target.exists():
        _check_same(target, plan)
        logging.info('%s is already there.', target)
        return target
      work.mkdir(exist_ok=True)
      manifests = _convert(
        work, listings, shards, plan, channels, max_bad_share
      )
      what = writer.Description(
        name=dataset,
        version=VERSION,
        shape=_common_shape(manifests, channels),
        label_names=names,
        text_key='file_name',
        text=f'Pictures of the folder {root.name}.',
      )
      _finish(work, what, shards, manifests, plan)
      writer.publish(work, target)
  except OSError as e:
    raise UserError(f'{target} cannot be written: {e}.') from e
  return target


def _plan(
  dataset: str, listings: dict[str, Listing], shard_bytes: int
) -> list[_Shard]:
  """Cuts each split into files of about the same number of pictures."""
  result = []
  for split, listing in listings.items():
    count = math.ceil(int(listing.sizes.sum()) / shard_bytes)
    count = max(1, min(count, len(listing)))
    cuts = [len(listing) * i // count for i in range(count + 1)]
    for i in range(count):
      name = writer.shard_name(dataset, split, i, count)
      result.append(_Shard(name, split, cuts[i], cuts[i + 1]))
  return result


def _fingerprint(names, listings, shards, channels: int) -> str:
  parts = [names, [dataclasses.astuple(s) for s in shards], channels]
  parts += [[k, v.fingerprint()] for k, v in listings.items()]
  return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _check_same(target: Path, plan: str):
  try:
    same = json.loads((target / _ORIGIN).read_text())['plan'] == plan
  except (OSError, ValueError, KeyError):
    same = False
  if not same:
    raise UserError(
      f'{target} exists and was made of something else: choose another '
      '--dataset, or remove it.'
    )


def _convert(
  work: Path, listings, shards, plan: str, channels: int, max_bad_share: float
) -> list[_Manifest]:
  """Writes all files that are not there yet; manifests in the shards' order."""
  total = sum(len(listing) for listing in listings.values())
  allowed = int(max_bad_share * total)
  bad: list[str] = []
  bar = tqdm.tqdm(
    total=total, unit=' images', desc=work.parent.name, disable=None
  )
  with bar, concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:

    def convert(shard: _Shard) -> _Manifest:
      manifest = _finished(work, shard, plan)
      if manifest is None:
        manifest = _write(
          work, shard, listings[shard.split], plan, channels, allowed, bar
        )
      else:
        bar.update(shard.stop - shard.start)
      bad.extend(manifest.bad)
      if len(bad) > allowed:
        raise _too_many_bad(bad, allowed)
      return manifest

    tasks = [pool.submit(convert, shard) for shard in shards]
    try:
      manifests = [task.result() for task in tasks]
    finally:
      # The first error stops the files that were not begun.
      pool.shutdown(cancel_futures=True)
  for line in bad:
    logging.warning('Left out: %s', line)
  return manifests


def _write(
  work: Path,
  shard: _Shard,
  listing: Listing,
  plan: str,
  channels: int,
  allowed: int,
  bar: tqdm.tqdm,
) -> _Manifest:
  """Writes one file, then its manifest."""
  bad: list[str] = []
  shapes: set[tuple[int, ...]] = set()

  def examples():
    for number in range(shard.start, shard.stop):
      path = listing.path(number)
      bar.update()
      try:
        data = path.read_bytes()
        shape = decode_image(data, channels).shape
      except (OSError, ValueError) as e:
        bad.append(f'{path}: {e}')
        if len(bad) > allowed:
          raise _too_many_bad(bad, allowed) from e
        continue
      if len(shapes) < 2:
        shapes.add(shape)
      yield writer.example(
        {
          'file_name': bytes(listing.files[number]),
          'image': data,
          'label': int(listing.labels[number]),
        }
      )

  file = work / shard.file
  records, num_bytes = writer.write_shard(file, examples())
  manifest = _Manifest(
    plan=plan,
    size=file.stat().st_size,
    crc32=_crc32(file),
    records=records,
    num_bytes=num_bytes,
    shapes=sorted(map(list, shapes)),
    bad=bad,
  )
  part = work / f'{shard.file}.json.tmp'
  part.write_text(json.dumps(dataclasses.asdict(manifest)))
  part.replace(work / f'{shard.file}.json')
  return manifest


def _finished(work: Path, shard: _Shard, plan: str) -> _Manifest | None:
  """The manifest of a file that an earlier call has finished."""
  file = work / shard.file
  try:
    noted = json.loads((work / f'{shard.file}.json').read_text())
    manifest = _Manifest(**noted)
    whole = file.stat().st_size == manifest.size
  except (OSError, ValueError, TypeError):
    return None
  if not whole or manifest.plan != plan or _crc32(file) != manifest.crc32:
    return None
  return manifest


def _common_shape(manifests, channels: int) -> tuple[int | None, ...]:
  shapes = {tuple(shape) for m in manifests for shape in m.shapes}
  return shapes.pop() if len(shapes) == 1 else (None, None, channels)


def _finish(work: Path, what, shards, manifests, plan: str):
  """Removes all but the shards, and describes the data set."""
  files = {shard.file for shard in shards}
  for path in list(work.iterdir()):
    if path.name not in files:
      shutil.rmtree(path) if path.is_dir() else path.unlink()
  splits = {}
  for split in dict.fromkeys(shard.split for shard in shards):
    own = [
      m for s, m in zip(shards, manifests, strict=True) if s.split == split
    ]
    lengths = tuple(m.records for m in own)
    splits[split] = writer.Shards(lengths, sum(m.num_bytes for m in own))
  writer.write_metadata(work, what, splits)
  (work / _ORIGIN).write_text(json.dumps({'plan': plan}) + '\n')


def _too_many_bad(bad: list[str], allowed: int) -> UserError:
  if not allowed:
    return UserError(
      f'{bad[0]}. Replace or remove it and run the command again, or allow '
      'some such pictures with --max_bad_share.'
    )
  return UserError(
    f'more than the {allowed} pictures that --max_bad_share allows cannot be '
    f'decoded; the last one is {bad[-1]}.'
  )


def _crc32(file: Path) -> int:
  value = 0
  with file.open('rb') as f:
    while block := f.read(1 << 22):
      value = zlib.crc32(block, value)
  return value
