"""The Transformer as attention decoder."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.models.layers.attend import attend
from recog_jax.models.layers.attention import Projections, sinusoids
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.feed_forward import FeedForward
from recog_jax.models.layers.mask import length_mask
from recog_jax.models.layers.remat import call_block
from recog_jax.models.layers.transformer import Branch
from recog_jax.precision import at_least_float32

START = 0  # And the end; see `models.speech.attention`.


class CausalAttention(nn.Module):
  """Self-attention to what came before, as a whole or step by step.

  Attributes:
    heads: number n of heads.
    dtype: of the computation.
    key_bias: see `layers.attention.SelfAttention`.
  """

  heads: int
  dtype: jnp.dtype
  key_bias: bool = True

  @nn.compact
  def __call__(
    self, x: jax.Array, cache: jax.Array | None, place: Any
  ) -> tuple[jax.Array, jax.Array | None]:
    """Attends from each symbol to itself and those before.

    Args:
      x: `r u d`.
      cache: `r 2 m n h`, keys and values of the symbols before; or None.
      place: how many those are.

    Returns:
      `r u d`, and the cache with these symbols in it.
    """
    r, u, d = x.shape
    unbiased = () if self.key_bias else (1,)
    q, k, v = Projections(
      self.heads, self.dtype, unbiased=unbiased, name='qkv'
    )(x)
    if cache is None:
      y = attend(q, k, v, is_causal=True)
    else:
      both = jnp.stack([k, v], 1).astype(cache.dtype)
      cache = jax.lax.dynamic_update_slice(cache, both, (0, 0, place, 0, 0))
      seen = jnp.arange(cache.shape[2]) <= place + jnp.arange(u)[:, None]
      y = attend(q, cache[:, 0], cache[:, 1], mask=seen[None, None])
    y = Dense(d, dtype=self.dtype, name='out')(y.reshape(r, u, d))
    return y, cache


class CrossAttention(nn.Module):
  """Attention from symbols to hidden frames.

  Attributes:
    dim: size d of both projections.
    heads: number n of heads.
    dtype: of the computation.
    key_bias: see `layers.attention.SelfAttention`.
  """

  dim: int
  heads: int
  dtype: jnp.dtype
  key_bias: bool = True

  def setup(self):
    unbiased = () if self.key_bias else (0,)
    self.q = Projections(self.heads, self.dtype, 1, self.dim)
    self.kv = Projections(self.heads, self.dtype, 2, self.dim, unbiased)
    self.out = Dense(self.dim, dtype=self.dtype)

  def prepare(self, hidden: jax.Array) -> tuple[jax.Array, ...]:
    """`b t e` to keys and values `b t n h`."""
    return self.kv(hidden)

  def __call__(
    self, x: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """`(b w) u d` with frames of b utterances, bool `b t`, to the same."""
    r, u, d = x.shape
    b, t = mask.shape
    (q,) = self.q(x)
    q = q.reshape(b, (r // b) * u, *q.shape[2:])
    y = attend(q, keys, values, mask=mask[:, None, None, :])
    return self.out(y.reshape(r, u, d))


class DecoderBlock(nn.Module):
  """Self-attention, attention to the frames, a position-wise network.

  Attributes:
    dim, heads, inner, activation, dropout, dtype: see `TransformerDecoder`.
    key_bias: of both attentions, see `layers.attention.SelfAttention`.
    epsilon: of the normalisations.
  """

  dim: int
  heads: int
  inner: int
  activation: str
  dropout: float
  dtype: jnp.dtype
  key_bias: bool = True
  epsilon: float = 1e-6

  def setup(self):
    self.attention_norm = nn.LayerNorm(self.epsilon, self.dtype)
    self.attention = CausalAttention(self.heads, self.dtype, self.key_bias)
    self.attention_drop = Branch(self.dropout, 0.0)
    self.cross_norm = nn.LayerNorm(self.epsilon, self.dtype)
    self.cross = CrossAttention(self.dim, self.heads, self.dtype, self.key_bias)
    self.cross_drop = Branch(self.dropout, 0.0)
    self.ffn_norm = nn.LayerNorm(self.epsilon, self.dtype)
    self.ffn = FeedForward(
      self.inner, self.activation, self.dropout, self.dtype
    )
    self.ffn_drop = Branch(self.dropout, 0.0)

  def prepare(self, hidden: jax.Array) -> tuple[jax.Array, ...]:
    """See `CrossAttention`."""
    return self.cross.prepare(hidden)

  def __call__(
    self,
    x: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    mask: jax.Array,
    cache: jax.Array | None = None,
    place: Any = 0,
    *,
    train: bool,
  ) -> tuple[jax.Array, jax.Array | None]:
    """`(b w) u d` to the same, and the cache; see the two attentions."""
    y, cache = self.attention(self.attention_norm(x), cache, place)
    x = x + self.attention_drop(y, train=train)
    y = self.cross(self.cross_norm(x), keys, values, mask)
    x = x + self.cross_drop(y, train=train)
    y = self.ffn(self.ffn_norm(x), train=train)
    return x + self.ffn_drop(y, train=train), cache


class TransformerDecoder(nn.Module):
  """An attention decoder of pre-norm blocks; see `models.speech.attention`.

  Sinusoidal positions, as in Vaswani et al., 2017; normalised before each
  branch (Xiong et al., 2020, arXiv:2002.04745).

  Attributes:
    num_outputs: number v of symbols, the first of which is start and end.
    layers: number of blocks.
    dim: size d of the hidden symbols.
    heads: of both attentions.
    inner: inner size of the position-wise networks.
    activation: of those.
    dropout: of each branch, the inner layers and the input.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.
    prompt: symbols in front of every text, of which the last is heard in the
      place of the start.
  """

  num_outputs: int
  layers: int
  dim: int
  heads: int
  inner: int
  activation: str
  dropout: float
  remat: str = 'none'
  dtype: jnp.dtype = jnp.float32
  prompt: tuple[int, ...] = (START,)

  def setup(self):
    self.embedding = nn.Embed(
      self.num_outputs,
      self.dim,
      embedding_init=nn.initializers.normal(self.dim**-0.5),
    )
    self.input_dropout = Dropout(self.dropout)
    self.block = self._blocks()
    self.final_norm = nn.LayerNorm(dtype=self.dtype)
    self.output = nn.Dense(self.num_outputs)

  def _blocks(self, **options: Any) -> list[DecoderBlock]:
    return [
      DecoderBlock(
        dim=self.dim,
        heads=self.heads,
        inner=self.inner,
        activation=self.activation,
        dropout=self.dropout,
        dtype=self.dtype,
        name=f'block{number}',
        **options,
      )
      for number in range(1, self.layers + 1)
    ]

  def __call__(
    self,
    hidden: jax.Array,
    hidden_len: jax.Array,
    targets: jax.Array,
    target_len: jax.Array,
    *,
    train: bool,
  ) -> jax.Array:
    """float32 logits `b (u+1) v` of the targets and the end."""
    del target_len  # What follows a symbol does not change it.
    tokens = jnp.concatenate([self._prompt(len(targets)), targets], 1)
    memory = self.prepare(hidden, hidden_len)
    places = self._positions(tokens.shape[1])
    x = self._embed(tokens, places, train=train)
    for block, (keys, values) in zip(self.block, memory['layers'], strict=True):
      x, _ = call_block(
        self.remat, block, x, keys, values, memory['mask'], train=train
      )
    return self._logits(x[:, len(self.prompt) - 1 :])

  def prepare(self, hidden: jax.Array, hidden_len: jax.Array) -> dict[str, Any]:
    """Keys and values of every layer, and which frames count."""
    # A row of no frames attends to its first one, so that nothing is NaN.
    mask = length_mask(jnp.maximum(hidden_len, 1), hidden.shape[1])
    return {
      'layers': tuple(block.prepare(hidden) for block in self.block),
      'mask': mask,
    }

  def init_state(
    self, memory: dict[str, Any], w: int, most: int
  ) -> tuple[jax.Array, ...]:
    """A cache `b w 2 m n h` for each layer; m is `most` and the prompt."""
    keys, _ = memory['layers'][0]
    b, _, n, h = keys.shape
    before = self._prompt(b)[:, :-1]
    most += before.shape[1]
    state = (jnp.zeros((b, 1, 2, most, n, h), keys.dtype),) * self.layers
    if before.size:
      _, state = self._advance(memory, state, before, 0)
    return tuple(jnp.repeat(cache, w, 1) for cache in state)

  def step(
    self,
    memory: dict[str, Any],
    state: tuple[jax.Array, ...],
    tokens: jax.Array,
    place: jax.Array,
  ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """float32 logits `b w v` after the tokens `b w`, and the new state."""
    b, w = tokens.shape
    tokens = jnp.where(place == 0, self.prompt[-1], tokens)
    place = place + len(self.prompt) - 1
    x, state = self._advance(memory, state, tokens.reshape(b * w, 1), place)
    return self._logits(x).reshape(b, w, -1), state

  def _advance(
    self,
    memory: dict[str, Any],
    state: tuple[jax.Array, ...],
    tokens: jax.Array,
    place: Any,
  ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Hidden symbols `(b w) u d` of tokens `(b w) u`, and the new state.

    Args:
      memory: see `prepare`.
      state: see `init_state`.
      tokens: the next ones.
      place: how many there were, the prompt's among them.
    """
    most, u = state[0].shape[3], tokens.shape[1]
    here = jax.lax.dynamic_slice_in_dim(self._positions(most), place, u)
    x = self._embed(tokens, here, train=False)
    kept = []
    for block, (keys, values), cache in zip(
      self.block, memory['layers'], state, strict=True
    ):
      flat = cache.reshape(-1, *cache.shape[2:])
      x, flat = block(x, keys, values, memory['mask'], flat, place, train=False)
      kept.append(flat.reshape(cache.shape))
    return x, tuple(kept)

  def _prompt(self, b: int) -> jax.Array:
    """int32 `b p`."""
    tokens = jnp.array(self.prompt, jnp.int32)
    return jnp.broadcast_to(tokens, (b, len(tokens)))

  def _positions(self, count: int) -> jax.Array:
    """float32 `count d`, what tells places apart."""
    return jnp.asarray(sinusoids(np.arange(count), self.dim))

  def _embed(
    self, tokens: jax.Array, positions: jax.Array, *, train: bool
  ) -> jax.Array:
    x = self.embedding(tokens) * math.sqrt(self.dim) + positions
    return self.input_dropout(x.astype(self.dtype), train=train)

  def _logits(self, x: jax.Array) -> jax.Array:
    return self.output(at_least_float32(self.final_norm(x)))
