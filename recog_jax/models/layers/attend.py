"""Scaled dot-product attention, by what the device has for it."""

import jax
import jax.numpy as jnp

from recog_jax import tracing

# Of a head, that every GPU with flash attention has; larger ones only some.
_MOST_CHANNELS = 128


def attend(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  bias: jax.Array | None = None,
  mask: jax.Array | None = None,
  *,
  is_causal: bool = False,
) -> jax.Array:
  """`jax.nn.dot_product_attention`, by cuDNN where that is here and fits.

  cuDNN's (Dao et al., 2022, "FlashAttention", arXiv:2205.14135) never has all
  scores in memory. In float64 the products are float64, too, which jax's own
  would sum up in float32.

  Args:
    q: `b t n h`.
    k: `b s n h`.
    v: `b s n h`.
    bias: added to the scores, broadcastable to `b n t s`.
    mask: bool, the keys that a query sees, broadcastable to `b n t s`.
    is_causal: whether a query sees no key after it.

  Returns:
    `b t n h`.
  """
  if q.dtype == jnp.float64:
    return _wide(q, k, v, bias, mask, is_causal)
  if tracing.cudnn() and _fits(q, k, bias, mask):
    if mask is not None:
      shape = (*mask.shape[:2], q.shape[1], k.shape[1])
      mask = jnp.broadcast_to(mask, shape)
    try:
      return jax.nn.dot_product_attention(
        q, k, v, mask=mask, is_causal=is_causal, implementation='cudnn'
      )
    except (NotImplementedError, RuntimeError, ValueError):
      pass  # A cuDNN or a GPU that is too old; jax says so while it traces.
  return jax.nn.dot_product_attention(q, k, v, bias, mask, is_causal=is_causal)


def _fits(q, k, bias, mask) -> bool:
  """Whether cuDNN has the shapes and types.

  Not with a bias: whether its gradient is that of every row depends on the
  version. A mask becomes one, and then lengths have to be even.
  """
  t, s, h = q.shape[1], k.shape[1], q.shape[-1]
  low = q.dtype in (jnp.bfloat16, jnp.float16) and k.dtype == q.dtype
  even = mask is None or (t % 2 == 0 and s % 2 == 0)
  return low and bias is None and h % 8 == 0 and h <= _MOST_CHANNELS and even


def _wide(q, k, v, bias, mask, is_causal):
  scores = jnp.einsum('btnh,bsnh->bnts', q, k) * q.shape[-1] ** -0.5
  if bias is not None:
    scores = scores + bias
  if is_causal:
    seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    mask = seen if mask is None else mask & seen
  if mask is not None:
    scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min / 2)
  return jnp.einsum('bnts,bsnh->btnh', jax.nn.softmax(scores), v)
