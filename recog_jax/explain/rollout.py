"""Attention rollout: how tokens of the input come together in the last layer.

Abnar and Zuidema, "Quantifying attention flow in Transformers", ACL 2020
(arXiv:2005.00928).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def attention(q: jax.Array, k: jax.Array) -> jax.Array:
  """`b n t s`, shares of the keys by query, of `b t n h` and `b s n h`."""
  scores = jnp.einsum('btnh,bsnh->bnts', q, k) / jnp.sqrt(q.shape[-1])
  return jax.nn.softmax(scores.astype(jnp.float32))


def rollout(attentions: Sequence[jax.Array]) -> jax.Array:
  """The product of all layers' attention, half of each the shortcut.

  Args:
    attentions: of each layer from the first on, `b n t t`; their mean over the
      heads is taken.

  Returns:
    `b t t`: row i says how much each token of the input is in token i of the
    last layer; rows sum to 1.
  """
  mixed = None
  for layer in attentions:
    shares = 0.5 * layer.mean(1) + 0.5 * jnp.eye(layer.shape[-1])
    mixed = shares if mixed is None else shares @ mixed
  if mixed is None:
    raise ValueError('there is no layer with attention')
  return mixed
