"""A recogniser of speech that says what is wanted, beside what is said.

The parameters of the recogniser keep their paths, so that it begins with
weights of other trainings. New is `intent_head`.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.mask import length_mask
from recog_jax.precision import at_least_float32


class IntentHead(nn.Module):
  """Attention over frames for each field, and scores of its classes.

  The attention is that of Lin et al., "A structured self-attentive sentence
  embedding", ICLR 2017, with one hop a field.

  Attributes:
    sizes: classes of each field.
    dim: of the attention's hidden layer.
    dropout: of what is classified.
  """

  sizes: tuple[int, ...]
  dim: int
  dropout: float

  @nn.compact
  def __call__(
    self, hidden: jax.Array, hidden_len: jax.Array, *, train: bool
  ) -> tuple[jax.Array, ...]:
    """`b t d` with lengths `b` to float32 logits `b v` of each field."""
    hidden = at_least_float32(hidden)
    mask = length_mask(hidden_len, hidden.shape[1])[..., None]
    scores = jnp.tanh(nn.Dense(self.dim, name='attention_dense')(hidden))
    scores = nn.Dense(len(self.sizes), name='attention_scores')(scores)
    weights = jax.nn.softmax(jnp.where(mask, scores, -1e9), axis=1)
    pooled = jnp.einsum('btk,btd->bkd', weights, hidden)
    pooled = Dropout(self.dropout, name='dropout')(pooled, train=train)
    return tuple(
      nn.Dense(size, name=f'classes{i}')(pooled[:, i])
      for i, size in enumerate(self.sizes)
    )


class IntentModel(nn.Module):
  """A `SpeechModel`, and the head of intents on its hidden frames.

  Attributes:
    model: of speech.
    sizes: classes of each field.
    dim: see `IntentHead`.
    dropout: see `IntentHead`.
  """

  model: nn.Module
  sizes: tuple[int, ...]
  dim: int
  dropout: float

  def setup(self):
    nn.share_scope(self, self.model)
    self.intent_head = IntentHead(self.sizes, self.dim, self.dropout)

  def __call__(
    self,
    frames: jax.Array,
    frame_len: jax.Array,
    *targets: jax.Array,
    train: bool,
  ) -> tuple[Any, jax.Array, dict[str, Any]]:
    """As the model; taps hold `intent`, float32 logits `b v` of each field."""
    logits, out_len, taps = self.model(frames, frame_len, *targets, train=train)
    found = self.intent_head(taps['hidden'], out_len, train=train)
    return logits, out_len, {**taps, 'intent': found}


def intent_model(
  module: nn.Module, *, sizes: Sequence[int], dim: int, dropout: float
) -> IntentModel:
  """The model of a config with a head of intents.

  Args:
    module: of speech, whose taps hold `hidden`.
    sizes: classes of each field.
    dim: of the attention.
    dropout: of what is classified.
  """
  return IntentModel(module, tuple(sizes), dim, dropout)
