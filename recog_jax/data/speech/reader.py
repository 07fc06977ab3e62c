"""Reads recordings that people give a trained model; see `data.base.Reader`."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recog_jax import registry
from recog_jax.answers import Span
from recog_jax.data.base import Batch, Kept, Piece
from recog_jax.data.speech import codecs
from recog_jax.data.speech.batch import Normaliser, padded
from recog_jax.data.speech.items import USUAL_S
from recog_jax.data.speech.records import SpeechTaskInfo
from recog_jax.errors import UserError
from recog_jax.features import extract
from recog_jax.features.cepstra import global_cmvn
from recog_jax.text.tokenizer import SentencePiece, make_tokenizer

# The file of a SentencePiece model among what is kept.
MODEL = 'tokenizer.model'
# Frames of a batch's widths: each is at most so much more than the one before.
_GROWTH = 1.25
_FIRST = 64


@dataclasses.dataclass(frozen=True, eq=False)
class SpeechReader:
  """Recordings as evaluation hears them.

  Attributes:
    info: of the data that the model was trained on.
    sample_rate: in Hz, of what the features are computed from.
    normaliser: applied to features; None: they are as they are.
    deliver: `features` or `waveform`.
    multiple: of frames, to which batches are padded.
    most_rows: of a batch.
  """

  info: SpeechTaskInfo
  sample_rate: int
  normaliser: Normaliser | None
  deliver: str
  multiple: int
  most_rows: int

  modality: ClassVar[str] = 'speech'
  suffixes: ClassVar[tuple[str, ...]] = codecs.SUFFIXES

  def read(self, thing: Any) -> Iterator[Piece]:
    """The pieces of a path, an open file, or (float `n [c]`, its rate)."""
    if isinstance(thing, tuple):
      wave = _waveform(*thing, self.sample_rate)
    else:
      wave = codecs.decode(thing, self.sample_rate)
    yield Piece(wave, Span(0.0, len(wave) / self.sample_rate))

  def group(self, piece: Piece) -> int:
    """Frames of the batch that a piece is in."""
    frames = int(self.info.features.num_frames(len(piece.data)))
    width = _FIRST
    while width < frames:
      width = math.ceil(width * _GROWTH)
    return -(-width // self.multiple) * self.multiple

  def rows(self, group: int) -> int:
    fit = int(self.most_rows * USUAL_S / self.info.hop_s / group)
    return max(1, min(self.most_rows, fit))

  def batch(self, pieces: Sequence[Piece], group: int) -> Batch:
    n, features = len(pieces), self.info.features
    lens = np.array([len(piece.data) for piece in pieces], np.int64)
    waves = [piece.data for piece in pieces]
    if self.deliver == 'waveform':
      width = features.hop_len * group + features.window_len
      inputs = padded(waves, width)
    else:
      found, lens = features(padded(waves, int(lens.max())), lens)
      if (norm := self.normaliser) is not None:
        found = global_cmvn(found, lens, norm.mean, norm.std)
      inputs = np.zeros((n, group, found.shape[2]), np.float32)
      inputs[:, : found.shape[1]] = found
    return {
      'inputs': inputs,
      'input_len': np.asarray(lens, np.int32),
      'index': np.arange(n, dtype=np.int32),
      'valid': np.ones(n, bool),
    }


def _waveform(wave: Any, rate: Any, wanted: int) -> np.ndarray:
  """float32 `n` of an array `n` or `n c` at a rate.

  Raises:
    UserError: it is none.
  """
  wave = np.asarray(wave)
  if wave.dtype == np.int16:
    wave = wave.astype(np.float32) * np.float32(2.0**-15)
  if wave.ndim not in (1, 2) or not np.issubdtype(wave.dtype, np.floating):
    raise UserError(
      'a waveform is float of shape (n,) or (n, channels) in -1..1, or int16, '
      f'and this is {wave.dtype} of shape {wave.shape}'
    )
  if not isinstance(rate, int | float | np.number) or not 0 < rate < 1e7:
    raise UserError(f'a waveform comes with its rate in Hz, not {rate!r}')
  if not wave.size:
    raise UserError('the waveform is empty')
  wave = wave.astype(np.float32)
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
  if isinstance(tokenizer, SentencePiece):
    files[MODEL] = tokenizer.model
  return Kept({'name': data.info.name}, files)


def make_reader(keys: Mapping[str, Any], kept: Kept) -> SpeechReader:
  """The reader of `config.data` and what a workdir keeps of it.

  Raises:
    UserError: a part of the user's own is not there.
  """
  facts = kept.facts
  try:
    if model := kept.files.get(MODEL):
      unknown = keys['tokenizer'].get('unknown', 'drop')
      tokenizer: Any = SentencePiece(model, unknown)
    else:
      tokenizer = make_tokenizer(
        registry.resolved('tokenizer', keys['tokenizer'])
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
  )
