"""Self-attention over padded sequences, and ways to tell it of positions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

from recog_jax.precision import at_least_float32
from recog_jax.tracing import split_tensor

POSITIONS = ('sinusoidal', 'relative', 'rotary')


def sinusoids(positions: np.ndarray, dim: int) -> np.ndarray:
  """float32 `t d`: sines, then cosines, of positions (Vaswani et al., 2017).

  Wavelengths go from 2 pi to 10,000 * 2 pi. (The paper has sine and cosine
  alternate, which is the same up to the order of the channels.)

  Args:
    positions: numbers `t`, negative ones too.
    dim: an even number.
  """
  rates = 10000.0 ** (-np.arange(0, dim, 2) / dim)
  angles = np.asarray(positions)[:, None] * rates
  return np.concatenate([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


def relative_shift(scores: jax.Array) -> jax.Array:
  """Scores by distance to scores by key (Dai et al., 2019, appendix B).

  Args:
    scores: `... t 2t-1`, the last axis being the distances query - key from
      t - 1 down to 1 - t.

  Returns:
    `... t t`: entry i, j is the score of query i at distance i - j.
  """
  *lead, t, width = scores.shape
  # With one more column, rows that are one shorter start one later each time.
  x = jnp.pad(scores, [(0, 0)] * (len(lead) + 1) + [(0, 1)])
  x = x.reshape(*lead, t * (width + 1))[..., t - 1 : t - 1 + t * width]
  return x.reshape(*lead, t, width)[..., :t]


def rotate(x: jax.Array) -> jax.Array:
  """Rotary positions of `b t n h` (Su et al., 2021, arXiv:2104.09864).

  Pairs of channels (i, i + h/2) are turned by angles that grow with t, so that
  products of queries and keys depend on their distance.
  """
  t, h = x.shape[1], x.shape[-1]
  sin, cos = np.split(sinusoids(np.arange(t), h)[:, None], 2, -1)
  first, second = jnp.split(at_least_float32(x), 2, -1)
  turned = [first * cos - second * sin, first * sin + second * cos]
  return jnp.concatenate(turned, -1).astype(x.dtype)


class _Projections(nn.Module):
  """Queries, keys and values of all heads by one product.

  Parameters `kernel` `d 3d` and `bias`, as a dense layer has them: each of the
  three lies in d columns, head after head. They are cut by heads before the
  product, so that heads can be divided over devices.
  """

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`b t d` to three of `b t n h`."""
    d = x.shape[-1]
    init = nn.initializers.lecun_normal()
    kernel = self.param('kernel', init, (d, 3 * d), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (3 * d,), jnp.float32)
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
    shape = (3, self.heads, d // self.heads)
    y = jnp.einsum('btd,dcnh->btcnh', x, kernel.reshape(d, *shape))
    y = split_tensor(y + bias.reshape(shape), axis=3)
    return y[:, :, 0], y[:, :, 1], y[:, :, 2]


class SelfAttention(nn.Module):
  """Multi-head self-attention (Vaswani et al., 2017, arXiv:1706.03762).

  There is no dropout of attention weights: the paper has none, and it would
  keep the weights in memory.

  Attributes:
    heads: number n of heads; they share d equally.
    positions: `relative` (Dai et al., 2019, arXiv:1901.02860, as Conformer has
      it: sinusoids of the distance, projected, and two learned biases of the
      query), `rotary`, or `sinusoidal`, for which x brings its positions.
    dtype: of the computation; the softmax is float32.
  """

  heads: int
  positions: str
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Attends from every frame to the frames that count.

    Args:
      x: `b t d`.
      mask: bool `b t`, the frames that count; None for all.

    Returns:
      `b t d`.
    """
    b, t, d = x.shape
    q, k, v = _Projections(self.heads, self.dtype, name='qkv')(x)
    bias = None
    if self.positions == 'relative':
      q, bias = self._relative(q)
    elif self.positions == 'rotary':
      q, k = rotate(q), rotate(k)
    if mask is not None:
      mask = mask[:, None, None, :]
    y = jax.nn.dot_product_attention(q, k, v, bias, mask)
    return nn.Dense(d, dtype=self.dtype, name='out')(y.reshape(b, t, d))

  def _relative(self, q):
    """Queries for contents, and `b n t t` scores of the distances."""
    t, head = q.shape[1], q.shape[-1]
    shape, zeros = (self.heads, head), nn.initializers.zeros
    content = self.param('content_bias', zeros, shape, jnp.float32)
    position = self.param('position_bias', zeros, shape, jnp.float32)
    dim = self.heads * head
    table = sinusoids(np.arange(t - 1, -t, -1), dim)
    project = nn.Dense(dim, use_bias=False, dtype=self.dtype, name='position')
    r = project(jnp.asarray(table, self.dtype)).reshape(-1, *shape)
    scores = jnp.einsum('btnh,snh->bnts', q + position.astype(self.dtype), r)
    # `dot_product_attention` scales what it computes, not the bias.
    bias = relative_shift(scores) * head**-0.5
    return q + content.astype(self.dtype), bias
