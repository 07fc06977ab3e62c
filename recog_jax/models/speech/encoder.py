"""What the encoders made of attention blocks share."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import registry
from recog_jax.errors import UserError
from recog_jax.models.layers.attention import sinusoids
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.mask import length_mask
from recog_jax.models.layers.remat import call_block
from recog_jax.models.speech import chunk as chunk_lib
from recog_jax.models.speech.chunk import Chunk
from recog_jax.models.speech.streaming import (
  State,
  StreamingEncoder,
  subsampled,
)
from recog_jax.models.speech.subsample import make_subsample

# Where the keys of `config.model.chunk` are, for factories.
CHUNK = 'recog_jax.models.speech.chunk:Chunk'


class Encoder(StreamingEncoder):
  """Subsampling, then blocks; what Transformer and Conformer share.

  Attributes:
    subsample: see `make_subsample`.
    block: makes, from its `stochastic_depth`, a block
      `(x b t d, mask b t, seen b t s, cache, *, train) -> x`; see
      `TransformerBlock`.
    depths: stochastic depth of each block, one after the other.
    positions: `sinusoidal` adds them to the blocks' input, which is scaled by
      sqrt(d) as in the Transformer's paper; the others are the blocks' affair.
    dropout: of the blocks' input.
    final_norm: normalises what leaves the last block, and the taps, which the
      blocks of a pre-norm Transformer do not.
    remat: see `layers.remat`.
    dtype: of the computation.
    chunk: of the attention; None: every frame sees all.
    dim: size d of the frames, and `heads` those of the blocks, for caches.
  """

  subsample: nn.Module
  block: Callable[..., nn.Module]
  depths: tuple[float, ...]
  positions: str
  dropout: float
  final_norm: bool
  remat: str = 'none'
  dtype: jnp.dtype = jnp.float32
  chunk: Chunk | None = None
  dim: int = 0
  heads: int = 1

  @nn.compact
  def __call__(
    self,
    frames: jax.Array,
    frame_len: jax.Array,
    *,
    train: bool,
    state: State | None = None,
  ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
    """Encodes padded utterances.

    Args:
      frames: `b t f`.
      frame_len: int32 `b`.
      train: use dropout and batch statistics.
      state: of a stream, see `StreamingEncoder`.

    Returns:
      hidden `b t' d`, its lengths `b`, and taps: `layer1` ... `b t' d`, the
      output of every block; of a stream `state`, that of what follows.
    """
    x, hidden_len, new = subsampled(self.subsample, frames, frame_len, state)
    mask = length_mask(hidden_len, x.shape[1])
    seen = self._seen(mask, state, train=train)
    if self.positions == 'sinusoidal':
      table = sinusoids(np.arange(x.shape[1]), x.shape[-1])
      x = x * math.sqrt(x.shape[-1]) + jnp.asarray(table, x.dtype)
    x = Dropout(self.dropout, name='input_dropout')(x, train=train)
    norm = nn.LayerNorm(dtype=self.dtype, name='final_norm')
    taps = {}
    for number, depth in enumerate(self.depths, 1):
      block = self.block(stochastic_depth=depth, name=f'block{number}')
      if state is None:
        x = call_block(self.remat, block, x, mask, seen, train=train)
      else:
        x, cache = block(
          x, mask, seen, state['blocks'][number - 1], train=False
        )
        new['blocks'] += (cache,)
      taps[f'layer{number}'] = norm(x) if self.final_norm else x
    if state is not None:
      count = state['count'] + hidden_len
      taps['state'] = {**new, 'count': jnp.minimum(count, self.chunk.left)}
    return taps[f'layer{len(self.depths)}'], hidden_len, taps

  def _seen(self, mask, state, *, train):
    """bool `b t s`, what each frame sees; None: all that counts."""
    if self.chunk is None:
      return None
    t, left = mask.shape[1], self.chunk.left
    if state is not None:
      # Of the frames in the cache, the last `count` are there.
      there = jnp.arange(left) >= left - state['count'][:, None]
      keys = jnp.concatenate([there, mask], 1)[:, None]
      return jnp.broadcast_to(keys, (len(mask), t, left + t))
    size = self.chunk.frames
    if train and self.chunk.sizes:
      size = self.chunk.draw(self.make_rng('dropout'))
    # Padding sees itself, so that no row of the softmax is empty.
    return chunk_lib.seen(t, size, left) & mask[:, None] | jnp.eye(
      t, dtype=bool
    )

  @property
  def num_layers(self) -> int:
    return len(self.depths)

  def out_len(self, n):
    """Frames out of n frames: int, numpy or jax integers."""
    return self.subsample.out_len(n)

  @property
  def lookahead(self) -> int | None:
    """See `Stack`; that of a chunk's first frame. None: all is seen."""
    if self.chunk is None:
      return None
    before = (self.chunk.frames - 1) * self.subsample.factor
    return before + self.subsample.lookahead

  @property
  def causal(self) -> bool:
    return self.chunk is not None and self.chunk.frames == 1

  @property
  def step_frames(self) -> int | None:
    return self.chunk and self.chunk.frames * self.subsample.factor

  def why_not(self) -> str | None:
    if self.chunk is None:
      return 'its attention sees the whole utterance: give config.model.chunk'
    return None

  def caches(self, b: int) -> dict[str, Any]:
    shape = (b, self.chunk.left, self.heads, self.dim // self.heads)
    keys = {name: jnp.zeros(shape, self.dtype) for name in 'kv'}
    block = self.block(stochastic_depth=0.0, parent=None)
    cache = {**keys, **block.cache(b, self.dim)}
    return {
      'blocks': (cache,) * len(self.depths),
      'count': jnp.zeros(b, jnp.int32),
    }


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
  chunk: Mapping | None,
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
  if chunk is not None:
    chunk = registry.call(Chunk, chunk, 'config.model.chunk')
    if positions == 'sinusoidal':
      raise UserError(
        'config.model.chunk is for streams, which have no first position '
        'after hours: set config.model.positions to relative or rotary.'
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
    chunk=chunk,
    dim=dim,
    heads=heads,
  )
