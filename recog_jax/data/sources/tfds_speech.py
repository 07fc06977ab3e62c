"""Speech data sets in TFDS's layout."""

import concurrent.futures
import dataclasses
import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from absl import logging

from recog_jax.data import cache
from recog_jax.data.sources import length_index
from recog_jax.data.sources.tfds_layout import (
  Examples,
  Layout,
  default_data_dir,
  find,
)
from recog_jax.data.speech import records as speech_records
from recog_jax.data.speech.cache import cache_waves
from recog_jax.data.speech.codecs import resample, resampled_length
from recog_jax.data.splits import InARow, Subset
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import Size

# What data sets call the fields that are asked for by one name here.
_RENAMED = {
  'speaker_id': 'speaker',
  'client_id': 'speaker',
  'locale': 'lang',
  'language': 'lang',
}
_CHUNK = 64


def tfds_speech(
  *,
  dataset: str,
  sample_rate: Size,
  stored_rate: Size | None = None,
  audio_key: str | None = None,
  text_key: str | None = None,
  label_texts: Sequence[str] = (),
  field_pattern: tuple[str, str] | None = None,
  partition: Mapping[str, tuple[str, str, str]] | None = None,
  merge: Mapping[str, Sequence[str]] | None = None,
  data_dir: Any = None,
) -> 'TfdsSpeech':
  r"""A speech data set that TFDS or `prepare` has written.

  Args:
    dataset: `name[/config][:version]`; the newest version if none is named.
    sample_rate: in Hz, of the audio handed out. Where nothing says at which
      rate audio is stored (TFDS's Audio feature does, and the index that
      `prepare` writes), it is stored at this one.
    stored_rate: in Hz, of the stored samples, where the data set does not say
      it; by default `sample_rate`.
    audio_key: the feature with the samples; by default `speech` or `audio`.
    text_key: the feature with the transcript, or with a class whose name
      (or `label_texts`) is the transcript; by default `text` or `label`.
    label_texts: transcript of each class.
    field_pattern: (feature, regex): the groups of the regex, by name, are
      fields too, for example `('audio/filename', r'\d_(?P<speaker>\w+)_.*')`.
    partition: {split: (official split, field, regex)}: splits made of the
      records whose field matches as a whole; they replace the official ones.
    merge: {split: official splits}: further splits, each of several in a row.
    data_dir: the folder of all data sets; else $TFDS_DATA_DIR, else
      ~/tensorflow_datasets.

  Raises:
    MissingDataError: the data set is not there.
    UserError: it is there, but cannot be read so.
  """
  folder = find(dataset, default_data_dir(data_dir))
  layout = Layout.read(dataset, folder)
  audio_key = layout.choose('audio_key', audio_key, ('speech', 'audio'))
  text_key = layout.choose('text_key', text_key, ('text', 'label'))
  pattern = None
  if field_pattern is not None:
    feature, regex = field_pattern
    layout.choose('field_pattern', feature, ())
    pattern = (feature, _compiled(regex))
  decode = Decode(
    place=str(folder),
    audio_key=audio_key,
    dtype=layout.dtype(audio_key),
    encoding=layout.encoding(audio_key),
    stored_rate=layout.sample_rate(audio_key)
    or _prepared_rate(layout)
    or stored_rate
    or sample_rate,
    sample_rate=sample_rate,
    text_key=text_key,
    label_texts=tuple(label_texts) or layout.label_names(text_key),
    field_keys=layout.scalar_keys() - {audio_key, text_key},
    pattern=pattern,
  )
  return TfdsSpeech(
    dataset, layout, decode, dict(partition or {}), dict(merge or {})
  )


def _compiled(regex: str) -> re.Pattern:
  try:
    return re.compile(regex)
  except re.error as error:
    raise UserError(
      f"source: '{regex}' is no regular expression: {error}"
    ) from (error)


