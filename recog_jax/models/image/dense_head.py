"""The dense layers in which AlexNet and VGG end."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.precision import at_least_float32


class DenseHead(nn.Module):
  """Dense layers with activation and dropout, then the logits.

  Attributes:
    num_outputs: number v of logits.
    hidden: sizes of the layers before them.
    activation: of those; see `layers.activation`.
    dropout: share that is dropped.
    dropout_first: drop the input of each hidden layer, not its output.
    dtype: of the hidden layers; the logits are float32.
  """

  num_outputs: int
  hidden: tuple[int, ...]
  activation: str
  dropout: float
  dropout_first: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """float32 logits `b v` of `b f`, and `features`, the last layer's input."""
    init = nn.initializers.normal(0.01)
    for number, size in enumerate(self.hidden, 1):
      drop = Dropout(self.dropout, name=f'dropout{number}')
      if self.dropout_first:
        x = drop(x, train=train)
      dense = Dense(size, self.dtype, init, name=f'fc{number}')
      x = activation_named(self.activation)(dense(x))
      if not self.dropout_first:
        x = drop(x, train=train)
    features = at_least_float32(x)
    head = nn.Dense(self.num_outputs, kernel_init=init, name='head')
    return head(features), {'features': features}
