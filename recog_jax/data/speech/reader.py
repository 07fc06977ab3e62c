"""Reads recordings that people give a trained model; see `data.base.Reader`."""

import contextlib
import dataclasses
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recog_jax import registry
from recog_jax.answers import Span
from recog_jax.data.base import Batch, Kept, Piece
from recog_jax.data.speech import codecs, pauses
from recog_jax.data.speech.batch import Normaliser, padded
from recog_jax.data.speech.items import USUAL_S
from recog_jax.data.speech.records import SpeechTaskInfo
from recog_jax.errors import UserError
from recog_jax.features import extract
from recog_jax.features.cepstra import global_cmvn
from recog_jax.text.language_tokens import text_of
from recog_jax.text.tokenizer import OF_FILES, make_tokenizer

# The file of a tokenizer among what is kept, where it is made of one.
MODEL = 'tokenizer.model'
# Frames of a batch's widths: each is at most so much more than the one before.
_GROWTH = 1.25
_FIRST = 64
# Of audio in a batch: what waits in memory is a few of these.
_BATCH_S = 240.0


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechReader:
  """Recordings as evaluation hears them.

  What is no longer than the longest utterance of training is one piece; longer
  recordings are decoded in blocks and cut where nobody speaks.

  Attributes:
    info: of the data that the model was trained on.
    sample_rate: in Hz, of what the features are computed from.
    normaliser: applied to features; None: they are as they are.
    deliver: `features` or `waveform`.
    multiple: of frames, to which batches are padded.
    most_rows: of a batch.
    cutting: how long recordings are cut; None: pieces are blocks as they are
      decoded, one after another.
  """

  info: SpeechTaskInfo
  sample_rate: int
  normaliser: Normaliser | None
  deliver: str
  multiple: int
  most_rows: int
  cutting: pauses.Cutting | None

  modality: ClassVar[str] = 'speech'
  suffixes: ClassVar[tuple[str, ...]] = codecs.SUFFIXES

  def no_longer_than(self, seconds: float) -> 'SpeechReader':
    """The same with pieces of at most so many seconds."""
    assert self.cutting is not None
    return dataclasses.replace(self, cutting=self.cutting.shortened(seconds))

  def uncut(self) -> 'SpeechReader':
    """The same with all of a recording, in pieces of any length."""
    return dataclasses.replace(self, cutting=None)

  def read(self, thing: Any) -> Iterator[Piece]:
    """The pieces of a path, bytes, an open file, or (float `n [c]`, rate)."""
    if isinstance(thing, tuple) and len(thing) == 2:
      wave = _waveform(*thing, self.sample_rate)
      yield from self._pieces(len(wave) / self.sample_rate, iter([wave]))
      return
    if not isinstance(thing, str | os.PathLike):
      with _as_file(thing) as (path, name):
        try:
          yield from self.read(path)
        except UserError as error:
          raise UserError(str(error).replace(path, name)) from error
      return
    seconds = codecs.read_info(thing).seconds
    blocks = codecs.blocks(thing, self.sample_rate)
    if self.cutting is not None and seconds <= self.cutting.longest_s:
      blocks = iter([codecs.decode(thing, self.sample_rate)])
    yield from self._pieces(seconds, blocks)

  def _pieces(
    self, seconds: float, blocks: Iterator[np.ndarray]
  ) -> Iterator[Piece]:
    if self.cutting is None or seconds <= self.cutting.longest_s:
      whole = Span(0.0, seconds, total=seconds)
      yield from (Piece(wave, whole) for wave in blocks)
      return
    found = False
    for wave, span in pauses.cut(blocks, self.cutting):
      found = True
      yield Piece(wave, span._replace(total=seconds))
    if not found:  # Nobody speaks: a second of that is heard all the same.
      wave = np.zeros(self.sample_rate, np.float32)
      yield Piece(wave, Span(0.0, seconds, total=seconds))

  def group(self, piece: Piece) -> tuple[int, bool]:
    """Frames of the batch that a piece is in, and whether it is a window."""
    frames = int(self.info.features.num_frames(len(piece.data)))
    width = _FIRST
    while width < frames:
      width = math.ceil(width * _GROWTH)
    width = -(-width // self.multiple) * self.multiple
    return width, bool(piece.span.lead or piece.span.tail)

  def rows(self, group: tuple[int, bool]) -> int:
    most = min(self.most_rows * USUAL_S, _BATCH_S) / self.info.hop_s
    return max(1, min(self.most_rows, int(most / group[0])))

  def batch(self, pieces: Sequence[Piece], group: tuple[int, bool]) -> Batch:
    n, features = len(pieces), self.info.features
    frames, window = group
    lens = np.array([len(piece.data) for piece in pieces], np.int64)
    waves = [piece.data for piece in pieces]
    if self.deliver == 'waveform':
      width = features.hop_len * frames + features.window_len
      inputs = padded(waves, width)
    else:
      found, lens = features(padded(waves, int(lens.max())), lens)
      if (norm := self.normaliser) is not None:
        found = global_cmvn(found, lens, norm.mean, norm.std)
      inputs = np.zeros((n, frames, found.shape[2]), np.float32)
      inputs[:, : found.shape[1]] = found
    found = {
      'inputs': inputs,
      'input_len': np.asarray(lens, np.int32),
      'index': np.arange(n, dtype=np.int32),
      'valid': np.ones(n, bool),
    }
    # Of a window the task keeps what it joins with that of the next one.
    return {**found, 'window': np.ones(n, bool)} if window else found


@contextlib.contextmanager
def _as_file(thing: Any) -> Iterator[tuple[str, str]]:
  """A path of what is no file on this machine, and what to call it."""
  name = 'the recording'
  if hasattr(thing, 'read'):
    name = str(getattr(thing, 'name', name))
    thing = thing.read()
  if not isinstance(thing, bytes | bytearray | memoryview):
    raise UserError(
      'a recording is a path, an open binary file, or (waveform, rate), not '
      f'{type(thing).__name__}'
    )
  with tempfile.NamedTemporaryFile(suffix='.audio') as file:
    file.write(thing)
    file.flush()
    yield file.name, name


def _waveform(wave: Any, rate: Any, wanted: int) -> np.ndarray:
  """float32 `n` of an array `n` or `n c` at a rate.

  Raises:
    UserError: it is none.
  """
  wave = codecs.floats(
    wave,
    (1, 2),
    'a waveform is float of shape (n,) or (n, channels) in -1..1, or int16',
  )
  if not isinstance(rate, int | float | np.number) or not 0 < rate < 1e7:
    raise UserError(f'a waveform comes with its rate in Hz, not {rate!r}')
  if not wave.size:
    raise UserError('the waveform is empty')
  if wave.ndim == 2:
    wave = wave.mean(1)
  return codecs.resample(
    codecs.checked(wave, 'the waveform'), int(rate), wanted
  )


# -- what is kept of the data --------------------------------------------------


def kept(data: Any, tokenizer: Any) -> Kept:
  """What `make_reader` needs to know of speech data.

  Args:
    data: its `interface()` is kept too.
    tokenizer: of the data.
  """
  files = {}
  if isinstance(text_of(tokenizer), OF_FILES):
    files[MODEL] = text_of(tokenizer).model
  rate = data.interface()['sample_rate']
  pause_s, margin_s = pauses.habits(data.training_waves(), rate)
  facts = {
    'name': data.info.name,
    'longest_s': data.longest_s(),
    'pause_s': pause_s,
    'margin_s': margin_s,
  }
  return Kept(facts, files)


def make_reader(keys: Mapping[str, Any], kept: Kept) -> SpeechReader:
  """The reader of `config.data` and what a workdir keeps of it.

  Raises:
    UserError: a part of the user's own is not there.
  """
  facts = kept.facts
  try:
    tokenizer = make_tokenizer(
      registry.resolved('tokenizer', keys['tokenizer']),
      model=kept.files.get(MODEL),
    )
    features = extract.make_features(
      sample_rate=facts['sample_rate'],
      **registry.resolved('features', keys['features']),
    )
  except (ValueError, KeyError) as error:
    raise UserError(
      f'its data cannot be read as in training: {error}'
    ) from error
  normaliser = None
  if found := facts.get('cmvn'):
    normaliser = Normaliser(*(np.array(x, np.float32) for x in found))
  return SpeechReader(
    info=SpeechTaskInfo(
      facts.get('name', 'the training data'),
      tokenizer,
      features,
      features.hop_s,
    ),
    sample_rate=int(facts['sample_rate']),
    normaliser=normaliser,
    deliver=keys.get('deliver') or 'features',
    multiple=int(keys['buckets'].get('frames_multiple') or 8),
    most_rows=int(keys['eval_batch_size']),
    cutting=_cutting(facts),
  )


def _cutting(facts: Mapping[str, Any]) -> pauses.Cutting:
  """As long, and as silent, as utterances of training were."""
  names = ('longest_s', 'pause_s', 'margin_s')
  known = {k: float(facts[k]) for k in names if facts.get(k) is not None}
  how = pauses.Cutting(int(facts['sample_rate']), **known)
  return how.shortened(how.longest_s)
