"""Writes a data set shard by shard, in parallel; a stopped one continues.

Each finished file has a manifest with its checksum beside it until all are
done, so that a conversion that was stopped continues with the files that are
not proved whole.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm
from absl import logging

from recog_jax.data import cache
from recog_jax.data.prepare import writer
from recog_jax.errors import UserError, sentence_of

VERSION = '1.0.0'
# Remains in the finished data set: tells what it was made of.
_ORIGIN = 'prepare.json'
# What reading such a file raises that this module has not written.
_OTHER_FORM = (
  *(OSError, ValueError, TypeError, KeyError, AttributeError),
  RecursionError,
)


@dataclasses.dataclass(frozen=True)
class Shard:
  """What one file is made of: the rows [start, stop) of a split."""

  file: str
  split: str
  start: int
  stop: int


@dataclasses.dataclass
class Report:
  """What is noted of a file while it is written.

  Attributes:
    bad: what is wrong with rows that were left out, by their number.
    notes: anything else that the description files need; JSON.
  """

  bad: dict[int, str] = dataclasses.field(default_factory=dict)
  notes: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Manifest:
  """Proof that a file is whole, and what the description files need of it."""

  plan: str
  size: int
  crc32: int
  records: int
  num_bytes: int
  report: Report


@dataclasses.dataclass(frozen=True)
class Conversion:
  """How a corpus becomes shards.

  Attributes:
    unit: what a row is, for the progress bar.
    examples: yields a shard's serialised examples; bad rows go to the report,
      and after each of them `check_bad` is called.
    check_bad: raises UserError where these are too many bad rows.
  """

  unit: str
  examples: Callable[[Shard, Report], Iterator[bytes]]
  check_bad: Callable[[Sequence[str]], None]


def check_name(dataset: str) -> None:
  """Refuses what cannot name a data set.

  Raises:
    UserError: it is not lower-case letters, digits and underscores.
  """
  if not re.fullmatch(r'[a-z][a-z0-9_]*', dataset):
    raise UserError(
      f'--dataset={dataset or ""} cannot name a data set: use lower-case '
      'letters, digits and underscores.'
    )


def cut(dataset: str, split: str, rows: int, count: int) -> list[Shard]:
  """Cuts a split into `count` files (at most one a row) of about equal size."""
  count = max(1, min(count, rows))
  cuts = [rows * i // count for i in range(count + 1)]
  return [
    Shard(
      writer.shard_name(dataset, split, i, count), split, cuts[i], cuts[i + 1]
    )
    for i in range(count)
  ]


def fingerprint(*parts: Any) -> str:
  """Of whatever decides what is written: JSON and dataclasses."""
  text = json.dumps(parts, default=dataclasses.astuple)
  return hashlib.sha256(text.encode()).hexdigest()


def convert(
  target: Path,
  plan: str,
  shards: Sequence[Shard],
  conversion: Conversion,
  describe: Callable[
    [Path, Mapping[str, writer.Shards], Mapping[str, Report]], None
  ],
) -> Path:
  """Makes a data set, or finishes it, unless it is there.

  Args:
    target: the folder of the version.
    plan: changes whenever the data set would.
    shards: all files.
    conversion: how they are filled.
    describe: writes everything but the shards, from the files' lengths and the
      reports of each split, whose rows are numbered within the split.

  Returns:
    The folder.

  Raises:
    UserError: too many bad rows, the name is in use for something else, or the
      folder cannot be written.
  """
  work = target.with_name(f'{target.name}.incomplete')
  try:
    with writer.locked(target.parent):
      if target.exists():
        _check_same(target, plan)
        logging.info('%s is already there.', target)
        return target
      work.mkdir(exist_ok=True)
      manifests = _convert(work, plan, shards, conversion)
      _clear(work, shards)
      describe(work, *_by_split(shards, manifests))
      (work / _ORIGIN).write_text(json.dumps({'plan': plan}) + '\n')
      writer.publish(work, target)
  except OSError as e:
    raise UserError(f'{target} cannot be written: {sentence_of(e)}.') from e
  return target


def _check_same(target: Path, plan: str):
  try:
    same = json.loads((target / _ORIGIN).read_text())['plan'] == plan
  except _OTHER_FORM:
    same = False
  if not same:
    raise UserError(
      f'{target} exists and was made of something else: choose another '
      '--dataset, or remove it.'
    )


def _convert(
  work: Path, plan: str, shards: Sequence[Shard], conversion: Conversion
) -> list[Manifest]:
  """Writes all files that are not there yet; manifests in the shards' order."""
  bad: list[str] = []
  bar = tqdm.tqdm(
    total=sum(s.stop - s.start for s in shards),
    unit=f' {conversion.unit}',
    desc=work.parent.name,
    disable=None,
  )
  with (
    bar,
    concurrent.futures.ThreadPoolExecutor(cache.num_cores()) as pool,
  ):

    def one(shard: Shard) -> Manifest:
      manifest = _finished(work, shard, plan)
      if manifest is None:
        manifest = _write(work, shard, plan, conversion, bar)
        bar.update(len(manifest.report.bad))
      else:
        bar.update(shard.stop - shard.start)
      bad.extend(manifest.report.bad.values())
      conversion.check_bad(bad)
      return manifest

    tasks = [pool.submit(one, shard) for shard in shards]
    try:
      return [task.result() for task in tasks]
    finally:
      # The first error stops the files that were not begun.
      pool.shutdown(cancel_futures=True)


