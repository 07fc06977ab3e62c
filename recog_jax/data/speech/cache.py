"""Recordings of small splits are decoded once, into an array that all map."""

import numpy as np
from absl import logging

from recog_jax.data import cache
from recog_jax.data.speech import records as speech_records
from recog_jax.data.splits import Subset
from recog_jax.errors import UserError


def cache_waves(
  records: speech_records.SpeechRecords, *, name: str, split: str, key: str
) -> speech_records.SpeechRecords:
  """The same records as an array, from the cache where it holds them.

  Audio is kept as int16: what lies between two of its steps is rounded (see
  `to_int16`), so a source that converts audio should round it as well, or a
  large split would differ from a small one. A split of more than 18 hours at
  16 kHz is returned as it is.

  Args:
    records: records that decode in `take`.
    name: the data set's, for messages and the folder's name.
    split: the split's name.
    key: changes whenever the records do.

  Raises:
    UserError: a record that cannot be read or decoded.
  """
  if not _is_small(records):
    return records
  return _decoded(records, name, split, key, skip_bad=False)[0]


def good_waves(
  records: speech_records.SpeechRecords, *, name: str, split: str, key: str
) -> tuple[speech_records.SpeechRecords, list[str]]:
  """Like `cache_waves`, without the records that cannot be decoded.

  Of a large split they are found by decoding all records once.

  Returns:
    The records that can be decoded, and what is wrong with the others.
  """
  found, bad = _decoded(records, name, split, key, skip_bad=True)
  if bad:
    good = [i for i in range(len(records)) if i not in bad]
    found = Subset(found, np.array(good, np.int64))
  return found, list(bad.values())


def _is_small(records: speech_records.SpeechRecords) -> bool:
  samples = int(records.utterances.num_samples.sum())
  return 2 * samples <= cache.SIZE_LIMIT


def _decoded(
  records: speech_records.SpeechRecords,
  name: str,
  split: str,
  key: str,
  *,
  skip_bad: bool,
) -> tuple[speech_records.SpeechRecords, dict[int, str]]:
  """Decoded where they are small, and what is wrong with bad ones."""
  small = _is_small(records)
  names = ('audio', 'bad') if small else ('bad',)
  arrays = cache.made_once(
    cache.folder_for('waves', name, split, f'{key}|{split}|{skip_bad}|{small}'),
    names,
    lambda: _decode(records, f'{name}/{split}', skip_bad, small),
  )
  bad = cache.reasons(arrays['bad'])
  if not small:
    return records, bad
  lengths = np.asarray(records.utterances.num_samples, np.int64)
  stops = np.cumsum(lengths)
  audio = speech_records.Waves(arrays['audio'], stops - lengths, stops)
  return speech_records.WaveRecords(records.utterances, audio), bad


def _decode(
  records: speech_records.SpeechRecords, name: str, skip_bad: bool, keep: bool
) -> dict[str, np.ndarray]:
  """All records one after another, by as many threads as there are cores."""
  logging.info('Decoding %d records of %s.', len(records), name)
  lengths = np.asarray(records.utterances.num_samples, np.int64)
  stops = np.cumsum(lengths)
  audio = np.zeros(int(lengths.sum()) if keep else 0, np.int16)

  def fill(i: int):
    (one,) = records.take(np.array([i]))
    if len(one) != lengths[i]:
      raise UserError(
        f'record {i} has {len(one)} samples, where {lengths[i]} were expected.'
      )
    if keep:
      audio[stops[i] - lengths[i] : stops[i]] = to_int16(one)

  bad = cache.in_threads(len(records), fill, skip_bad=skip_bad)
  return {'audio': audio, 'bad': bad}


def to_int16(audio: np.ndarray) -> np.ndarray:
  """float in [-1, 1] to 16 bits; what lies above, as resampling makes it, too.

  The inverse of `speech.records.to_float`, which it is for int16 bit for bit.
  """
  if audio.dtype == np.int16:
    return audio
  return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)
