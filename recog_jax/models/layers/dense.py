"""Dense layers whose gradients keep the bias in full."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
  """y plus a bias of its last axes, in the type of y.

  The bias is spread before it is rounded, so that its gradient, a sum over all
  rows and places, is one in the bias's own type. The other way round it would
  be one of bfloat16 numbers in bfloat16, which is less exact, and which XLA
  sums on one thread of a CPU (5 to 10 times slower).

  Args:
    y: `... c`, or `... b c` and so on, of any type.
    bias: `c`, or `b c` and so on; float32 as a rule.
  """
  return y + jnp.broadcast_to(bias, y.shape).astype(y.dtype)


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
