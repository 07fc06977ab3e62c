"""Recordings of small splits are decoded once, into an array that all map.

The arrays lie where those of `data.cache` do.
"""

import concurrent.futures
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from absl import logging

from recog_jax.data import cache
from recog_jax.data.speech import records as speech_records
from recog_jax.errors import UserError

_CHUNK = 64
_FILES = ('audio.npy', 'bad.json')


@dataclasses.dataclass(eq=False)
class MappedWaves:
  """A split in one .npy file, mapped when first used in each process.

  Attributes:
    utterances: the index of the split.
    file: int16, all recordings one after another.
    starts: int64 `n`, where each begins.
  """

  utterances: speech_records.Utterances
  file: Path
  starts: np.ndarray

  in_memory: ClassVar[bool] = True
  _audio: np.ndarray | None = dataclasses.field(
    default=None, init=False, repr=False
  )

  def __len__(self) -> int:
    return len(self.utterances)

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    if self._audio is None:
      # As a plain array: np.memmap's own look-ups are slower.
      self._audio = np.asarray(np.load(self.file, mmap_mode='r'))
    starts = self.starts[ids]
    stops = starts + self.utterances.num_samples[ids]
    return [
      speech_records.to_float(self._audio[i:k])
      for i, k in zip(starts.tolist(), stops.tolist(), strict=True)
    ]

  def __getstate__(self):
    return {**self.__dict__, '_audio': None}


def is_small(utterances: speech_records.Utterances) -> bool:
  """Whether a split is worth keeping whole: 18 hours at 16 kHz."""
  return 2 * int(utterances.num_samples.sum()) <= cache.SIZE_LIMIT


def cache_waves(
  records: speech_records.SpeechRecords, *, name: str, split: str, key: str
) -> speech_records.SpeechRecords:
  """The same records as an array, from the cache where it holds them.

  Audio is kept as int16: what lies between two of its steps is rounded (see
  `to_int16`), so a source that converts audio should round it as well, or a
  large split would differ from a small one. A split that is not `is_small` is
  returned as it is. Safe with several processes at once; a truncated or changed
  file is noticed by its checksum and made again. Where nothing can be written,
  the array stays in this process's memory.

  Args:
    records: records that decode in `take`.
    name: the data set's, for messages and the folder's name.
    split: the split's name.
    key: changes whenever the records do.

  Raises:
    UserError: a record that cannot be read or decoded.
  """
  if not is_small(records.utterances):
    return records
  return _cache(records, name, split, key, skip_bad=False)[0]


def cache_good_waves(
  records: speech_records.SpeechRecords, *, name: str, split: str, key: str
) -> tuple[speech_records.SpeechRecords, Mapping[int, str]]:
  """Like `cache_waves`, of a split of any size, but goes on at a bad record.

  Returns:
    The records that can be decoded, and of the others {number: what is wrong}.
  """
  return _cache(records, name, split, key, skip_bad=True)


def _cache(
  records: speech_records.SpeechRecords,
  name: str,
  split: str,
  key: str,
  *,
  skip_bad: bool,
) -> tuple[speech_records.SpeechRecords, Mapping[int, str]]:
  folder = cache.folder_for('waves', name, split, f'{key}|{split}|{skip_bad}')
  if not cache.is_sealed(folder, _FILES):
    logging.info('Decoding %d records of %s/%s.', len(records), name, split)
    audio, bad = _decode(records, skip_bad)
    files = {
      _FILES[0]: lambda f: np.save(f, audio),
      _FILES[1]: lambda f: f.write(json.dumps(bad).encode()),
    }
    try:
      cache.write_sealed(folder, files)
    except OSError as e:
      logging.warning(
        'Decoded audio is kept in memory, not in the cache: %s. '
        'RECOG_JAX_CACHE names another folder for it.',
        e,
      )
      good, starts = _good(records.utterances, bad)
      stops = starts + good.num_samples
      views = [audio[i:k] for i, k in zip(starts, stops, strict=True)]
      return speech_records.WaveRecords(good, views), bad
  noted = json.loads((folder / _FILES[1]).read_text())
  bad = {int(number): reason for number, reason in noted.items()}
  good, starts = _good(records.utterances, bad)
  return MappedWaves(good, folder / _FILES[0], starts), bad


def to_int16(audio: np.ndarray) -> np.ndarray:
  """float in [-1, 1] to 16 bits; what lies above, as resampling makes it, too.

  The inverse of `speech.records.to_float`, which it is for int16 bit for bit.
  """
  if audio.dtype == np.int16:
    return audio
  return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)


def _good(
  utterances: speech_records.Utterances, bad: Mapping[int, str]
) -> tuple[speech_records.Utterances, np.ndarray]:
  """The index without the bad records, and where each of the others begins."""
  lengths = np.asarray(utterances.num_samples, np.int64)
  starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
  if not bad:
    return utterances, starts
  ids = np.array([i for i in range(len(utterances)) if i not in bad], np.int64)
  return utterances.take(ids), starts[ids]


def _decode(
  records: speech_records.SpeechRecords, skip_bad: bool
) -> tuple[np.ndarray, dict[int, str]]:
  """All records one after another, by as many threads as there are cores."""
  lengths = np.asarray(records.utterances.num_samples, np.int64)
  stops = np.cumsum(lengths)
  audio = np.zeros(int(lengths.sum()), np.int16)
  bad: dict[int, str] = {}

  def fill(start: int):
    for i in range(start, min(start + _CHUNK, len(records))):
      try:
        (one,) = records.take(np.array([i]))
        if len(one) != lengths[i]:
          raise UserError(
            f'record {i} has {len(one)} samples, where {lengths[i]} were '
            'expected.'
          )
      except UserError as e:
        if not skip_bad:
          raise
        bad[i] = str(e)
        continue
      audio[stops[i] - lengths[i] : stops[i]] = to_int16(one)

  with concurrent.futures.ThreadPoolExecutor(cache.num_cores()) as pool:
    tasks = [pool.submit(fill, i) for i in range(0, len(records), _CHUNK)]
    try:
      for task in tasks:
        task.result()
    finally:
      pool.shutdown(cancel_futures=True)
  return audio, dict(sorted(bad.items()))
