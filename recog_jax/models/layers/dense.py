"""Biases whose gradients are sums in float32, and a dense layer with one."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.precision import spread


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
  """y plus a bias of its last axes, in the type of y; see `spread`.

  Args:
    y: `... c`, or `... n h` and so on, of any type.
    bias: `c`, or `n h` and so on; float32 as a rule.
  """
  return y + spread(bias, y)


class Dense(nn.Module):
  """flax's dense layer, with `add_bias`: the same parameters and outputs.

  Attributes:
    features: number of outputs.
    dtype: of the computation and the result; `kernel` and `bias` are float32.
    kernel_init: LeCun's, normal, unless given.
  """

  features: int
  dtype: jnp.dtype = jnp.float32
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`... d` to `... features`."""
    shape = (x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    zeros = nn.initializers.zeros
    bias = self.param('bias', zeros, (self.features,), jnp.float32)
    return add_bias(x.astype(self.dtype) @ kernel.astype(self.dtype), bias)
