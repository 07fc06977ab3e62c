"""Two-dimensional convolution that is also fast on the CPU.

XLA's CPU convolution is slow backwards for 1x1 kernels, so there a pointwise
convolution is written as a matrix product. GPUs and TPUs get the plain
convolution, which their compilers handle well.
"""

import contextlib
import contextvars
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Padding = str | int | Sequence[tuple[int, int]]

_BACKEND = contextvars.ContextVar('conv_backend', default=None)


@contextlib.contextmanager
def target_backend(name: str):
  """Traces convolutions for backend `name`, whatever this machine has.

  For compiling ahead of time: the program for a TPU, made on a CPU.
  """
  token = _BACKEND.set(name)
  try:
    yield
  finally:
    _BACKEND.reset(token)


def _on_cpu() -> bool:
  return (_BACKEND.get() or jax.default_backend()) == 'cpu'


def explicit_padding(padding: Padding, size, kernel, strides):
  """((top, bottom), (left, right)) of 'SAME', 'VALID', an int or pairs."""
  if isinstance(padding, int):
    return ((padding, padding), (padding, padding))
  if isinstance(padding, str):
    return tuple(lax.padtype_to_pads(size, kernel, strides, padding))
  return tuple(tuple(pair) for pair in padding)


def _pointwise(x, kernel, strides):
  """A 1x1 convolution as one matrix product."""
  x = x[:, :: strides[0], :: strides[1]]
  b, h, w, c = x.shape
  y = x.reshape(b * h * w, c) @ kernel.reshape(c, -1)
  return y.reshape(b, h, w, -1)


def conv2d(x, kernel, *, strides=(1, 1), padding: Padding = 0, groups: int = 1):
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
  pointwise = kernel.shape[:2] == (1, 1) and groups == 1
  if pointwise and not any(map(any, pads)) and _on_cpu():
    return _pointwise(x, kernel, strides)
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    pads,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


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
  def __call__(self, x):
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
      y = y + bias.astype(self.dtype)
    return y