@dataclasses.dataclass(frozen=True)
class Decode:
  """Serialised examples to audio, text and fields; pickles.

  Attributes:
    place: the data set's folder, for messages.
    audio_key: feature of the samples.
    dtype: of the stored samples; int64 holds values of 16 bits, as TFDS's Audio
      feature has them.
    encoding: 'none', 'bytes' or 'zlib', how TFDS has stored the tensor.
    stored_rate: Hz.
    sample_rate: Hz, of what is handed out.
    text_key: feature of the transcript or class.
    label_texts: transcript of each class; () where it is a text.
    field_keys: features that become fields.
    pattern: (feature, regex) whose groups become fields.
  """

  place: str
  audio_key: str
  dtype: np.dtype
  encoding: str
  stored_rate: int
  sample_rate: int
  text_key: str
  label_texts: tuple[str, ...]
  field_keys: frozenset[str]
  pattern: tuple[str, re.Pattern] | None

  def samples(self, feature: Any) -> np.ndarray:
    """As stored: int16 `n` (or float32), at the stored rate."""
    value = feature[self.audio_key]
    if self.encoding in ('bytes', 'zlib') and value.bytes_list.value:
      data = value.bytes_list.value[0]
      try:
        data = zlib.decompress(data) if self.encoding == 'zlib' else data
        samples = np.frombuffer(data, self.dtype)
      except (zlib.error, ValueError) as e:
        raise UserError(
          f'a record of {self.place} is damaged ({e}): prepare the data set '
          'again.'
        ) from e
    elif self.dtype.kind == 'f':
      samples = np.array(value.float_list.value, np.float32)
    else:
      samples = np.array(value.int64_list.value, np.int64)
    if samples.dtype.kind == 'i':
      samples = samples.astype(np.int16)
    return samples

  def audio(self, feature: Any) -> np.ndarray:
    """float32 or int16 `n` at the rate handed out."""
    samples = self.samples(feature)
    if self.stored_rate == self.sample_rate:
      return samples
    wave = speech_records.to_float(samples)
    return resample(wave, self.stored_rate, self.sample_rate)

  def row(self, number: int, feature: Any) -> dict[str, Any]:
    """What the index says of one example; its samples are counted only."""
    stored = len(self.samples(feature))
    fields = {'id': str(number)}
    for key in sorted(self.field_keys):
      if key in feature:
        name = key.rsplit('/', 1)[-1]
        fields[_RENAMED.get(name, name)] = _string(feature[key])
    if self.pattern is not None:
      key, regex = self.pattern
      value = _string(feature[key])
      match = regex.fullmatch(value)
      if match is None:
        raise UserError(
          f"source.field_pattern does not match '{value}', the {key} of record "
          f'{number} of {self.place}'
        )
      fields |= match.groupdict()
    text = _string(feature[self.text_key])
    if self.label_texts:
      try:
        text = self.label_texts[int(text)]
      except (ValueError, IndexError):
        raise UserError(
          f"record {number} of {self.place} is damaged: its label '{text:.40}' "
          'is no class. Prepare the data set again.'
        ) from None
    samples = resampled_length(stored, self.stored_rate, self.sample_rate)
    return {'num_samples': samples, 'text': text, **fields}


def _string(feature: Any) -> str:
  for values in (feature.bytes_list.value, feature.int64_list.value):
    if values:
      v = values[0]
      is_bytes = isinstance(v, bytes)
      return v.decode(errors='backslashreplace') if is_bytes else str(v)
  values = feature.float_list.value
  return str(values[0]) if values else ''


@dataclasses.dataclass(frozen=True)
class TfdsSpeechRecords:
  """One official split, read and decoded record by record."""

  examples: Examples
  decode: Decode
  utterances: speech_records.Utterances

  in_memory: ClassVar[bool] = False

  def __len__(self) -> int:
    return len(self.utterances)

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    features = self.examples.take(ids)
    return [speech_records.to_float(self.decode.audio(f)) for f in features]


