"""An LSTM by cuDNN, with the parameters and the padding of `RecurrentLayer`.

One call for all steps and both directions, in the place of a loop whose every
step starts kernels of its own. `jax.experimental.rnn` has it in float32 alone,
with products in TF32 unless jax is told otherwise: in bfloat16 inputs and
matrices are rounded as the loop rounds them, and the state that enters a
product is not.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax import tracing
from recog_jax.models.layers.mask import length_mask


def fits(cell: str, sides: Mapping[str, jax.Array], dtype: jnp.dtype) -> bool:
  """Whether cuDNN is here and has this layer.

  Args:
    cell: of `RecurrentLayer`.
    sides: its parameters, `d ...` of d directions.
    dtype: of its products.
  """
  plain = set(sides) == {'input_kernel', 'hidden_kernel', 'bias'}
  known = dtype in (jnp.float32, jnp.bfloat16)
  return cell == 'lstm' and plain and known and tracing.cudnn()


def flat_weights(sides: Mapping[str, jax.Array]) -> jax.Array:
  """Parameters of one layer as cuDNN lays them out: matrices, then biases.

  Each direction has two matrices, of inputs and of states, gates i f g o of h
  rows each, and two biases, of which ours is the first.
  """
  parts = []
  for x, h in zip(sides['input_kernel'], sides['hidden_kernel'], strict=True):
    parts += [x.T.ravel(), h.T.ravel()]
  for bias in sides['bias']:
    parts += [bias, jnp.zeros_like(bias)]
  return jnp.concatenate(parts)


def lstm(
  x: jax.Array,
  lengths: jax.Array,
  sides: Mapping[str, jax.Array],
  dtype: jnp.dtype,
) -> jax.Array:
  """`b t f` to `b t (d h)`, zero behind the lengths.

  Args:
    x: `b t f`.
    lengths: int32 `b`.
    sides: see `fits`.
    dtype: of the products, and of the result.
  """

  def rounded(value):
    return value.astype(dtype).astype(jnp.float32)

  kernels = {k: rounded(v) for k, v in sides.items() if k != 'bias'}
  weights = flat_weights({**kernels, 'bias': sides['bias']})
  # It has no row without frames; what it makes of one is left out below.
  least_one = jnp.maximum(lengths, 1).astype(jnp.int32)
  y = _call(rounded(x), weights, least_one, *sides['hidden_kernel'].shape[:2])
  valid = length_mask(lengths, x.shape[1])[..., None]
  return jnp.where(valid, y, 0).astype(dtype)


def _call(x, weights, lengths, directions, hidden):
  from jax.experimental import rnn

  exact = jax.config.jax_default_matmul_precision in (
    'highest',
    'float32',
  )
  zeros = jnp.zeros((directions, x.shape[0], hidden), jnp.float32)
  y, _, _ = rnn.lstm(
    x,
    zeros,
    zeros,
    weights,
    lengths,
    x.shape[-1],
    hidden,
    1,
    0.0,
    directions == 2,
    (lax.Precision.HIGHEST,) * 2 if exact else None,
  )
  return y
