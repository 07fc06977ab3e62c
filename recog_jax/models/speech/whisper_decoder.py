"""Whisper's decoder, the attention head of its family."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.errors import UserError
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.speech import whisper_times
from recog_jax.models.speech.attention_transformer import (
  START,
  TransformerDecoder,
)
from recog_jax.models.speech.whisper_vocabulary import (
  Vocabulary,
  vocabulary_of,
)
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Rate, Size

EPSILON = 1e-5  # Of Whisper's normalisations.
_NEVER = -1e30


class WhisperDecoder(TransformerDecoder):
  """Pre-norm blocks, learned positions, an output tied to the embedding.

  Radford et al., 2022, arXiv:2212.04356. Before a text stands a prompt (start,
  language, task); decoding leaves out symbols that stand for no speech, the
  training's logits do not.

  Attributes:
    places: of symbols that have a position, the prompt's among them.
    never: symbols that no text has.
    not_first: symbols with which no text begins.
    times: the last piece of text, and the symbol of 0.00 s, where texts have
      time stamps; see `whisper_times`.
  """

  places: int = 448
  never: tuple[int, ...] = ()
  not_first: tuple[int, ...] = ()
  times: tuple[int, int] | None = None

  def setup(self):
    normal = nn.initializers.normal(0.02)
    self.embedding = nn.Embed(self.num_outputs, self.dim, embedding_init=normal)
    shape = (self.places, self.dim)
    self.positions = self.param('positions', normal, shape, jnp.float32)
    self.input_dropout = Dropout(self.dropout)
    self.block = self._blocks(key_bias=False, epsilon=EPSILON)
    self.final_norm = nn.LayerNorm(EPSILON, self.dtype)

  @property
  def most(self) -> int:
    """Symbols that a text is searched for, as in the original."""
    return self.places // 2

  def init_state(self, memory, w, most):
    """See `TransformerDecoder`; and what is known of the text's times."""
    caches = super().init_state(memory, w, most)
    if self.times is None:
      return caches
    return caches, whisper_times.nothing(len(caches[0]), w, self.times[1])

  def step(self, memory, state, tokens, place):
    """See `TransformerDecoder`; without what is not to be said."""
    said = None
    if self.times is not None:
      state, said = state
    logits, state = super().step(memory, state, tokens, place)
    logits = self._without(logits, self.never, self.not_first, place)
    if said is None:
      return logits, state
    end, first = self.times
    logits, said = whisper_times.ruled(
      logits, said, tokens, place, end=end, first=first
    )
    return logits, (state, said)

  # -- windows of a recording, see `tasks.speech.long_form` -------------------

  @property
  def words(self) -> Vocabulary | None:
    """What the symbols mean; None: they are not Whisper's."""
    return vocabulary_of(self.num_outputs)

  def init_window(
    self, memory: dict[str, Any], prompt: jax.Array, place: jax.Array
  ) -> tuple[Any, jax.Array]:
    """The state of an empty hypothesis behind a prompt that is data.

    Args:
      memory: see `prepare`.
      prompt: int32 `b p`; what stands behind its end is not heard.
      place: int32, of one of its symbols.

    Returns:
      The state, leaves `b 1 ...`, with room for `places` symbols; and float32
      logits `b v` of what comes behind the symbol at that place.
    """
    keys, _ = memory['layers'][0]
    b, _, n, h = keys.shape
    empty = jnp.zeros((b, 1, 2, self.places, n, h), keys.dtype)
    x, caches = self._advance(memory, (empty,) * self.layers, prompt, 0)
    here = jax.lax.dynamic_slice_in_dim(x, place, 1, 1)
    said = whisper_times.nothing(b, 1, self.words.first_time)
    return (caches, said), self._logits(here)[:, 0]

  def step_window(
    self,
    memory: dict[str, Any],
    state: Any,
    tokens: jax.Array,
    place: jax.Array,
    prompt: jax.Array,
    count: jax.Array,
  ) -> tuple[jax.Array, Any]:
    """As `step`, behind `count` symbols of a prompt, with time stamps."""
    b, w = tokens.shape
    caches, said = state
    last = jax.lax.dynamic_slice_in_dim(prompt, count - 1, 1, 1)
    heard = jnp.where(place == 0, last, tokens)
    x, caches = self._advance(
      memory, caches, heard.reshape(b * w, 1), count - 1 + place
    )
    logits = self._logits(x).reshape(b, w, -1)
    words = self.words
    logits = self._without(logits, words.never(True), words.not_first, place)
    logits, said = whisper_times.ruled(
      logits, said, tokens, place, end=words.end, first=words.first_time
    )
    return logits, (caches, said)

  def _without(
    self,
    logits: jax.Array,
    never: tuple[int, ...],
    not_first: tuple[int, ...],
    place: jax.Array,
  ) -> jax.Array:
    """Logits `... v` without what is not said, or not said first."""
    left_out = self._among(never) | (self._among(not_first) & (place == 0))
    return jnp.where(left_out, _NEVER, logits)

  def _among(self, symbols: tuple[int, ...]) -> jax.Array:
    """bool `v`."""
    found = np.zeros(self.num_outputs, bool)
    found[list(symbols)] = True
    return jnp.asarray(found)

  def _positions(self, count: int) -> jax.Array:
    if count > self.places:
      raise UserError(
        f'a text of {count} symbols, {len(self.prompt)} of them of the prompt, '
        f'is longer than the {self.places} that this Whisper has positions '
        'for: leave such utterances out, or cut them'
      )
    return self.positions[:count]

  def _embed(self, tokens, positions, *, train):
    x = self.embedding(tokens) + positions
    return self.input_dropout(x.astype(self.dtype), train=train)

  def _logits(self, x):
    return self.embedding.attend(at_least_float32(self.final_norm(x)))


def whisper_decoder(
  *,
  num_outputs,
  remat,
  dtype,
  layers: Size = 4,
  dim: Size = 384,
  heads: Size = 6,
  places: Size = 448,
  language: str = 'en',
  task: str = 'transcribe',
  timestamps: bool = False,
  dropout: Rate = 0.0,
) -> WhisperDecoder:
  """Whisper's decoder, with prompt and suppression where the symbols are its.

  With any other tokenizer it is a decoder of the same form, without them.

  Args:
    layers: number of blocks.
    dim: size d of the hidden symbols.
    heads: of both attentions.
    places: symbols of a text and its prompt, at most; half of them are
      searched.
    language: that is spoken, a code such as `ur`; of models for English `en`.
    task: `transcribe`, or `translate`, which is into English.
    timestamps: whether texts have time stamps among their symbols, by the
      original's rules; the tokenizer leaves them out again.
    dropout: of each branch, the inner layers and the input.
  """
  if dim % heads:
    raise UserError(
      f'config.model.decoder.dim is {dim} with {heads} heads; give a dim that '
      'the heads divide.'
    )
  words = vocabulary_of(num_outputs)
  if timestamps and words is None:
    raise UserError(
      f'config.model.decoder.timestamps: none of the {num_outputs:,} symbols '
      "is a time stamp: take Whisper's tokenizer "
      '(config.data.tokenizer.name=whisper), or leave it out'
    )
  return WhisperDecoder(
    num_outputs=num_outputs,
    layers=layers,
    dim=dim,
    heads=heads,
    inner=4 * dim,
    activation='gelu',
    dropout=dropout,
    remat=remat,
    dtype=dtype,
    prompt=words.prompt(language, task, timestamps) if words else (START,),
    places=places,
    never=words.never(timestamps) if words else (),
    not_first=words.not_first if words else (),
    times=(words.end, words.first_time) if words and timestamps else None,
  )
