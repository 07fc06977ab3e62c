"""Batch normalisation that leaves padding out and knows its global count."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.precision import at_least_float32
from recog_jax.tracing import current_batch_axis


def batch_moments(
  x: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Mean and biased variance of each channel over the positions that count.

  Sums, sums of squares and counts are added up before anything is divided, so
  that devices with different counts, or none, give the moments of the whole
  batch (where `recog_jax.tracing.batch_axis` says that it is divided).

  Args:
    x: `... c`.
    mask: bool, True where x counts; its axes are the leading axes of x (`b`
      for rows, `b t` for frames). None counts everything.

  Returns:
    Mean `c`, variance `c` and count (a scalar), at least float32. Where nothing
    counts all three are zero.
  """
  axes = tuple(range(x.ndim - 1))
  x = at_least_float32(x)
  positions = x.size // x.shape[-1]
  if mask is None:
    count = jnp.asarray(positions, x.dtype)
  else:
    count = mask.sum(dtype=x.dtype) * (positions // mask.size)
    x = jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x, 0)
  total, squares = x.sum(axes), jnp.square(x).sum(axes)
  axis_name = current_batch_axis()
  if axis_name is not None:
    total, squares = lax.psum((total, squares), axis_name)
    # Without a mask it is known beforehand, and costs no collective.
    devices = lax.axis_size(axis_name)
    count = count * devices if mask is None else lax.psum(count, axis_name)
  safe = jnp.maximum(count, 1)
  mean = total / safe
  # Rounding can take the difference below zero where the variance is tiny.
  variance = jnp.maximum(squares / safe - jnp.square(mean), 0)
  return mean, variance, count


class BatchNorm(nn.Module):
  """Batch normalisation (Ioffe and Szegedy, 2015).

  Statistics are at least float32 whatever the compute dtype. The running
  variance is the biased one that normalised the batch, as in flax (torch stores
  n / (n - 1) of it). A batch in which nothing counts leaves the running
  statistics alone.

  Parameters `scale`, `bias`; collection `batch_stats`: `mean`, `var`.

  Attributes:
    momentum: share of the old running statistics that a step keeps (torch's
      momentum is one minus this).
    epsilon: added to the variance.
    dtype: of the result.
    scale_init: initialiser of `scale`; zeros make a residual branch start as
      nothing (Goyal et al., 2017).
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: jnp.dtype = jnp.float32
  scale_init: nn.initializers.Initializer = nn.initializers.ones

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> jax.Array:
    """Normalises each channel of `... c`.

    Args:
      x: `... c`.
      train: normalise by this batch's moments and update the running ones,
        else normalise by the running ones.
      mask: see `batch_moments`; what does not count is normalised too.
    """
    shape = x.shape[-1:]
    scale = self.param('scale', self.scale_init, shape, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
    running_var = self.variable('batch_stats', 'var', jnp.ones, shape)

    if train:
      mean, var, count = batch_moments(x, mask)
      if not self.is_initializing():
        rate = jnp.where(count > 0, 1 - self.momentum, 0)
        running_mean.value += rate * (mean - running_mean.value)
        running_var.value += rate * (var - running_var.value)
    else:
      mean, var = running_mean.value, running_var.value

    # One multiplication and one addition per element, and the gradient needs
    # x only: on the CPU 1.4 times the speed of subtracting the mean first.
    gain = scale * lax.rsqrt(var + self.epsilon)
    shift = bias - mean * gain
    return (at_least_float32(x) * gain + shift).astype(self.dtype)


def batch_norm_of(model: nn.Module) -> functools.partial:
  """`BatchNorm` with a model's `norm_momentum`, `norm_epsilon` and `dtype`."""
  return functools.partial(
    BatchNorm,
    momentum=model.norm_momentum,
    epsilon=model.norm_epsilon,
    dtype=model.dtype,
  )
