"""What the encoders made of attention blocks share."""

import functools
import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.errors import UserError
from recog_jax.models.layers.attention import sinusoids
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.mask import length_mask
from recog_jax.models.layers.remat import call_block
from recog_jax.models.speech.subsample import make_subsample


class Encoder(nn.Module):
  """Subsampling, then blocks; what Transformer and Conformer share.

  Attributes:
    subsample: see `make_subsample`.
    block: makes, from its `stochastic_depth`, a block
      `(x b t d, mask b t, *, train) -> x`.
    depths: stochastic depth of each block, one after the other.
    positions: `sinusoidal` adds them to the blocks' input, which is scaled by
      sqrt(d) as in the Transformer's paper; the others are the blocks' affair.
    dropout: of the blocks' input.
    final_norm: normalises what leaves the last block, and the taps, which the
      blocks of a pre-norm Transformer do not.
    remat: see `layers.remat`.
    dtype: of the computation.
  """

  subsample: nn.Module
  block: Callable[..., nn.Module]
  depths: tuple[float, ...]
  positions: str
  dropout: float
  final_norm: bool
  remat: str = 'none'
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    """Encodes padded utterances.

    Args:
      frames: `b t f`.
      frame_len: int32 `b`.
      train: use dropout and batch statistics.

    Returns:
      hidden `b t' d`, its lengths `b`, and taps: `layer1` ... `b t' d`, the
      output of every block.
    """
    x, hidden_len = self.subsample(frames, frame_len)
    mask = length_mask(hidden_len, x.shape[1])
    if self.positions == 'sinusoidal':
      table = sinusoids(np.arange(x.shape[1]), x.shape[-1])
      x = x * math.sqrt(x.shape[-1]) + jnp.asarray(table, x.dtype)
    x = Dropout(self.dropout, name='input_dropout')(x, train=train)
    norm = nn.LayerNorm(dtype=self.dtype, name='final_norm')
    taps = {}
    for number, depth in enumerate(self.depths, 1):
      block = self.block(stochastic_depth=depth, name=f'block{number}')
      x = call_block(self.remat, block, x, mask, train=train)
      taps[f'layer{number}'] = norm(x) if self.final_norm else x
    return taps[f'layer{len(self.depths)}'], hidden_len, taps

  @property
  def num_layers(self) -> int:
    return len(self.depths)

  def out_len(self, n):
    """Frames out of n frames: int, numpy or jax integers."""
    return self.subsample.out_len(n)

  @property
  def lookahead(self) -> None:
    """None: attention sees the whole utterance."""
    return

  @property
  def causal(self) -> bool:
    return False


def attention_encoder(
  block: Callable[..., nn.Module],
  *,
  layers: int,
  dim: int,
  heads: int,
  positions: str,
  dropout: float,
  stochastic_depth: float,
  subsample: Mapping,
  remat: str,
  dtype: jnp.dtype,
  final_norm: bool = False,
) -> Encoder:
  """An `Encoder`; see `transformer_encoder` for the options.

  Args:
    block: makes a block from what all blocks are given: heads, positions,
      dropout, dtype, and its own stochastic depth, which grows linearly up to
      the last block, as in its paper.

  Raises:
    UserError: options that do not fit together.
  """
  if dim % heads or dim % 2 or (positions == 'rotary' and dim // heads % 2):
    raise UserError(
      f'config.model.dim is {dim} with {heads} heads; give an even dim that '
      'the heads divide (for rotary positions into even parts).'
    )
  return Encoder(
    subsample=make_subsample(subsample, dim, dtype),
    block=functools.partial(
      block, heads=heads, positions=positions, dropout=dropout, dtype=dtype
    ),
    depths=tuple(stochastic_depth * n / layers for n in range(1, layers + 1)),
    positions=positions,
    dropout=dropout,
    final_norm=final_norm,
    remat=remat,
    dtype=dtype,
  )
