"""A corpus of audio files becomes array_record files, in parallel.

Audio is stored as it is handed out: mono, one sample rate, 16 bits. A
conversion that was stopped continues (see `sharded`); only the recordings that
are being decoded are ever in memory.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets

from recog_jax.data import files as files_lib
from recog_jax.data.prepare import sharded, writer
from recog_jax.data.sources import (
  bad_records,
  corpora,
  fleurs,
  length_index,
)
from recog_jax.data.sources.file_source import FileRecords, FileSource
from recog_jax.data.speech.cache import to_int16
from recog_jax.data.speech.records import Utterances
from recog_jax.errors import UserError, unknown_name, warn

_features = tensorflow_datasets.features
_SHARD_BYTES = 128 << 20
_LEFT_OUT = 'left_out.txt'


def _manifests(*, folder: Path, **keys) -> FileSource:
  """All manifests of a folder, each a split with the file's name."""
  files = [folder]
  if folder.is_dir():
    files = [
      f
      for f in files_lib.listed(folder)
      if f.suffix in ('.json', '.jsonl') and f.is_file()
    ]
  if not files:
    raise UserError(
      f'{folder} holds no manifest: for example train.json, one JSON object a '
      'line.'
    )
  splits = {re.sub(r'\W', '_', f.stem): str(f.absolute()) for f in files}
  return corpora.manifest(splits=splits, **keys)


LAYOUTS: dict[str, Callable[..., FileSource]] = {
  'manifest': _manifests,
  'timit': corpora.timit,
  'timit_words': functools.partial(corpora.timit, units='words'),
  'librispeech': corpora.librispeech_folder,
  'common_voice': corpora.common_voice,
  'fleurs': fleurs.fleurs,
}


def prepare_speech(
  folder: Path,
  layout: str,
  dataset: str,
  data_dir: Path,
  *,
  sample_rate: int = 16000,
  max_bad_share: float = 0.0,
  shard_bytes: int = _SHARD_BYTES,
) -> Path:
  """Converts a corpus to data_dir/dataset/1.0.0, with its length index.

  Features: `speech` (int16 `n`), `text`, `id`, and the corpus's other strings.

  Args:
    folder: the corpus.
    layout: one of `LAYOUTS`.
    dataset: the new data set's name: lower-case letters, digits, underscores.
    data_dir: the folder of all data sets.
    sample_rate: in Hz, at which audio is stored.
    max_bad_share: records that cannot be used are left out up to this share of
      all, and listed in the data set's left_out.txt; at 0 the first one stops
      the conversion.
    shard_bytes: size of a file before compression, about.

  Returns:
    The folder of the version.

  Raises:
    UserError: no such layout, too many bad records, or the name is in use for
      something else.
  """
  sharded.check_name(dataset)
  if layout not in LAYOUTS:
    raise unknown_name('--layout', layout, LAYOUTS)
  source = LAYOUTS[layout](
    folder=folder, sample_rate=sample_rate, max_bad_share=max_bad_share
  )
  target = data_dir / dataset / sharded.VERSION
  listed = {split: source.listed(split) for split in source.splits}
  conversion = _Recordings(
    {split: records for split, (records, _) in listed.items()},
    [reason for _, bad in listed.values() for reason in bad],
    max_bad_share,
    target.parent,
  )
  conversion.check_bad([])
  shards = [
    shard
    for split, records in conversion.records.items()
    for shard in _cut(dataset, split, records, shard_bytes)
  ]
  sharded.convert(
    target,
    sharded.fingerprint(source.fingerprint(), shards),
    shards,
    sharded.Conversion('recordings', conversion.examples, conversion.check_bad),
    functools.partial(_describe, dataset, folder, source, conversion),
  )
  (target.parent / _LEFT_OUT).unlink(missing_ok=True)
  if (target / _LEFT_OUT).exists():
    warn(f'{target / _LEFT_OUT} lists the records that were left out.')
  return target


