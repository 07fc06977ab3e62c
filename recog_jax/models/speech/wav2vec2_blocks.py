"""What wav2vec 2.0's encoder is made of."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.activation import activation
from recog_jax.models.layers.attention import SelfAttention
from recog_jax.models.layers.dense import Dense, add_bias
from recog_jax.models.layers.feed_forward import FeedForward
from recog_jax.models.layers.mask import length_mask
from recog_jax.models.layers.transformer import Branch
from recog_jax.precision import at_least_float32

EPSILON = 1e-5


def layer_norm(dtype: jnp.dtype, name: str) -> nn.LayerNorm:
  """With the epsilon of all of them."""
  return nn.LayerNorm(EPSILON, dtype, name=name)


class ChannelNorm(nn.Module):
  """Each channel of an utterance over its time: group norm, a group a channel.

  Statistics are of the frames that count, in float32.
  """

  @nn.compact
  def __call__(self, x: jax.Array, lens: jax.Array) -> jax.Array:
    """`b t c` and int32 `b` to `b t c`."""
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
    wide = at_least_float32(x)
    there = length_mask(lens, x.shape[1])[..., None]
    count = jnp.maximum(lens, 1)[:, None, None]
    mean = jnp.where(there, wide, 0).sum(1, keepdims=True) / count
    apart = jnp.where(there, wide - mean, 0)
    square = jnp.square(apart).sum(1, keepdims=True) / count
    y = apart * (scale * jax.lax.rsqrt(square + EPSILON)) + bias
    return y.astype(x.dtype)


class PositionalConv(nn.Module):
  """A wide convolution that tells of positions; weight norm, then GELU.

  Weight norm (Salimans and Kingma, 2016, arXiv:1602.07868) of each place in the
  window: `kernel` v and `gain` g make the kernel g v / |v|.

  Attributes:
    window: frames that it sees; of an even number, one more of those before.
    groups: of channels.
    dtype: of the computation.
  """

  window: int
  groups: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`b t d` to the same."""
    d, size = x.shape[-1], self.window
    shape = (size, d // self.groups, d)
    std = (4 / (size * d)) ** 0.5  # As in the original.
    kernel = self.param(
      'kernel', nn.initializers.normal(std), shape, jnp.float32
    )
    norm = jnp.sqrt(jnp.square(kernel).sum((1, 2)))
    gain = self.param(
      'gain', lambda *_: jax.lax.stop_gradient(norm), (size,), jnp.float32
    )
    bias = self.param('bias', nn.initializers.zeros, (d,), jnp.float32)
    kernel = kernel * (gain / norm)[:, None, None]
    before = size // 2
    y = jax.lax.conv_general_dilated(
      x.astype(self.dtype),
      kernel.astype(self.dtype),
      (1,),
      [(before, size - 1 - before)],
      dimension_numbers=('NWC', 'WIO', 'NWC'),
      feature_group_count=self.groups,
    )
    return activation('gelu')(add_bias(y, bias))


class LanguageAdapter(nn.Module):
  """MMS's bottleneck, of one language (Pratap et al., 2023, section 4.2).

  Attributes:
    size: of the bottleneck.
    dtype: of the computation.
  """

  size: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`b t d` to what is added to it."""
    y = layer_norm(self.dtype, 'norm')(x)
    y = jax.nn.relu(Dense(self.size, dtype=self.dtype, name='down')(y))
    return Dense(x.shape[-1], dtype=self.dtype, name='up')(y)


class Block(nn.Module):
  """Self-attention and a position-wise network, normalised before or after.

  Attributes:
    heads: of the attention.
    inner: inner size of the position-wise network.
    pre_norm: normalise before each branch, and not each sum.
    language_adapter: size of MMS's adapter behind; 0: none.
    dropout: of both branches and of the inner layer.
    stochastic_depth: see `Branch`.
    dtype: of the computation.
  """

  heads: int
  inner: int
  pre_norm: bool
  language_adapter: int
  dropout: float
  stochastic_depth: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(
    self, x: jax.Array, mask: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b t d` to the same; `mask` bool `b t` says which frames count."""
    first = layer_norm(self.dtype, 'attention_norm')
    second = layer_norm(self.dtype, 'ffn_norm')
    attention = SelfAttention(
      self.heads, 'sinusoidal', self.dtype, name='attention'
    )
    ffn = FeedForward(self.inner, 'gelu', self.dropout, self.dtype, name='ffn')

    def branch(name, y):
      drop = Branch(self.dropout, self.stochastic_depth, name=name)
      return drop(y, train=train)

    if self.pre_norm:
      x = x + branch('attention_drop', attention(first(x), mask))
      x = x + branch('ffn_drop', ffn(second(x), train=train))
    else:
      x = first(x + branch('attention_drop', attention(x, mask)))
      x = second(x + branch('ffn_drop', ffn(x, train=train)))
    if self.language_adapter:
      adapter = LanguageAdapter(
        self.language_adapter, self.dtype, name='language_adapter'
      )
      x = x + adapter(x)
    return x


def spans(
  key: jax.Array, inside: jax.Array, share: float, length: int
) -> jax.Array:
  """Spans of places, as wav2vec 2.0 masks them; they may overlap.

  Every place begins one with probability share / length, so that nearly `share`
  of all places lie in spans where that is small.

  Args:
    key: random.
    inside: bool `b t`; no other places are in spans.
    share: in [0, 1].
    length: of a span.

  Returns:
    bool `b t`.
  """
  starts = jax.random.bernoulli(key, share / length, inside.shape) & inside
  count = jnp.cumsum(starts.astype(jnp.int32), 1)
  before = jnp.pad(count, ((0, 0), (length, 0)))[:, : inside.shape[1]]
  return (count > before) & inside
