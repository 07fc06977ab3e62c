"""What data are, of whatever modality: sources, their records, and batches.

A source is a data set as it lies somewhere: splits of numbered records. A data
class (`config.data.name`) is what an experiment makes of a source: which
records train, in which order, augmented how, in which batches. The engine sees
data classes alone, and they alone see sources. What is said here holds for all;
`data.image.records` and `data.speech.records` say what a record is.

A batch is a flat dict of arrays whose leading axis is `b`, its rows:

  index   int32 `b`: each row's number in its split
  valid   bool `b`: False on rows that only fill up a batch
  inputs  images: uint8 `b h w c`, 0..255, c is 1 (grey) or 3 (RGB)
          speech: float32 `b t f`, features of frames; or float32 `b n`, a
          waveform in -1..1 at the source's sample rate
  targets one class: int32 `b`, 0..v-1; several labels: float32 `b v`, 0 or 1,
          NaN where nobody knows;
          a number: float32 `b`; several numbers: float32 `b v`; in the units
          of the data set
          text: int32 `b u`, token ids

and of sequences besides:

  input_len    int32 `b`: frames (or samples) of each row, at most t (or n)
  target_len   int32 `b`: tokens of each row, at most u
  second_view  as `inputs`, where training asks for two augmentations

What lies behind a length is padding, and masks are made of lengths. Batches of
training are full. Those of evaluation cover a split once, and padding rows
repeat some record with `valid` False. Strings (file names, transcripts) stay on
the host and are found by `index`, see `Data.lookup`.
"""

import contextlib
import dataclasses
from collections.abc import (
  Callable,
  Hashable,
  Iterable,
  Iterator,
  Mapping,
  Sequence,
)
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recog_jax.answers import Span

Batch = dict[str, np.ndarray]
# Fields that name the person whom several records may be of; where the data
# have several of them, the first one does.
PERSONS = (
  *('speaker', 'speaker_id', 'client_id', 'patient', 'patient_id', 'subject'),
  *('subject_id', 'person', 'identity'),
)


def person_field(names: Iterable[str]) -> str | None:
  """Which of some fields names the person; None: none does."""
  known = set(names)
  return next((name for name in PERSONS if name in known), None)


# What names a model's outputs, in their order, in `Data.interface()`.
OUTPUTS = ('classes', 'numbers', 'tokens')
# Global rows of a batch -> those that this process loads, int `k`.
LocalRows = Callable[[int], np.ndarray]


class Info(Protocol):
  """What is known of data before a record is read; each modality adds to it.

  Attributes:
    name: the data set's name, for messages and cards.
  """

  @property
  def name(self) -> str: ...


class Records(Protocol):
  """One split, by record number. Instances pickle (they go to workers).

  Record numbers carry no meaning: neighbours are not of one class, so that a
  slice of the numbers is a fair sample.

  Attributes:
    in_memory: `take` is a look-up, so workers would only cost.
  """

  in_memory: bool

  def __len__(self) -> int: ...

  def take(self, ids: np.ndarray) -> Any:
    """The records of int64 `k` numbers, as the modality has them.

    Raises:
      UserError: a record that cannot be read or decoded, with file and number.
    """
    ...


def fields_of(records: Any, ids: np.ndarray) -> dict[str, list[str]]:
  """What a data set says of records beside their targets; {} where nothing.

  Args:
    records: may have a method `fields`, which gives it.
    ids: int `k` record numbers.

  Returns:
    k strings of each name.
  """
  if hasattr(records, 'fields'):
    return records.fields(ids)
  return {}


def names_of(records: Any, ids: np.ndarray) -> list[str]:
  """Names of records for people: those of their files, else their numbers.

  Args:
    records: may have a method `names`, which gives them.
    ids: int64 `k` record numbers.
  """
  if hasattr(records, 'names'):
    return records.names(ids)
  return [str(number) for number in ids]


class Source(Protocol):
  """A data set: splits by name.

  Made by a factory with the keys of `config.data.source` as keyword arguments,
  and, if it takes it, `data_dir`, where data sets are looked for. The factory
  may have an attribute `prepare`, a function of some of the same keys (or its
  `module:attribute`) that downloads or converts what is not there yet: one
  process calls it before the source is made, while the others wait. It leaves
  what is there as it is, so that the next run starts at once; without it
  nothing is done.

  Attributes:
    info: what is known of it.
  """

  info: Any

  def sizes(self) -> dict[str, int]:
    """Records of each official split, for example {'train': 50000}."""
    ...

  def records(self, split: str) -> Any:
    """An official split's `Records` (slices are cut by `data.splits`).

    Raises:
      UserError: no such split; the ones there are, are listed.
    """
    ...

  def fingerprint(self) -> str:
    """Changes if the records change (files' names and sizes, or the seed)."""
    ...