def _cut(dataset: str, split: str, records: FileRecords, shard_bytes: int):
  if not len(records):
    raise UserError(f"split '{split}' has no record that can be used.")
  size = 2 * int(records.utterances.num_samples.sum())
  return sharded.cut(
    dataset, split, len(records), math.ceil(size / shard_bytes)
  )


@dataclasses.dataclass(frozen=True)
class _Recordings:
  """The recordings of all splits as examples.

  Attributes:
    records: of each split, those whose headers can be read.
    bad: what is wrong with the others.
    max_bad_share: of all.
    place: for the list of bad records, where they are too many.
  """

  records: Mapping[str, FileRecords]
  bad: Sequence[str]
  max_bad_share: float
  place: Path

  def examples(
    self, shard: sharded.Shard, report: sharded.Report
  ) -> Iterator[bytes]:
    records, index = self.records[shard.split], self.index(shard.split)
    columns = {'text': index.text, **index.fields}
    for number in range(shard.start, shard.stop):
      try:
        (audio,) = records.take(np.array([number]))
      except UserError as e:
        report.bad[number] = str(e)
        self.check_bad([*report.bad.values()])
        continue
      strings = {
        k: v[number].encode(errors='replace') for k, v in columns.items()
      }
      speech = to_int16(audio).astype('<i2').tobytes()
      yield writer.example({'speech': speech, **strings})

  @functools.cached_property
  def fields(self) -> dict[str, str]:
    """{field of any split: what it is called as a feature}."""
    names = [n for r in self.records.values() for n in r.utterances.fields]
    plain = {name: re.sub(r'\W', '_', name) for name in names}
    own = {'speech': 'field_speech', 'text': 'field_text'}
    return {name: own.get(feature, feature) for name, feature in plain.items()}

  def index(self, split: str) -> Utterances:
    """Of a split, with all fields, by their names as features."""
    index = self.records[split].utterances
    empty = [''] * len(index)
    fields = {n: index.fields.get(k, empty) for k, n in self.fields.items()}
    return dataclasses.replace(index, fields=fields)

  def check_bad(self, bad: Sequence[str]):
    bad = [*self.bad, *bad]
    total = len(self.bad) + sum(len(r) for r in self.records.values())
    if len(bad) > int(self.max_bad_share * total):
      bad_records.leave_out(
        bad,
        total,
        self.max_bad_share,
        what=self.place.name,
        listing=self.place / _LEFT_OUT,
      )


def _describe(
  dataset: str,
  origin: Path,
  source: FileSource,
  conversion: _Recordings,
  folder: Path,
  splits: Mapping[str, writer.Shards],
  reports: Mapping[str, sharded.Report],
):
  """Writes everything but the shards."""
  rate = source.info.sample_rate
  for split, report in reports.items():
    index = conversion.index(split)
    good = [i for i in range(len(index)) if i not in report.bad]
    index = index.take(np.array(good, np.int64))
    shards = sorted(folder.glob(f'{dataset}-{split}.array_record-*'))
    length_index.write(
      length_index.beside(folder, split),
      index,
      sample_rate=rate,
      shards=shards,
    )
  # As raw bytes an utterance is read hundreds of times faster than as a list
  # of integers.
  speech = _features.Tensor(shape=(None,), dtype=np.int16, encoding='bytes')
  texts = {
    name: _features.Text() for name in ('text', *conversion.fields.values())
  }
  writer.write_description(
    folder,
    {'speech': speech, **texts},
    ('speech', 'text'),
    splits,
    name=dataset,
    version=sharded.VERSION,
    text=f'Recordings of {origin.name}, mono, {rate} Hz.',
  )
  bad = [
    *conversion.bad,
    *(b for r in reports.values() for b in r.bad.values()),
  ]
  if bad:
    text = '\n'.join([*bad, ''])
    (folder / _LEFT_OUT).write_bytes(text.encode(errors='backslashreplace'))
