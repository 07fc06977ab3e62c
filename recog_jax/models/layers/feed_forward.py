"""The position-wise network of Transformer and Conformer."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.activation import activation
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.tracing import split_tensor


class FeedForward(nn.Module):
  """Two dense layers, dropout after the activation.

  Attributes:
    inner: size of the first layer.
    activation: after it; see `layers.activation`.
    dropout: share of the inner layer that is dropped.
    dtype: of the computation.
  """

  inner: int
  activation: str
  dropout: float
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`... d` to `... d`."""
    y = Dense(self.inner, dtype=self.dtype, name='inner')(x)
    y = split_tensor(y, axis=y.ndim - 1)
    y = activation(self.activation)(y)
    y = Dropout(self.dropout, name='dropout')(y, train=train)
    return Dense(x.shape[-1], dtype=self.dtype, name='outer')(y)
