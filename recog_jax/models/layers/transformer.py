"""The block of speech and vision Transformers."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.attention import SelfAttention
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.feed_forward import FeedForward


class Branch(nn.Module):
  """What a residual branch goes through before it is added.

  Attributes:
    dropout: share of its elements that is dropped.
    stochastic_depth: share of rows for which it is left out.
  """

  dropout: float
  stochastic_depth: float

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`b t d` to the same."""
    x = Dropout(self.dropout, name='dropout')(x, train=train)
    depth = Dropout(self.stochastic_depth, broadcast_dims=(1, 2), name='depth')
    return depth(x, train=train)


class TransformerBlock(nn.Module):
  """Self-attention and a position-wise network, each normalised before.

  Attributes:
    heads: of the attention.
    inner: inner size of the position-wise network.
    positions: see `SelfAttention`.
    activation: of the position-wise network.
    dropout: of both branches and of the inner layer.
    stochastic_depth: see `Branch`.
    dtype: of the computation.
    key_bias: see `SelfAttention`.
    epsilon: of the normalisations.
  """

  heads: int
  inner: int
  positions: str
  activation: str
  dropout: float
  stochastic_depth: float
  dtype: jnp.dtype
  key_bias: bool = True
  epsilon: float = 1e-6

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    mask: jax.Array | None,
    seen: jax.Array | None = None,
    cache: Mapping[str, Any] | None = None,
    *,
    train: bool,
  ) -> jax.Array | tuple[jax.Array, dict[str, Any]]:
    """`b t d` to the same.

    Args:
      x: `b t d`.
      mask: bool `b t`, which frames count; None for all.
      seen: bool `b t s`, which of them each frame sees; None for all.
      cache: of the attention, see `SelfAttention`.
      train: use dropout.

    Returns:
      `b t d`; and where there is a cache, that of what follows.
    """
    y = nn.LayerNorm(self.epsilon, self.dtype, name='attention_norm')(x)
    attention = SelfAttention(
      self.heads, self.positions, self.dtype, self.key_bias, name='attention'
    )
    y = attention(y, mask if seen is None else seen, cache)
    if cache is not None:
      y, cache = y
    branch = Branch(self.dropout, self.stochastic_depth, name='attention_drop')
    x = x + branch(y, train=train)
    y = nn.LayerNorm(self.epsilon, self.dtype, name='ffn_norm')(x)
    y = FeedForward(
      self.inner, self.activation, self.dropout, self.dtype, name='ffn'
    )(y, train=train)
    branch = Branch(self.dropout, self.stochastic_depth, name='ffn_drop')
    x = x + branch(y, train=train)
    return x if cache is None else (x, cache)

  def cache(self, b: int, dim: int) -> dict[str, jax.Array]:
    """What `__call__` is given of the frames before the first, beside keys."""
    del b, dim
    return {}
