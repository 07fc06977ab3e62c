"""Self-attention over padded sequences, and ways to tell it of positions."""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.models.layers.attend import attend
from recog_jax.models.layers.dense import Dense, add_bias
from recog_jax.precision import at_least_float32
from recog_jax.tracing import split_tensor

Positions = Literal['sinusoidal', 'relative', 'rotary']


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


def relative_scores(
  q: jax.Array, kernel: jax.Array, dtype: jnp.dtype, before: int = 0
) -> jax.Array:
  """Products of queries with projected sinusoids of the distance to each key.

  Dai et al., 2019 (arXiv:1901.02860, appendix B), make them for all 2t - 1
  distances and then shift row i by i places. A TPU has to lay the scores out
  anew for that, which was a third of a Conformer's memory traffic. Here the
  sine of a distance w (i - j) is taken apart by sin(a - b) = sin a cos b - cos
  a sin b, and its cosine: what depends on i goes into the query, and one
  product with the sinusoids of j is left, which needs no shift.

  Args:
    q: `b t n h`.
    kernel: `d n h`, projects the sinusoids of a distance, sines first.
    dtype: of the products.
    before: keys that stand before the first query.

  Returns:
    `b n t s` with s = before + t: entry i, j is of query i at the distance
    before + i - j.
  """
  t, dim = q.shape[1], kernel.shape[0]
  table = sinusoids(np.arange(before + t), dim)
  sin, cos = np.split(table[before:, None], 2, -1)
  along = jnp.einsum('btnh,dnh->btnd', q, kernel.astype(q.dtype))
  on_sine, on_cosine = jnp.split(at_least_float32(along), 2, -1)
  turned = [on_cosine * sin - on_sine * cos, on_sine * sin + on_cosine * cos]
  turned = jnp.concatenate(turned, -1).astype(dtype)
  return jnp.einsum('btnd,sd->bnts', turned, jnp.asarray(table, dtype))


def rotate(x: jax.Array, start: int = 0) -> jax.Array:
  """Rotary positions of `b t n h` (Su et al., 2021, arXiv:2104.09864).

  Pairs of channels (i, i + h/2) are turned by angles that grow with t, so that
  products of queries and keys depend on their distance.

  Args:
    x: `b t n h`.
    start: position of the first.
  """
  t, h = x.shape[1], x.shape[-1]
  sin, cos = np.split(sinusoids(np.arange(start, start + t), h)[:, None], 2, -1)
  first, second = jnp.split(at_least_float32(x), 2, -1)
  turned = [first * cos - second * sin, first * sin + second * cos]
  return jnp.concatenate(turned, -1).astype(x.dtype)


class Projections(nn.Module):
  """Queries, keys and values of all heads, or some of them, by one product.

  Parameters `kernel` `d (parts dim)` and `bias`, as a dense layer has them:
  each part lies in dim columns, head after head. They are cut by heads before
  the product, so that heads can be divided over devices.

  Attributes:
    heads: number n of heads.
    parts: how many projections.
    dim: size of each; None: that of the input.
    unbiased: the parts that have no bias, which `bias` then lacks.
    dtype: of the computation.
  """

  heads: int
  dtype: jnp.dtype
  parts: int = 3
  dim: int | None = None
  unbiased: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
    """`b t d` to as many `b t n h` as there are parts."""
    d, parts = x.shape[-1], self.parts
    dim = self.dim or d
    init = nn.initializers.lecun_normal()
    kernel = self.param('kernel', init, (d, parts * dim), jnp.float32)
    with_bias = parts - len(self.unbiased)
    bias = self.param(
      'bias', nn.initializers.zeros, (with_bias * dim,), jnp.float32
    )
    if self.unbiased:
      bias = self._with_zeros(bias.reshape(with_bias, dim))
    x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
    shape = (parts, self.heads, dim // self.heads)
    y = jnp.einsum('btd,dcnh->btcnh', x, kernel.reshape(d, *shape))
    y = split_tensor(add_bias(y, bias.reshape(shape)), axis=3)
    return tuple(y[:, :, part] for part in range(parts))

  def _with_zeros(self, bias: jax.Array) -> jax.Array:
    """`parts d` of the rows of those that have a bias."""
    rows = list(bias)
    for part in sorted(self.unbiased):
      rows.insert(part, jnp.zeros_like(bias[0]))
    return jnp.stack(rows)


class _Kernel(nn.Module):
  """The parameter `kernel` `d d`, as a dense layer without bias has it."""

  dim: int

  @nn.compact
  def __call__(self) -> jax.Array:
    init, shape = nn.initializers.lecun_normal(), (self.dim, self.dim)
    return self.param('kernel', init, shape, jnp.float32)


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
    key_bias: whether the keys' projection has a bias, which changes nothing
      but the number of parameters: it adds the same to all scores of a query.
  """

  heads: int
  positions: str
  dtype: jnp.dtype = jnp.float32
  key_bias: bool = True

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    mask: jax.Array | None,
    cache: Mapping[str, jax.Array] | None = None,
  ) -> jax.Array | tuple[jax.Array, dict[str, jax.Array]]:
    """Attends from every frame to the frames that count.

    Positions are counted from the first key that is there, so that a stream of
    hours loses no phase: only distances matter.

    Args:
      x: `b t d`.
      mask: bool `b t`, the frames that count, or `b t s`, those that each of
        the t frames sees; None for all.
      cache: `k` and `v` `b l n h`, the keys, without positions, and the values
        of the l frames before x; s is then l + t.

    Returns:
      `b t d`; and where there is a cache, that of what follows.
    """
    b, t, d = x.shape
    unbiased = () if self.key_bias else (1,)
    q, k, v = Projections(
      self.heads, self.dtype, unbiased=unbiased, name='qkv'
    )(x)
    bias, before = None, 0
    if cache is not None:
      before = cache['k'].shape[1]
      k = jnp.concatenate([cache['k'], k], 1)
      v = jnp.concatenate([cache['v'], v], 1)
      cache = {'k': k[:, t:], 'v': v[:, t:]}
    if self.positions == 'relative':
      q, bias = self._relative(q, before)
    elif self.positions == 'rotary':
      q, k = rotate(q, before), rotate(k)
    if mask is not None:
      mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
    y = attend(q, k, v, bias, mask)
    y = Dense(d, dtype=self.dtype, name='out')(y.reshape(b, t, d))
    return y if cache is None else (y, cache)

  def _relative(self, q, before):
    """Queries for contents, and `b n t s` scores of the distances."""
    head = q.shape[-1]
    shape, zeros = (self.heads, head), nn.initializers.zeros
    content = self.param('content_bias', zeros, shape, jnp.float32)
    position = self.param('position_bias', zeros, shape, jnp.float32)
    dim = self.heads * head
    # The kernel of a dense layer from sinusoids of the distance.
    kernel = _Kernel(dim, name='position')().reshape(dim, *shape)
    q_place = add_bias(q, position)
    scores = relative_scores(q_place, kernel, self.dtype, before)
    # `attend` scales what it computes, not the bias.
    return add_bias(q, content), scores * head**-0.5
