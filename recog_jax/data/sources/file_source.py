"""Recordings in audio files, whatever lists them; see `corpora`.

The lengths of a split come from the files' headers, once: they are kept in the
cache until a file's size or time changes.
"""

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recog_jax.data import cache
from recog_jax.data.sources import bad_records
from recog_jax.data.sources.speech_listing import CountedSizes, Entry, Listing
from recog_jax.data.speech import codecs, containers
from recog_jax.data.speech import records as speech_records
from recog_jax.data.speech.cache import cache_waves, good_waves
from recog_jax.errors import UserError, unknown_name, warn

_MOST_HZ = 1_000_000


@dataclasses.dataclass(frozen=True)
class FileRecords:
  """Utterances that are decoded when they are taken.

  Attributes:
    utterances: their index.
    paths: n files.
    offsets: float64 `n`, in seconds.
    durations: float64 `n`, in seconds; inf is up to the file's end.
    sample_rate: in Hz, of what is handed out.
  """

  utterances: speech_records.Utterances
  paths: Sequence[str]
  offsets: np.ndarray
  durations: np.ndarray
  sample_rate: int

  in_memory: ClassVar[bool] = False

  def __len__(self) -> int:
    return len(self.utterances)

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    return [self._one(int(i)) for i in ids]

  def _one(self, number: int) -> np.ndarray:
    duration = float(self.durations[number])
    audio = codecs.decode(
      self.paths[number],
      self.sample_rate,
      offset=float(self.offsets[number]),
      duration=None if np.isinf(duration) else duration,
    )
    expected = int(self.utterances.num_samples[number])
    if len(audio) != expected:
      raise UserError(
        f'{self.paths[number]} (record {number}) has {len(audio)} samples, '
        f'where its header had {expected}: it has changed.'
      )
    return audio


