"""A feed-forward network over flattened images."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel
from recog_jax.models.layers import options
from recog_jax.models.layers.activation import Activation, kernel_init
from recog_jax.models.layers.activation import activation as activation_named
from recog_jax.models.layers.dense import Dense
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Rate, Size


class MLP(ImageModel):
  """A multilayer perceptron.

  Attributes:
    num_outputs: number of classes or other outputs.
    hidden: width of each hidden layer; none makes it a linear model.
    activation: see `layers.activation`.
    dropout: share dropped after each hidden layer.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  hidden: Sequence[Size] = (512, 512)
  activation: Activation = 'relu'
  dropout: Rate = 0.0
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    dense = (f'dense{n}' for n in range(1, len(self.hidden) + 1))
    return (*dense, 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    del mask
    act = activation_named(self.activation)
    x = x.reshape(x.shape[0], -1).astype(self.dtype)
    for index, width in enumerate(self.hidden):
      x = Dense(
        width,
        dtype=self.dtype,
        kernel_init=kernel_init(self.activation),
        name=f'dense{index + 1}',
      )(x)
      drop = nn.Dropout(
        self.dropout, deterministic=not train, name=f'dropout{index + 1}'
      )
      x = drop(act(x))
    features = at_least_float32(x)
    head = nn.Dense(self.num_outputs, name='head')
    return head(features), {'features': features}


mlp = options.factory(MLP, 'mlp')
