"""Whisper's encoder, and the models of its family (Radford et al., 2022)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.errors import UserError
from recog_jax.models.layers.activation import activation
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.mask import length_mask, zero_padding
from recog_jax.models.layers.remat import Policy, call_block
from recog_jax.models.layers.transformer import TransformerBlock
from recog_jax.models.speech.recogniser import (
  recogniser,
  with_attention,
  with_ctc,
)
from recog_jax.models.speech.whisper_decoder import EPSILON
from recog_jax.ranges import Rate, Size

# Frames of the features, of 30 s; there are positions for half of them.
_FRAMES = 3000
# Table 1 of the paper, encoder and decoder alike: layers, width, heads.
_SIZES = {
  'tiny': (4, 384, 6),
  'base': (6, 512, 8),
  'small': (12, 768, 12),
  'medium': (24, 1024, 16),
  'large_v3': (32, 1280, 20),
}


def sinusoids(count: int, dim: int) -> np.ndarray:
  """float32 `count d`: sines, then cosines, as Whisper has them.

  Wavelengths reach 10,000 * 2 pi, where those of `layers.attention.sinusoids`
  end one step before.
  """
  rates = 10000.0 ** (-np.arange(dim // 2) / max(dim // 2 - 1, 1))
  angles = np.arange(count)[:, None] * rates
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


class WhisperEncoder(nn.Module):
  """Two convolutions, the second by steps of 2, then pre-norm blocks.

  Frames behind `frame_len` change nothing. Of Whisper's own features all 3,000
  count, silence too, as in the original.

  Attributes:
    num_layers: number of blocks.
    dim: size d of the hidden frames.
    heads: of the attention.
    dropout: of each branch, the inner layers and the input.
    stochastic_depth: share of utterances that skip a branch of the last block.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters are float32.
  """

  num_layers: int
  dim: int
  heads: int
  dropout: float = 0.0
  stochastic_depth: float = 0.0
  remat: str = 'none'
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
    """`b t f` to hidden `b t/2 d`, its lengths, and the taps `layer1` ..."""
    # Batches may be padded beyond what has a position.
    frames = frames[:, :_FRAMES]
    frame_len = jnp.minimum(frame_len, frames.shape[1])
    x = zero_padding(frames, length_mask(frame_len, frames.shape[1]))
    gelu = activation('gelu')
    conv = nn.Conv(self.dim, (3,), 1, 1, dtype=self.dtype, name='conv1')
    # What the first makes of silence behind the end is no silence.
    x = zero_padding(gelu(conv(x)), length_mask(frame_len, x.shape[1]))
    conv = nn.Conv(self.dim, (3,), 2, 1, dtype=self.dtype, name='conv2')
    x = gelu(conv(x))
    hidden_len = self.out_len(frame_len)
    mask = length_mask(hidden_len, x.shape[1])
    x = x + jnp.asarray(sinusoids(x.shape[1], self.dim), x.dtype)
    x = Dropout(self.dropout, name='input_dropout')(x, train=train)
    norm = nn.LayerNorm(EPSILON, self.dtype, name='final_norm')
    taps = {}
    for number in range(1, self.num_layers + 1):
      block = TransformerBlock(
        heads=self.heads,
        inner=4 * self.dim,
        positions='sinusoidal',
        activation='gelu',
        dropout=self.dropout,
        stochastic_depth=self.stochastic_depth * number / self.num_layers,
        dtype=self.dtype,
        key_bias=False,
        epsilon=EPSILON,
        name=f'block{number}',
      )
      x = call_block(self.remat, block, x, mask, train=train)
      taps[f'layer{number}'] = norm(x)
    return taps[f'layer{self.num_layers}'], hidden_len, taps

  def out_len(self, n):
    """Hidden frames for n input frames."""
    return (n + 1) // 2

  @property
  def lookahead(self) -> int | None:
    return None

  @property
  def causal(self) -> bool:
    return False


def whisper_encoder(
  *,
  layers: Size = 4,
  dim: Size = 384,
  heads: Size = 6,
  dropout: Rate = 0.0,
  stochastic_depth: Rate = 0.0,
  remat: Policy = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> WhisperEncoder:
  """Whisper's encoder; the sizes are those of `tiny`.

  Args:
    layers: number of blocks.
    dim: size d of the hidden frames.
    heads: of the attention.
    dropout: of each branch, the inner layers and the input; the original has
      none.
    stochastic_depth: share of utterances that skip a branch of the last block.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.
  """
  if dim % heads or dim % 2:
    raise UserError(
      f'config.model.dim is {dim} with {heads} heads; give an even dim that '
      'the heads divide.'
    )
  return WhisperEncoder(
    num_layers=layers,
    dim=dim,
    heads=heads,
    dropout=dropout,
    stochastic_depth=stochastic_depth,
    remat=remat,
    dtype=dtype,
  )


def _whisper(size: str):
  layers, dim, heads = _SIZES[size]
  sizes = {'layers': layers, 'dim': dim, 'heads': heads}
  return recogniser(
    whisper_encoder,
    with_attention,
    f'whisper_{size}',
    f'Whisper {size.replace("_", "-")}, also its .en (Radford et al., 2022).',
    defaults={**sizes, 'decoder': {'name': 'whisper', **sizes}, 'ctc': False},
  )


whisper_tiny = _whisper('tiny')
whisper_base = _whisper('base')
whisper_small = _whisper('small')
whisper_medium = _whisper('medium')
whisper_large_v3 = _whisper('large_v3')
whisper_ctc = recogniser(
  whisper_encoder,
  with_ctc,
  'whisper_ctc',
  "Whisper's encoder with CTC (Radford et al., 2022).",
)