class TfdsSpeech:
  """A TFDS data set as a source; see `speech.records.SpeechSource`."""

  def __init__(
    self,
    dataset: str,
    layout: Layout,
    decode: Decode,
    partition: dict[str, tuple[str, str, str]],
    merge: dict[str, Sequence[str]],
  ):
    self.info = speech_records.SpeechInfo(
      layout.info['name'], decode.sample_rate
    )
    self._dataset, self._layout, self._decode = dataset, layout, decode
    self._partition, self._merge = partition, merge
    self._opened: dict[str, Any] = {}
    named = [
      *((f'partition.{k}', v[0]) for k, v in partition.items()),
      *((f'merge.{k}', name) for k, v in merge.items() for name in v),
    ]
    for key, official in named:
      if official not in layout.sizes():
        raise unknown_name(
          f'split of {dataset} in source.{key}', official, layout.sizes()
        )

  def sizes(self) -> dict[str, int]:
    if not self._partition:
      sizes = self._layout.sizes()
      merged = {k: sum(sizes[n] for n in v) for k, v in self._merge.items()}
      return {**sizes, **merged}
    return {split: len(self._members(split)) for split in self._partition}

  def records(self, split: str) -> Any:
    if split in self._merge:
      parts = tuple(self._official(name) for name in self._merge[split])
      return InARow(parts)
    if not self._partition:
      return self._official(split)
    if split not in self._partition:
      raise unknown_name(f'split of {self._dataset}', split, self._partition)
    base = self._official(self._partition[split][0])
    return Subset(base, self._members(split))

  def _members(self, split: str) -> np.ndarray:
    official, field, regex = self._partition[split]
    fields = self._official(official).utterances.fields
    if field not in fields:
      raise unknown_name(f'field in source.partition.{split}', field, fields)
    pattern = _compiled(regex)
    return np.flatnonzero([bool(pattern.fullmatch(v)) for v in fields[field]])

  def _official(self, split: str) -> Any:
    if split in self._opened:
      return self._opened[split]
    examples = self._layout.examples(split)
    shards = self._layout.shards(split)
    utterances = self._index(split, examples, shards)
    records = TfdsSpeechRecords(examples, self._decode, utterances)
    key = f'{_stamp(shards)}|{self._decode}'
    self._opened[split] = cache_waves(
      records, name=self.info.name, split=split, key=key
    )
    return self._opened[split]

  def _index(
    self, split: str, examples: Examples, shards: list[Path]
  ) -> speech_records.Utterances:
    """The length index: from beside the shards, the cache, or all records."""
    decode = self._decode
    if not decode.label_texts and decode.pattern is None:
      prepared = length_index.read(
        length_index.beside(self._layout.folder, split),
        sample_rate=decode.sample_rate,
        shards=shards,
      )
      if prepared is not None and len(prepared) == len(examples):
        return prepared
    digest = hashlib.sha256(f'{_stamp(shards)}|{decode}'.encode()).hexdigest()
    path = cache.cache_dir() / 'lengths' / f'{self.info.name}-{digest[:24]}.npz'
    found = length_index.read(path)
    if found is not None and len(found) == len(examples):
      return found

    def rows(start: int) -> list[dict[str, Any]]:
      ids = np.arange(start, min(start + _CHUNK, len(examples)))
      features = examples.take(ids)
      return [decode.row(int(i), f) for i, f in zip(ids, features, strict=True)]

    with concurrent.futures.ThreadPoolExecutor(cache.num_cores()) as pool:
      parts = list(pool.map(rows, range(0, len(examples), _CHUNK)))
    index = speech_records.make_utterances([r for part in parts for r in part])
    try:
      length_index.write(path, index)
    except OSError as error:
      logging.warning('The index of %s is not kept: %s.', split, error)
    return index

  def fingerprint(self) -> str:
    # Neither where the files are nor when they were copied.
    partition = sorted((k, list(v)) for k, v in self._partition.items())
    text = json.dumps(
      [
        self.info.name,
        self._layout.files(),
        self._decode.sample_rate,
        partition,
      ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _prepared_rate(layout: Layout) -> int | None:
  """The rate at which `prepare` has stored audio."""
  for split in layout.sizes():
    rate = length_index.read_sample_rate(
      length_index.beside(layout.folder, split)
    )
    if rate:
      return rate
  return None


def _stamp(shards: Sequence[Path]) -> str:
  return str([(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in shards])
