"""A speech encoder with a CTC head (Graves et al., 2006)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.errors import UserError
from recog_jax.precision import at_least_float32


class CtcModel(nn.Module):
  """Scores of every symbol, and of the blank, at every frame of an encoder.

  Intermediate CTC (Lee and Watanabe, 2021, arXiv:2102.03216): the same head is
  put on the output of earlier layers too; the loss weighs the two.

  Attributes:
    encoder: `(frames b t f, frame_len b, *, train) -> (hidden b t' d,
      hidden_len b, taps)`, with `out_len`, `lookahead` and `causal`. taps
      holds the output of layer i, counted from 1, as `layer<i>`, normalised
      as the last one is.
    num_outputs: number of symbols, the blank among them.
    dtype: of the encoder's computation; the head is float32.
    intermediate: numbers of the layers, from 1, that get the head too.
  """

  encoder: nn.Module
  num_outputs: int
  dtype: jnp.dtype = jnp.float32
  intermediate: tuple[int, ...] = ()

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array, dict]:
    """Logits of padded utterances.

    Args:
      frames: float `b t f`, features of t frames.
      frame_len: int32 `b`, how many of them there are.
      train: use dropout and batch statistics.

    Returns:
      float32 logits `b t' v`, int32 lengths `b`, and taps: `hidden` `b t' d`,
      and with intermediate CTC `intermediate_logits`, a tuple of `b t' v`.

    Raises:
      UserError: the encoder has no such layer, or it is of another size.
    """
    hidden, hidden_len, layers = self.encoder(
      frames.astype(self.dtype), frame_len, train=train
    )
    head = nn.Dense(self.num_outputs, name='ctc_head')

    def logits_of(hidden):
      return head(at_least_float32(hidden))

    taps = {'hidden': hidden}
    if self.intermediate:
      taps['intermediate_logits'] = tuple(
        logits_of(self._layer(layers, number, hidden))
        for number in self.intermediate
      )
    return logits_of(hidden), hidden_len, taps

  def _layer(self, layers, number, hidden):
    known = sorted(int(k[5:]) for k in layers if k.startswith('layer'))
    if number not in known:
      raise UserError(
        f'config.model.intermediate names layer {number}; the encoder has '
        f'the layers {", ".join(map(str, known))}.'
      )
    layer = layers[f'layer{number}']
    if layer.shape != hidden.shape:
      raise UserError(
        f'config.model.intermediate: layer {number} gives '
        f'{layer.shape[1:]} for each utterance and the last one '
        f'{hidden.shape[1:]}; one head needs layers of one size.'
      )
    return layer

  def out_len(self, n):
    """Frames of logits for n input frames: int, numpy or jax integers."""
    return self.encoder.out_len(n)

  @property
  def lookahead(self) -> int | None:
    """Input frames to the right that logits depend on; None is all."""
    return self.encoder.lookahead

  @property
  def causal(self) -> bool:
    """Whether logits depend on no later input than their own frames."""
    return self.encoder.causal


def check_intermediate(numbers: Sequence[int], layers: int) -> None:
  """Raises a UserError unless there are such layers, before the last one."""
  for number in numbers:
    if not 1 <= number < layers:
      raise UserError(
        f'config.model.intermediate names layer {number}; layers before the '
        f'last are 1 to {layers - 1}.'
      )
