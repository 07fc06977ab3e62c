"""What every source of speech offers, whatever the recordings are stored in."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from recog_jax.data import base
from recog_jax.data.cache import Mapped
from recog_jax.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class SpeechInfo:
  """What is known of a set of recordings before any of them is read.

  Attributes:
    name: the data set's name, for messages and cards.
    sample_rate: in Hz, of all audio that the source hands out.
    grouped: splits keep groups (speakers) whole, which slices of them would
      part.
  """

  name: str
  sample_rate: int
  grouped: bool = dataclasses.field(default=False, repr=False)


@dataclasses.dataclass(frozen=True)
class SpeechTaskInfo:
  """What a task needs to know of speech data.

  Attributes:
    name: the data set's name.
    tokenizer: between ids and text.
    features: how features are computed, where the device does it.
    hop_s: seconds between frames.
    labels_of_splits: gives the distinct texts of each split that the config
      names, by its notation; None where there are no data.
    labels: classes by field, see `labels.Labels`; {} where there are none.
  """

  name: str
  tokenizer: Tokenizer
  features: Any
  hop_s: float
  labels_of_splits: Callable[[], Mapping[str, Sequence[str]]] | None = (
    dataclasses.field(default=None, repr=False, compare=False)
  )
  labels: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Utterances:
  """The index of a split: all that is known of it without decoding audio.

  Attributes:
    num_samples: int64 `n`, lengths at the source's sample rate.
    text: n transcripts, as the data set has them.
    fields: other strings of each utterance, n of each name: `id` always, and
      what the set has of `speaker`, `gender`, `lang` and others.
  """

  num_samples: np.ndarray
  text: Sequence[str]
  fields: Mapping[str, Sequence[str]]

  def __len__(self) -> int:
    return len(self.num_samples)

  def take(self, ids: np.ndarray) -> 'Utterances':
    """The index of some records, in the order of `ids` (int `k`)."""
    ids = [int(i) for i in ids]
    return Utterances(
      np.asarray(self.num_samples, np.int64)[ids],
      [self.text[i] for i in ids],
      {k: [v[i] for i in ids] for k, v in self.fields.items()},
    )


class SpeechRecords(base.Records, Protocol):
  """One split of recordings; see `data.base.Records`.

  Attributes:
    utterances: the index of the split.
  """

  utterances: Utterances

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    """The audio of int64 `k` records.

    Returns:
      k arrays, float32 `n`, mono, in [-1, 1], at the source's sample rate.

    Raises:
      UserError: a record that cannot be read or decoded, with file and number.
    """
    ...


class SpeechSource(base.Source, Protocol):
  """A set of recordings; see `data.base.Source`."""

  info: SpeechInfo

  def records(self, split: str) -> SpeechRecords: ...


@dataclasses.dataclass(frozen=True)
class Waves:
  """Recordings one after another in one array, as a sequence of arrays.

  Attributes:
    audio: int16 or float32, all of them.
    starts: int64 `n`, where each begins.
    stops: int64 `n`, where each ends.
  """

  audio: np.ndarray | Mapped
  starts: np.ndarray
  stops: np.ndarray

  def __len__(self) -> int:
    return len(self.starts)

  def __getitem__(self, number: int) -> np.ndarray:
    return self.audio[self.starts[number] : self.stops[number]]


@dataclasses.dataclass(frozen=True)
class WaveRecords:
  """A split whose recordings lie decoded in memory, or in a mapped file.

  Attributes:
    utterances: the index of the split.
    audio: n arrays, int16 or float32 `n`; int16 is scaled by 2**-15.
  """

  utterances: Utterances
  audio: Sequence[np.ndarray] | Waves

  in_memory: ClassVar[bool] = True

  def __len__(self) -> int:
    return len(self.utterances)

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    return [to_float(self.audio[int(i)]) for i in ids]


def concatenate(parts: Sequence[Utterances]) -> Utterances:
  """The index of several splits in a row; fields that all of them have."""
  names = [k for k in parts[0].fields if all(k in p.fields for p in parts)]
  return Utterances(
    np.concatenate([p.num_samples for p in parts]),
    [t for p in parts for t in p.text],
    {k: [v for p in parts for v in p.fields[k]] for k in names},
  )


def to_float(audio: np.ndarray) -> np.ndarray:
  """float32 in [-1, 1]: integers of n bits are scaled by 2**(1 - n)."""
  if audio.dtype == np.int16:
    return audio.astype(np.float32) * np.float32(2.0**-15)
  if audio.dtype == np.int32:
    return (audio * 2.0**-31).astype(np.float32)
  return np.asarray(audio, np.float32)


def make_utterances(rows: Sequence[Mapping[str, Any]]) -> Utterances:
  """An index from rows with `num_samples`, `text` and strings."""
  names = [k for k in (rows[0] if rows else ()) if k not in _OWN]
  return Utterances(
    np.array([r['num_samples'] for r in rows], np.int64),
    [r['text'] for r in rows],
    {k: [str(r[k]) for r in rows] for k in names},
  )


_OWN = ('num_samples', 'text')