def _write(
  work: Path, shard: Shard, plan: str, conversion: Conversion, bar: tqdm.tqdm
) -> Manifest:
  """Writes one file, then its manifest."""
  report = Report()
  file = work / shard.file

  def examples():
    for data in conversion.examples(shard, report):
      bar.update()
      yield data

  records, num_bytes = writer.write_shard(file, examples())
  manifest = Manifest(
    plan=plan,
    size=file.stat().st_size,
    crc32=cache.checksum(file),
    records=records,
    num_bytes=num_bytes,
    report=report,
  )
  part = work / f'{shard.file}.json.tmp'
  part.write_text(json.dumps(dataclasses.asdict(manifest)))
  part.replace(work / f'{shard.file}.json')
  return manifest


def _finished(work: Path, shard: Shard, plan: str) -> Manifest | None:
  """The manifest of a file that an earlier call has finished."""
  file = work / shard.file
  try:
    noted = json.loads((work / f'{shard.file}.json').read_text())
    report = noted.pop('report')
    bad = {int(number): reason for number, reason in report['bad'].items()}
    manifest = Manifest(**noted, report=Report(bad, report['notes']))
    whole = file.stat().st_size == manifest.size
  except _OTHER_FORM:
    return None
  if not whole or manifest.plan != plan:
    return None
  return manifest if cache.checksum(file) == manifest.crc32 else None


def _clear(work: Path, shards: Sequence[Shard]):
  """Removes all but the shards."""
  files = {shard.file for shard in shards}
  for path in list(work.iterdir()):
    if path.name not in files:
      shutil.rmtree(path) if path.is_dir() else path.unlink()


def _by_split(
  shards: Sequence[Shard], manifests: Sequence[Manifest]
) -> tuple[dict[str, writer.Shards], dict[str, Report]]:
  lengths, reports = {}, {}
  for split in dict.fromkeys(shard.split for shard in shards):
    own = [
      m for s, m in zip(shards, manifests, strict=True) if s.split == split
    ]
    lengths[split] = writer.Shards(
      tuple(m.records for m in own), sum(m.num_bytes for m in own)
    )
    reports[split] = Report(
      {k: v for m in own for k, v in m.report.bad.items()},
      [note for m in own for note in m.report.notes],
    )
  return lengths, reports
