"""Two-dimensional convolution that is also fast on the CPU.

XLA's CPU compiler has fast routines for most convolutions and none for some;
those are written in another form here, chosen by shape. GPUs and TPUs get the
plain convolution, which their compilers handle well.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.models.layers.dense import add_bias
from recog_jax.models.layers.depthwise2d import depthwise_conv2d
from recog_jax.models.layers.taps import taps
from recog_jax.tracing import has_own_weights, on_cpu

Padding = str | int | Sequence[tuple[int, int]]

# Images in a part of the batch for the weight gradient, and most parts.
_PART = 32
_MOST_PARTS = 16


def explicit_padding(padding: Padding, size, kernel, strides):
  """((top, bottom), (left, right)) of 'SAME', 'VALID', an int or pairs."""
  if isinstance(padding, int):
    return ((padding, padding), (padding, padding))
  if isinstance(padding, str):
    return tuple(lax.padtype_to_pads(size, kernel, strides, padding))
  return tuple(tuple(pair) for pair in padding)


def _convolve(x, kernel, strides, pads, groups):
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    pads,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def _as_product(x, kernel, strides, pads):
  """The convolution as one matrix product over all patches."""
  patches = jnp.concatenate(taps(x, kernel.shape[:2], strides, pads), -1)
  b, h, w, c = patches.shape
  y = patches.reshape(b * h * w, c) @ kernel.reshape(c, -1)
  return y.reshape(b, h, w, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve_large_batch(x, kernel, strides, pads, groups):
  """A convolution whose weight gradient goes through the batch in parts."""
  return _convolve(x, kernel, strides, pads, groups)


def _large_batch_fwd(x, kernel, strides, pads, groups):
  return _convolve(x, kernel, strides, pads, groups), (x, kernel)


def _large_batch_bwd(strides, pads, groups, saved, dy):
  x, kernel = saved

  def with_x(x):
    return _convolve(x, kernel, strides, pads, groups)

  (dx,) = jax.linear_transpose(with_x, x)(dy)
  parts = max(min(len(x) // _PART, _MOST_PARTS), 1)
  while len(x) % parts:
    parts -= 1
  # Part i has rows i, i + parts, ...: a batch that is sharded over devices
  # stays so in every part.
  x, dy = (a.reshape(-1, parts, *a.shape[1:]) for a in (x, dy))
  total = jnp.zeros(kernel.shape, jnp.promote_types(kernel.dtype, jnp.float32))
  for i in range(parts):
    part = x[:, i]

    def with_kernel(kernel, part=part):
      return _convolve(part, kernel, strides, pads, groups)

    total += jax.linear_transpose(with_kernel, kernel)(dy[:, i])[0]
  return dx, total.astype(kernel.dtype)


_convolve_large_batch.defvjp(_large_batch_fwd, _large_batch_bwd)


def _convolve_on_cpu(x, kernel, strides, pads, groups):
  """Chooses, by shapes alone, the form that XLA's CPU compiler runs fast.

  All of them were measured on two cores, float32 (experiments/RESULTS.md):
  - 1x1 kernels as a matrix product: backwards several times faster.
  - Images smaller than the kernel as a product over patches: XLA would make
    the image the kernel and then miss its fast routines (20 times slower).
  - One input channel and strides (the first layer of a spectrogram) as a
    product too: forward 1.2 times, weight gradient 2 times faster.
  - As many groups as channels: see `depthwise2d`.
  - The weight gradient of a large batch in parts: XLA makes the batch the
    channels of a convolution with a kernel as large as the image, which for
    512 images took several times as long as in parts.
  - Gradients of single rows, or a kernel for each, as a product: they would be
    convolutions in groups.
  """
  kh, kw, _, _ = kernel.shape
  if groups == x.shape[-1] == kernel.shape[-1]:
    return depthwise_conv2d(x, kernel, strides, pads)
  alone = has_own_weights() or ((kh, kw) == (1, 1) and not any(map(any, pads)))
  if groups == 1 and alone:
    return _as_product(x, kernel, strides, pads)
  (h, w), (sh, sw) = x.shape[1:3], strides
  out_h = (h + sum(pads[0]) - kh) // sh + 1
  out_w = (w + sum(pads[1]) - kw) // sw + 1
  one_channel = x.shape[-1] == 1 and max(strides) > 1
  few_places = min(h * w, out_h * out_w) < kh * kw
  if groups == 1 and (one_channel or few_places):
    return _as_product(x, kernel, strides, pads)
  if len(x) >= 2 * _PART:
    return _convolve_large_batch(x, kernel, strides, pads, groups)
  return _convolve(x, kernel, strides, pads, groups)


def conv2d(
  x: jax.Array,
  kernel: jax.Array,
  *,
  strides: Sequence[int] = (1, 1),
  padding: Padding = 0,
  groups: int = 1,
) -> jax.Array:
  """Convolves `b h w c` with an HWIO kernel (groups split the channels).

  Args:
    x: `b h w c`.
    kernel: `kh kw c/groups features`, of x's dtype.
    strides: vertical, horizontal.
    padding: 'SAME', 'VALID', an int (that many rows and columns of zeros on
      each side), or ((top, bottom), (left, right)).
    groups: number of channel groups; c for a depthwise convolution.
  """
  strides = tuple(strides)
  pads = explicit_padding(padding, x.shape[1:3], kernel.shape[:2], strides)
  convolve = _convolve_on_cpu if on_cpu() else _convolve
  return convolve(x, kernel, strides, pads, groups)


class Conv(nn.Module):
  """Convolution over `b h w c` with float32 parameters `kernel` and `bias`.

  Attributes:
    features: number of output channels.
    kernel: height and width of the kernel.
    strides: vertical, horizontal.
    padding: see `conv2d`; an int pads symmetrically, as torch does.
    groups: number of channel groups.
    use_bias: adds a bias per output channel, zero at first.
    dtype: of the computation and the result.
    kernel_init: He et al. (2015), normal, by fan out, unless given.
  """

  features: int
  kernel: tuple[int, int]
  strides: tuple[int, int] = (1, 1)
  padding: Padding = 0
  groups: int = 1
  use_bias: bool = False
  dtype: jnp.dtype = jnp.float32
  kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(
    2.0, 'fan_out', 'normal'
  )

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (*self.kernel, x.shape[-1] // self.groups, self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    y = conv2d(
      x.astype(self.dtype),
      kernel.astype(self.dtype),
      strides=self.strides,
      padding=self.padding,
      groups=self.groups,
    )
    if self.use_bias:
      bias = self.param(
        'bias', nn.initializers.zeros, (self.features,), jnp.float32
      )
      y = add_bias(y, bias)
    return y
