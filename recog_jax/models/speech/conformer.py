"""Conformer encoder (Gulati et al., 2020), with heads."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.attention import Positions, SelfAttention
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.depthwise import DepthwiseConv
from recog_jax.models.layers.feed_forward import FeedForward
from recog_jax.models.layers.mask import zero_padding
from recog_jax.models.layers.norm import BatchNorm
from recog_jax.models.layers.remat import Policy
from recog_jax.models.layers.transformer import Branch
from recog_jax.models.speech.encoder import CHUNK, Encoder, attention_encoder
from recog_jax.models.speech.recogniser import (
  recogniser,
  with_attention,
  with_ctc,
)
from recog_jax.models.speech.transducer import with_transducer
from recog_jax.ranges import Rate, Size
from recog_jax.signatures import Part

# Gulati et al., "Conformer: convolution-augmented Transformer for speech
# recognition", Interspeech 2020 (arXiv:2005.08100), table 1: layers, dim,
# heads. Its kernels have 32 taps; 31 are symmetric.
_TABLE_1 = {
  's': {'layers': 16, 'dim': 144, 'heads': 4},
  'm': {'layers': 16, 'dim': 256, 'heads': 4},
  'l': {'layers': 17, 'dim': 512, 'heads': 8},
}


class ConvModule(nn.Module):
  """Gated pointwise, depthwise and pointwise convolutions (figure 2).

  Attributes:
    taps: of the depthwise convolution.
    norm: after it, `batch` as in the paper or `layer`.
    norm_momentum: see `BatchNorm`.
    causal: see `DepthwiseConv`.
    dtype: of the computation.
  """

  taps: int
  norm: str
  norm_momentum: float
  causal: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    mask: jax.Array,
    cache: jax.Array | None = None,
    *,
    train: bool,
  ) -> jax.Array | tuple[jax.Array, jax.Array]:
    """`b t d` with bool `b t`, the frames that count, to `b t d`.

    Where there is a cache of the depthwise convolution, that of what follows
    is returned as well.
    """
    d = x.shape[-1]
    x = Dense(2 * d, dtype=self.dtype, name='pointwise_in')(x)
    values, gates = jnp.split(x, 2, -1)
    x = zero_padding(values * jax.nn.sigmoid(gates), mask)
    x = DepthwiseConv(
      self.taps, self.dtype, causal=self.causal, name='depthwise'
    )(x, cache)
    if cache is not None:
      x, cache = x
    if self.norm == 'batch':
      norm = BatchNorm(self.norm_momentum, dtype=self.dtype, name='norm')
      x = norm(x, train=train, mask=mask)
    else:
      x = nn.LayerNorm(dtype=self.dtype, name='norm')(x)
    x = jax.nn.silu(x)
    y = Dense(d, dtype=self.dtype, name='pointwise_out')(x)
    return y if cache is None else (y, cache)


class ConformerBlock(nn.Module):
  """Half a position-wise network, attention, convolution, the other half.

  Attributes:
    heads: of the attention.
    inner: inner size of the position-wise networks.
    taps: see `ConvModule`.
    positions: see `SelfAttention`.
    norm: see `ConvModule`.
    norm_momentum: see `BatchNorm`.
    dropout: of all branches and of the inner layers.
    stochastic_depth: see `Branch`.
    dtype: of the computation.
    causal: see `ConvModule`.
  """

  heads: int
  inner: int
  taps: int
  positions: str
  norm: str
  norm_momentum: float
  dropout: float
  stochastic_depth: float
  dtype: jnp.dtype
  causal: bool = False

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    mask: jax.Array,
    seen: jax.Array | None = None,
    cache: Mapping[str, Any] | None = None,
    *,
    train: bool,
  ) -> jax.Array | tuple[jax.Array, dict[str, Any]]:
    """`b t d` to the same.

    Args:
      x: `b t d`.
      mask: bool `b t`, which frames count.
      seen: bool `b t s`, which of them each frame sees; None for all.
      cache: of the attention, see `SelfAttention`, and `conv`, that of the
        convolution.
      train: use dropout and batch statistics.

    Returns:
      `b t d`; and where there is a cache, that of what follows.
    """
    new = {}

    def norm(name, x):
      return nn.LayerNorm(dtype=self.dtype, name=f'{name}_norm')(x)

    def drop(name, x):
      branch = Branch(self.dropout, self.stochastic_depth, name=f'{name}_drop')
      return branch(x, train=train)

    def ffn(name, x):
      y = FeedForward(self.inner, 'silu', self.dropout, self.dtype, name=name)(
        norm(name, x), train=train
      )
      return x + 0.5 * drop(name, y)

    x = ffn('ffn1', x)
    attention = SelfAttention(
      self.heads, self.positions, self.dtype, name='attention'
    )
    y = attention(norm('attention', x), mask if seen is None else seen, cache)
    if cache is not None:
      y, new = y
    x = x + drop('attention', y)
    conv = ConvModule(
      self.taps,
      self.norm,
      self.norm_momentum,
      self.causal,
      self.dtype,
      name='conv',
    )
    y = conv(norm('conv', x), mask, cache and cache['conv'], train=train)
    if cache is not None:
      y, new['conv'] = y
    x = x + drop('conv', y)
    x = norm('final', ffn('ffn2', x))
    return x if cache is None else (x, new)

  def cache(self, b: int, dim: int) -> dict[str, jax.Array]:
    """What `__call__` is given of the frames before the first, beside keys."""
    return {'conv': jnp.zeros((b, self.taps - 1, dim), self.dtype)}


def conformer_encoder(
  *,
  layers: Size = 16,
  dim: Size = 256,
  heads: Size = 4,
  ffn_multiplier: Size = 4,
  kernel: Size = 31,
  positions: Positions = 'relative',
  norm: Literal['batch', 'layer'] = 'batch',
  norm_momentum: Rate = 0.9,
  dropout: Rate = 0.1,
  stochastic_depth: Rate = 0.0,
  subsample: Annotated[Mapping, Part('subsample')] = {
    'name': 'conv2d',
    'factor': 4,
  },
  chunk: Annotated[Mapping | None, Part(factory=CHUNK)] = None,
  remat: Policy = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> Encoder:
  """The encoder of Gulati et al., 2020 (arXiv:2005.08100).

  Unlike the paper, subsampling pads (see `Conv2d`) and the kernel is odd.

  Args:
    layers: number of blocks.
    dim: size d of the hidden frames.
    heads: of the attention.
    ffn_multiplier: inner size of the position-wise networks over d.
    kernel: taps of the depthwise convolution.
    positions: `relative`, `sinusoidal` or `rotary`; see `SelfAttention`.
    norm: of the convolution module, `batch` (padding does not count) or
      `layer`.
    norm_momentum: see `BatchNorm`.
    dropout: of each branch, the inner layers and the input.
    stochastic_depth: share of utterances that skip a branch of the last block.
    subsample: see `make_subsample`.
    chunk: keys of `speech.chunk.Chunk`: attention in chunks and causal
      convolutions, so that the model can stream; None: all is seen.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.
  """
  return attention_encoder(
    functools.partial(
      ConformerBlock,
      inner=dim * ffn_multiplier,
      taps=kernel,
      norm=norm,
      norm_momentum=norm_momentum,
      causal=chunk is not None,
    ),
    layers=layers,
    dim=dim,
    heads=heads,
    positions=positions,
    dropout=dropout,
    stochastic_depth=stochastic_depth,
    subsample=subsample,
    chunk=chunk,
    remat=remat,
    dtype=dtype,
  )


conformer_ctc = recogniser(
  conformer_encoder,
  with_ctc,
  'conformer_ctc',
  'Conformer with CTC (Gulati et al., 2020, arXiv:2005.08100), as NeMo has it.',
)
conformer_s_ctc, conformer_m_ctc, conformer_l_ctc = (
  recogniser(
    conformer_encoder,
    with_ctc,
    f'conformer_{size}_ctc',
    f"The paper's Conformer {size.upper()} with CTC (its table 1).",
    **_TABLE_1[size],
  )
  for size in 'sml'
)
conformer_aed = recogniser(
  conformer_encoder,
  with_attention,
  'conformer_aed',
  'Conformer with a Transformer decoder (Guo et al., 2021, arXiv:2010.13956).',
  defaults={'decoder': {'name': 'transformer'}},
)
conformer_transducer = recogniser(
  conformer_encoder,
  with_transducer,
  'conformer_transducer',
  'Conformer with a transducer (Gulati et al., 2020, arXiv:2005.08100).',
)
