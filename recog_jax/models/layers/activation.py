"""Activation functions by name, and the initialisation that suits each."""

from collections.abc import Callable
from typing import Annotated

import flax.linen as nn
import jax

from recog_jax.errors import unknown_name
from recog_jax.ranges import Names


def _gelu(x: jax.Array) -> jax.Array:
  """GELU as its paper defines it (Hendrycks and Gimpel, 2016), by erf."""
  return jax.nn.gelu(x, approximate=False)


def _identity(x: jax.Array) -> jax.Array:
  return x


_ACTIVATIONS = {
  'identity': _identity,
  'relu': jax.nn.relu,
  'sigmoid': jax.nn.sigmoid,
  'tanh': jax.numpy.tanh,
  'gelu': _gelu,
  'silu': jax.nn.silu,
  'relu6': jax.nn.relu6,
  'hard_sigmoid': jax.nn.hard_sigmoid,
  'hard_swish': jax.nn.hard_swish,
}
_SATURATING = ('sigmoid', 'tanh')
# Their names, as a type of keys.
Activation = Annotated[str, Names(tuple(_ACTIVATIONS))]


def activation(name: str) -> Callable[[jax.Array], jax.Array]:
  """The elementwise function of that name.

  Raises:
    UserError: no such activation; the known ones are listed.
  """
  if name not in _ACTIVATIONS:
    raise unknown_name('activation', name, _ACTIVATIONS)
  return _ACTIVATIONS[name]


def kernel_init(name: str) -> nn.initializers.Initializer:
  """Initialiser of a kernel whose output goes through that activation.

  Glorot and Bengio (2010) for functions that saturate, else He et al. (2015)
  by fan in.
  """
  if name in _SATURATING:
    return nn.initializers.glorot_normal()
  return nn.initializers.he_normal()