class FileSource:
  """Audio files as a source; see `speech.records.SpeechSource`.

  Bad records (unreadable or empty audio, no transcript, a wrong line) are left
  out and listed up to `max_bad_share` of a split, and stop above it. Small
  splits are decoded once and kept (`speech.cache`); with a share, large ones
  are decoded once to find the bad recordings, which a header does not show.
  """

  def __init__(
    self,
    name: str,
    splits: Mapping[str, Listing],
    *,
    sample_rate: int,
    max_bad_share: float = 0.0,
  ):
    """Lists what there is; no audio file is opened.

    Args:
      name: the data set's name.
      splits: what each split holds.
      sample_rate: in Hz, of what is handed out.
      max_bad_share: share of a split's records that may be bad.

    Raises:
      UserError: a rate or share that cannot be, or a split without a record.
    """
    bad_records.check_share(max_bad_share)
    if not 0 < sample_rate <= _MOST_HZ:
      raise UserError(
        f'sample_rate must be above 0 and at most {_MOST_HZ}, not '
        f'{sample_rate}.'
      )
    for split, listing in splits.items():
      if not listing.entries and not listing.bad:
        raise UserError(f"split '{split}' of {name} holds no record.")
    self.info = speech_records.SpeechInfo(name, sample_rate)
    self._splits, self._max_bad_share = dict(splits), max_bad_share
    self._listed: dict[str, tuple[FileRecords, list[str]]] = {}
    self._opened: dict[str, speech_records.SpeechRecords] = {}
    self._told: set[str] = set()
    self._stats: dict[str, tuple[int, int]] = {}

  @property
  def splits(self) -> tuple[str, ...]:
    return tuple(self._splits)

  def sizes(self) -> Mapping[str, int]:
    """Records of each split; a split is opened when its size is asked for."""
    return CountedSizes(self)

  def records(self, split: str) -> speech_records.SpeechRecords:
    if split not in self._opened:
      self._opened[split] = self._open(split)
    return self._opened[split]

  def fingerprint(self) -> str:
    state = hashlib.sha256(str(self.info).encode())
    for split, listing in sorted(self._splits.items()):
      stats = self._stat([e.path for e in listing.entries])
      for e in listing.entries:
        row = [
          split,
          e.text,
          sorted(e.fields.items()),
          e.offset,
          e.duration,
          stats[e.path][0],
        ]
        state.update(json.dumps(row).encode())
    return state.hexdigest()

  def listed(self, split: str) -> tuple[FileRecords, list[str]]:
    """The records whose headers can be read, and what is wrong with others.

    Raises:
      UserError: no such split; the ones there are, are listed.
    """
    if split not in self._splits:
      raise unknown_name(f'split of {self.info.name}', split, self._splits)
    if split not in self._listed:
      self._listed[split] = self._list(split)
    return self._listed[split]

  def _list(self, split: str) -> tuple[FileRecords, list[str]]:
    listing, rate = self._splits[split], self.info.sample_rate
    paths = list(dict.fromkeys(e.path for e in listing.entries))
    stats = self._stat(paths)
    headers, reasons = _headers(
      self.info.name, split, paths, [stats[path] for path in paths]
    )
    number = {path: i for i, path in enumerate(paths)}
    bad, good, lengths = list(listing.bad), [], []
    for entry in listing.entries:
      at = number[entry.path]
      reason = reasons.get(at)
      try:
        if reason is not None:
          raise UserError(reason)
        lengths.append(_samples(entry, *headers[at, :2].tolist(), rate))
        good.append(entry)
      except UserError as e:
        bad.append(str(e))
    self._tell(headers[[i for i in range(len(paths)) if i not in reasons]])
    durations = [np.inf if e.duration is None else e.duration for e in good]
    records = FileRecords(
      _utterances(good, lengths),
      [e.path for e in good],
      np.array([e.offset for e in good], np.float64),
      np.array(durations, np.float64),
      rate,
    )
    return records, bad

  def _tell(self, headers: np.ndarray):
    """Says once of what kind of file there are any that must be converted."""
    rates = Counter(headers[:, 1].tolist())
    rates.pop(self.info.sample_rate, None)
    channels = Counter(headers[:, 2].tolist())
    channels.pop(1, None)
    if rates and 'rate' not in self._told:
      named = ', '.join(str(r) for r in sorted(rates))
      warn(
        f'{self.info.name}: files of {named} Hz are resampled to '
        f'{self.info.sample_rate} Hz.'
      )
      self._told.add('rate')
    if channels and 'channels' not in self._told:
      named = ', '.join(str(c) for c in sorted(channels))
      warn(
        f'{self.info.name}: of files with {named} channels the mean is used.'
      )
      self._told.add('channels')

  def _open(self, split: str) -> speech_records.SpeechRecords:
    records, bad = self.listed(split)
    bad, key = list(bad), self._key(records)
    listing = cache.folder_for('bad', self.info.name, split, key)

    def judge(quiet: bool):
      bad_records.leave_out(
        bad,
        total,
        self._max_bad_share,
        what=f'{self.info.name}/{split}',
        listing=listing.with_suffix('.txt'),
        quiet=quiet,
      )

    total = len(records) + len(bad)
    judge(quiet=True)  # Before hours are spent on decoding the others.
    options = {'name': self.info.name, 'split': split, 'key': key}
    result = records
    if self._max_bad_share:
      result, found = good_waves(records, **options)
      bad += found
    else:
      try:
        result = cache_waves(records, **options)
      except UserError as e:
        bad.append(str(e))
    judge(quiet=False)
    return result

  def _key(self, records: FileRecords) -> str:
    """Changes whenever what is decoded may."""
    import soundfile
    import soxr

    stats = self._stat(records.paths)
    state = hashlib.sha256()
    state.update(json.dumps([[p, stats[p]] for p in records.paths]).encode())
    for array in (records.offsets, records.durations):
      state.update(array.tobytes())
    versions = (
      soundfile.__libsndfile_version__,
      soxr.__version__,
      containers.VERSION,
    )
    return f'{state.hexdigest()}|{self.info}|{versions}'

  def _stat(self, paths: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Size and time of each file, asked for once; -1 where there is none."""
    for path in paths:
      if path not in self._stats:
        try:
          found = os.stat(path)  # noqa: PTH116, millions of paths are strings
          self._stats[path] = found.st_size, found.st_mtime_ns
        except (OSError, ValueError):  # ValueError: no path can be that.
          self._stats[path] = -1, -1
    return self._stats


def _utterances(
  entries: Sequence[Entry], lengths: Sequence[int]
) -> speech_records.Utterances:
  """Their index; a field that some have is empty for the others."""
  names = dict.fromkeys(name for e in entries for name in e.fields)
  return speech_records.Utterances(
    np.array(lengths, np.int64),
    [e.text for e in entries],
    {
      # Names of files may hold what is no UTF-8, and cannot be written.
      name: [_written(e.fields.get(name, '')) for e in entries]
      for name in names
    },
  )


def _written(text: str) -> str:
  data = text.encode(errors='surrogateescape')
  return data.decode(errors='backslashreplace')


def _samples(entry: Entry, frames: int, file_rate: int, rate: int) -> int:
  """The utterance's length when it is decoded.

  Raises:
    UserError: there is no audio or no text.
  """
  if not entry.text:
    raise UserError(f'{entry.path} has an empty transcript.')
  _, count = codecs.segment(
    entry.path, frames, file_rate, entry.offset, entry.duration
  )
  samples = codecs.resampled_length(count, file_rate, rate)
  if not samples:
    raise UserError(f'{entry.path} holds no audio.')
  return samples


def _headers(
  name: str, split: str, paths: Sequence[str], stats: Sequence[Any]
) -> tuple[np.ndarray, dict[int, str]]:
  """Frames, rate and channels of each file (int64 `n 3`), from the cache.

  Also what is wrong with the files that cannot be read, by number.
  """
  import soundfile

  versions = soundfile.__libsndfile_version__, containers.VERSION
  stamp = json.dumps([versions, paths, stats])
  folder = cache.folder_for('headers', name, split, stamp)

  def read_all() -> dict[str, np.ndarray]:
    headers = np.zeros((len(paths), 3), np.int64)

    def read(number: int):
      headers[number] = dataclasses.astuple(codecs.read_info(paths[number]))

    # More threads than cores: headers are waited for rather than computed.
    bad = cache.in_threads(
      len(paths), read, skip_bad=True, threads=4 * cache.num_cores()
    )
    return {'headers': headers, 'bad': bad}

  found = cache.made_once(folder, ('headers', 'bad'), read_all)
  return found['headers'][...], cache.reasons(found['bad'])