class Data(Protocol):
  """What the engine asks of data.

  Made by a factory with the keys of `config.data` as keyword arguments, and
  `source` (built), `seed` and `data_dir`. It may have a method `interface()`:
  JSON that says what a model's inputs and outputs mean (`classes`, `numbers` or
  `tokens` in their order, and whatever else must be equal where the model is
  used); a workdir keeps it, and other data are compared with it.

  The factory may have an attribute `stand_in`: (`config.data`, data set's name)
  -> sentences, which puts published sizes in the place of a source whose files
  are not here, for `plan`. And an attribute `reader`: (`config.data`, `Kept`)
  -> `Reader`, for which a method `kept()` gives what of the data is kept.

  Attributes:
    info: what a task needs to know; goes to its factory.
    eval_batch_size: global rows of an evaluation batch.
  """

  info: Any
  eval_batch_size: int

  @property
  def batch_size(self) -> float:
    """Mean global rows of a training batch."""
    ...

  @property
  def batch_sizes(self) -> Sequence[int]:
    """All numbers of global rows that training batches have."""
    ...

  @property
  def steps_per_epoch(self) -> float:
    """Training batches that see each record once; not rounded."""
    ...

  @property
  def splits(self) -> Sequence[str]:
    """Those that the config names: `train`, `val`, mostly `test`."""
    ...

  def for_model(self, module: Any) -> 'Data':
    """The same data for a model that is built by now.

    Of speech, `module.out_len(frames)` decides which utterances have enough
    outputs for their text; of images nothing changes.

    Raises:
      UserError: the model is of another modality.
    """
    ...

  def size(self, split: str) -> int:
    """Number of examples of a split in evaluation."""
    ...

  def batch_kinds(self) -> list[tuple[int, int, float]]:
    """For each batch shape a step that has it, its rows, its steps an epoch."""
    ...

  def fingerprint(self) -> dict[str, Any]:
    """What the order of training batches depends on; JSON.

    A run continues on data of the same fingerprint only.
    """
    ...

  def describe(self, workdir: Path) -> list[str]:
    """Lines for the start of a training; files may go to the workdir."""
    ...

  def train(
    self,
    local_rows: LocalRows,
    *,
    start_step: int,
    stop_step: int,
    total_steps: int,
  ) -> contextlib.AbstractContextManager[Iterator[Batch]]:
    """Local training batches of steps [start_step, stop_step).

    A batch is a function of the seed and its step alone, however many processes
    load it and wherever a run began.

    Args:
      local_rows: which rows of a global batch are loaded here.
      start_step: first step.
      stop_step: first step that is not made.
      total_steps: the run's length, for augmentation that grows with progress.
    """
    ...

  def evaluation(
    self, split: str, local_rows: LocalRows, batch_size: int
  ) -> contextlib.AbstractContextManager[Iterator[Batch]]:
    """Local batches that cover a split once; the last one is padded."""
    ...

  def lookup(self, split: str) -> Callable[[np.ndarray], dict[str, Any]]:
    """int `k` numbers of a split -> what only the host knows of the examples.

    Images: `image` as evaluation sees it, and `label`; its method `names`
    gives the names of their files alone. Speech: `text` (normalised) and
    `fields` (id, speaker, ...), lists of strings.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Kept:
  """What a workdir keeps of its data, so that it opens without them.

  Attributes:
    facts: JSON.
    files: contents by name, of what the config names by path.
  """

  facts: Mapping[str, Any]
  files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Piece:
  """What a model takes of something that people give it: all, or a part.

  Attributes:
    data: a picture uint8 `h w c`, or a waveform float32 `n`.
    span: of a recording, which part this is.
  """

  data: np.ndarray
  span: Span = Span()


class Reader(Protocol):
  """Reads what people give a trained model, as evaluation reads its split.

  Instances are used by several threads at once.

  Attributes:
    info: as `Data.info`, for the task's factory.
    modality: 'images' or 'speech'.
    suffixes: of the files that are taken from a folder, lower case.
  """

  info: Any
  modality: str
  suffixes: tuple[str, ...]

  def read(self, thing: Any) -> Iterator[Piece]:
    """The pieces of a file, an array, or an open file, one after another.

    Raises:
      UserError: it cannot be read, or is nothing for this model.
    """
    ...

  def group(self, piece: Piece) -> Hashable:
    """Pieces of one group can be in one batch."""
    ...

  def rows(self, group: Hashable) -> int:
    """The most pieces of a group that are worth having in one batch."""
    ...

  def batch(self, pieces: Sequence[Piece], group: Hashable) -> Batch:
    """The batch of some pieces of one group; without targets."""
    ...
