"""Makes a batch of speech: audio, speed, features, augmentation, targets."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data.base import Batch
from recog_jax.data.draws import Draws
from recog_jax.data.speech import augment as audio
from recog_jax.data.speech.order import Rows
from recog_jax.data.speech.told import Told
from recog_jax.errors import UserError
from recog_jax.features.cepstra import global_cmvn
from recog_jax.text.aggregate import encoders


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded:
  """Texts as token ids, one after another.

  Attributes:
    ids: int32, of all texts.
    starts: int64 `n + 1`, where each begins; the last one is the end.
    separators: ids before a text that is joined to another one, of each kind.
    kind: int64 `n`, which of them each text has.
    repeats: int64 `n`, equal neighbours within each text.
  """

  ids: np.ndarray
  starts: np.ndarray
  separators: tuple[np.ndarray, ...]
  kind: np.ndarray
  repeats: np.ndarray

  @staticmethod
  def of(
    texts: Sequence[str],
    tokenizer: Any,
    fields: Mapping[str, Sequence[str]] = {},
  ) -> 'Encoded':
    """Encodes texts.

    Args:
      texts: n, normalised.
      tokenizer: one of several languages encodes each text by its own; one with
        `language_tokens` puts a symbol in front of each text.
      fields: n strings of each name; `lang` says the language.

    Raises:
      UserError: the tokenizer lacks a language, or there is no such field.
    """
    try:
      each = encoders(tokenizer, fields, len(texts))
    except ValueError as error:
      raise UserError(str(error)) from error
    ids = [one.encode(text) for one, text in zip(each, texts, strict=True)]
    if hasattr(tokenizer, 'prefix'):
      ids = _behind_languages(ids, tokenizer, fields)
    rows = [np.array(row, np.int32) for row in ids]
    kinds = {id(one): one for one in each}
    numbers = {name: i for i, name in enumerate(kinds)}
    starts = np.cumsum([0, *(len(r) for r in rows)])
    return Encoded(
      np.concatenate([np.empty(0, np.int32), *rows]),
      starts,
      tuple(np.array(one.encode(' '), np.int32) for one in kinds.values()),
      np.array([numbers[id(one)] for one in each], np.int64),
      np.array([int((r[1:] == r[:-1]).sum()) for r in rows], np.int64),
    )

  @property
  def lengths(self) -> np.ndarray:
    return np.diff(self.starts)

  @property
  def separator_lengths(self) -> np.ndarray:
    """int64 `n`: ids before each text, where it is joined to another one."""
    return np.array([len(s) for s in self.separators], np.int64)[self.kind]

  def joined(self, parts: np.ndarray) -> np.ndarray:
    """Ids of some texts in a row (record numbers int64 `j`)."""
    pieces: list[np.ndarray] = []
    for i in parts:
      separator = self.separators[self.kind[i]]
      pieces += [separator, self.ids[self.starts[i] : self.starts[i + 1]]]
    return np.concatenate(pieces[1:])


def _behind_languages(
  ids: Sequence[Sequence[int]],
  tokenizer: Any,
  fields: Mapping[str, Sequence[str]],
) -> list[list[int]]:
  """Texts with the symbol of their language in front, unless they are empty."""
  if 'lang' not in fields:
    raise UserError(
      'config.data.tokenizer.language_tokens takes the language of an '
      'utterance from the field `lang`, which the data set has not: leave it '
      'out, or name the language in config.data.lang'
    )
  try:
    codes = {lang: tokenizer.prefix(lang) for lang in {*fields['lang']}}
  except ValueError as error:
    raise UserError(str(error)) from error
  return [
    [codes[lang], *row] if row else []
    for row, lang in zip(ids, fields['lang'], strict=True)
  ]


@dataclasses.dataclass(frozen=True, eq=False)
class Normaliser:
  """(frames - mean) / std with statistics of the corpus, float32 `f`."""

  mean: np.ndarray
  std: np.ndarray

  @staticmethod
  def read(path: str | None, data_dir: Any) -> 'Normaliser | None':
    """Reads what `prepare --cmvn` has written; None for no path.

    Raises:
      UserError: no such file, or another content.
    """
    if path is None:
      return None
    file = Path(data_dir or '.').expanduser() / path
    try:
      found = json.loads(file.read_text())
      mean, std = (np.array(found[k], np.float32) for k in ('mean', 'std'))
    except (OSError, ValueError, KeyError, TypeError) as error:
      raise UserError(
        f'config.data.cmvn: {file} holds no mean and std ({error!r}): make it '
        'with `python -m recog_jax.prepare --cmvn`'
      ) from error
    return Normaliser(mean, std)


@dataclasses.dataclass(frozen=True, eq=False)
class MakeSpeechBatch:
  """A `pipeline.Maker` of speech; see there.

  Attributes:
    records: of the official split.
    first: number of its record that is record 0 here.
    order: which items a step sees.
    encoded: target tokens.
    features: waveforms to frames.
    normaliser: applied to features; None: they are as they are.
    rows: {global rows of a batch: those that this process loads}.
    deliver: `features` or `waveform`.
    augment: on waveforms and features; None in evaluation.
    views: 2: a second augmentation of the same rows is `second_view`.
    chunks: elements per step.
    start_step: the step of element 0.
    total_steps: the run's length.
    seed: of the augmentation's draws.
    labels: int32 `n m` of the records, see `split.Split`; None: there are none.
    told: the language of the records; None: the model is not told.
  """

  records: Any
  first: int
  order: Any
  encoded: Encoded
  features: Any
  normaliser: Normaliser | None
  rows: Mapping[int, np.ndarray]
  deliver: str
  augment: Any = None
  views: int = 1
  chunks: int = 1
  start_step: int = 0
  total_steps: int = 1
  seed: int = 0
  labels: np.ndarray | None = None
  told: Told | None = None

  @property
  def in_memory(self) -> bool:
    return self.records.in_memory

  @property
  def most_rows(self) -> int:
    return max(len(r) for r in self.rows.values())

  @property
  def step_bytes(self) -> int:
    """Of the largest shape."""
    wide = self.features.dim
    if self.deliver == 'waveform':
      wide = self.features.hop_len
    frames = (len(self.rows[b.rows]) * b.frames for b in self.order.buckets)
    return max(frames) * self.views * wide * 4

  def _chooser(self, chunk: int) -> Callable[[int], np.ndarray]:
    return lambda b: np.array_split(self.rows[b], self.chunks)[chunk]

  def __call__(self, element: int) -> Batch:
    step, chunk = divmod(int(element), self.chunks)
    step += self.start_step
    rows = self.order.rows(step, self._chooser(chunk))
    progress = step / self.total_steps
    draws = [
      Draws(self.seed, rows.epoch, rows.index, progress, view)
      for view in range(self.views)
    ]
    inputs, lens = self._inputs(self.waves(rows), rows, draws)
    targets, target_len = self._targets(rows)
    more, first = {}, rows.items.parts[:, 0]
    if self.labels is not None:  # Of what is joined, those of the first.
      more['labels'] = self.labels[first]
    if self.told is not None:
      more['language'] = self.told(first, draws[0])
    return {
      **dict(zip(('inputs', 'second_view'), inputs, strict=False)),
      'input_len': lens,
      'targets': targets,
      'target_len': target_len,
      'index': rows.index.astype(np.int32),
      'valid': rows.valid,
      **more,
    }

  def waves(self, rows: Rows) -> list[np.ndarray]:
    """float32 `n` of each item: its parts and pauses in a row, at its speed."""
    parts = rows.items.parts
    there = parts >= 0
    taken = self.records.take(parts[there] + self.first)
    ends = np.cumsum(there.sum(1))
    waves = []
    for end, count, pauses, factor in zip(
      ends, there.sum(1), rows.items.pauses, rows.items.factor, strict=True
    ):
      wave = _in_a_row(taken[end - count : end], pauses)
      waves.append(audio.perturb_speed(wave, float(factor)))
    return waves

  def _inputs(
    self, waves: list[np.ndarray], rows: Rows, draws: Sequence[Draws]
  ) -> tuple[list[np.ndarray], np.ndarray]:
    """The inputs of each view, and their lengths, which are those of all."""
    lens = np.array([len(w) for w in waves], np.int64)
    views = [waves]
    if self.augment is not None and self.augment.wave_ops:
      views = [self.augment.on_waves(waves, d) for d in draws]
    if self.deliver == 'waveform':
      width = self.features.hop_len * rows.bucket.frames
      width += self.features.window_len
      inputs = [padded(view, width) for view in views]
      return _each(inputs, len(draws)), lens.astype(np.int32)
    # Views whose waves are the same have one computation of features.
    computed = [self._frames(view, lens) for view in views]
    frame_len = computed[0][1]
    inputs = []
    for (found, _), d in zip(_each(computed, len(draws)), draws, strict=True):
      if self.augment is not None:
        found = self.augment.on_frames(found, frame_len, d)
      wide = np.zeros(
        (len(waves), rows.bucket.frames, found.shape[2]), np.float32
      )
      wide[:, : found.shape[1]] = found
      inputs.append(wide)
    return inputs, np.asarray(frame_len, np.int32)

  def _frames(
    self, waves: Sequence[np.ndarray], lens: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Normalised features `b t f` and their lengths `b`."""
    if not len(waves):  # A worker's part of a batch of fewer rows than workers.
      return np.zeros((0, 0, self.features.dim), np.float32), lens
    found, frame_len = self.features(padded(waves, int(lens.max())), lens)
    if self.normaliser is not None:
      mean, std = self.normaliser.mean, self.normaliser.std
      found = global_cmvn(found, frame_len, mean, std)
    return found, frame_len

  def _targets(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    found = [self.encoded.joined(row[row >= 0]) for row in rows.items.parts]
    targets = np.zeros((len(found), rows.bucket.tokens), np.int32)
    for row, ids in zip(targets, found, strict=True):
      row[: len(ids)] = ids
    return targets, np.array([len(ids) for ids in found], np.int32)


def _in_a_row(waves: Sequence[np.ndarray], pauses: np.ndarray) -> np.ndarray:
  """Waves with so many zeros before each one and behind the last one."""
  if len(waves) == 1 and not pauses.any():
    return waves[0]
  silent = [np.zeros(n, np.float32) for n in pauses[: len(waves) + 1]]
  pieces = [silent[0]]
  for wave, behind in zip(waves, silent[1:], strict=True):
    pieces += [wave, behind]
  return np.concatenate(pieces)


def _each(shared: list, views: int) -> list:
  """One for each view, where there is one or one for all."""
  return shared if len(shared) == views else shared * views


def padded(waves: Sequence[np.ndarray], width: int) -> np.ndarray:
  """float32 `b width` of waves `n`, with zeros behind."""
  result = np.zeros((len(waves), width), np.float32)
  for row, wave in zip(result, waves, strict=True):
    row[: len(wave)] = wave
  return result


def check_delivered(deliver: str, changed: bool) -> None:
  """Raises UserError for what cannot be delivered.

  Args:
    deliver: of the config.
    changed: whether features are masked, or normalised by statistics.
  """
  if deliver not in ('features', 'waveform'):
    raise UserError(
      f"config.data.deliver is features or waveform, not '{deliver}'"
    )
  if deliver == 'waveform' and changed:
    raise UserError(
      "config.data.deliver='waveform' leaves features to the device, which "
      'neither masks them nor takes cmvn: remove spec_augment and cmvn, or '
      "deliver 'features'"
    )
