"""Fewer frames for an encoder: stacking, or convolutions with strides."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax import registry
from recog_jax.errors import UserError
from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.mask import length_mask, zero_padding
from recog_jax.ranges import Size
from recog_jax.tracing import exporting

# Strides of the convolutions over time; all halve the frequencies.
_TIME_STRIDES = {2: (2,), 3: (1, 3), 4: (2, 2)}


class Stack(nn.Module):
  """`factor` neighbouring frames as one, then a dense layer where asked for.

  The last frame is filled up with zeros. Factor 1 leaves the frames alone.

  Attributes:
    factor: frames that make one.
    dim: size of the dense layer; 0 for none.
    dtype: of the computation.
  """

  factor: Size
  dim: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    frames: jax.Array,
    frame_len: jax.Array,
    state: tuple[()] | None = None,
  ) -> tuple[jax.Array, ...]:
    """`b t f` and lengths `b` to `b t' d`, zero behind the new lengths `b`.

    Of a stream, that of what follows is returned as well.
    """
    found = self._stacked(frames, frame_len)
    return found if state is None else (*found, state)

  def _stacked(self, frames, frame_len):
    b, t, f = frames.shape
    x = zero_padding(frames.astype(self.dtype), length_mask(frame_len, t))
    x = jnp.pad(x, ((0, 0), (0, -t % self.factor), (0, 0)))
    x = x.reshape(b, self.out_len(t), self.factor * f)
    if not self.dim:
      return x, self.out_len(frame_len)
    x = Dense(self.dim, dtype=self.dtype, name='projection')(x)
    return _cut(x, self.out_len(frame_len))

  def out_len(self, n):
    """Frames out of n frames: int, numpy or jax integers."""
    return _ceil_div(n, self.factor)

  def why_not(self) -> None:
    """Why it cannot stream: it can."""

  def init_state(self, b: int, f: int) -> tuple[()]:
    """What is kept of frames `b t f` before the first: nothing."""
    del b, f
    return ()

  @property
  def lookahead(self) -> int:
    """Output i depends on inputs up to `i * factor + lookahead`."""
    return self.factor - 1


class Conv2d(nn.Module):
  """3x3 convolutions with strides and ReLU over time and frequency.

  As in ESPnet and WeNet (`conv2d`), but with a row of zeros around the input of
  each convolution, where those have none: of n frames a stride of s leaves
  ceil(n / s), and no frame is lost at the ends. Frames behind a row's length
  are zeroed before each convolution, so that they count as those zeros.

  Attributes:
    factor: 2 (one convolution), 3 or 4 (two). Each halves the frequencies; over
      time the strides are 2; 1 and 3; 2 and 2.
    channels: of each convolution.
    dim: size of the dense layer over channels and frequencies; 0 for none.
    dtype: of the computation.
    causal: over time both rows of zeros are in front, so that no frame later
      than the first of its own is seen.
  """

  factor: Size
  channels: Size
  dim: int
  dtype: jnp.dtype = jnp.float32
  causal: bool = False

  @nn.compact
  def __call__(
    self,
    frames: jax.Array,
    frame_len: jax.Array,
    state: tuple[jax.Array, ...] | None = None,
  ) -> tuple[Any, ...]:
    """`b t f` and lengths `b` to `b t' d`, zero behind the new lengths `b`.

    Of a stream, the rows before those of each convolution, that of what
    follows is returned as well.
    """
    x = frames.astype(self.dtype)[..., None]
    new = ()
    for number, stride in enumerate(_TIME_STRIDES[self.factor], 1):
      x = zero_padding(x, length_mask(frame_len, x.shape[1]))
      pads = (2, 0) if self.causal else (1, 1)
      if state is not None:
        x = jnp.concatenate([state[number - 1], x], 1)
        new += (x[:, x.shape[1] - pads[0] :],)
        # Rows that the last stride needs are there; see `why_not`.
        pads = (0, 0)
      x = Conv(
        self.channels,
        (3, 3),
        (stride, 2),
        padding=(pads, (1, 1)),
        use_bias=True,
        dtype=self.dtype,
        name=f'conv{number}',
      )(x)
      x = jax.nn.relu(x)
      frame_len = _ceil_div(frame_len, stride)
    x = x.reshape(*x.shape[:2], -1)
    if self.dim:
      x = Dense(self.dim, dtype=self.dtype, name='projection')(x)
    found = _cut(x, frame_len)
    return found if state is None else (*found, new)

  def why_not(self) -> str | None:
    """Why it cannot stream; None if it can."""
    # A stride of 2 passes over what the row of zeros behind stands for.
    if self.causal or 1 not in _TIME_STRIDES[self.factor]:
      return None
    return (
      'its subsampling sees frames of the next chunk: set '
      'config.model.subsample.causal=True'
    )

  def init_state(self, b: int, f: int) -> tuple[jax.Array, ...]:
    """What is kept of frames `b t f` before the first: zeros."""
    states, channels = (), 1
    for _ in _TIME_STRIDES[self.factor]:
      shape = (b, 2 if self.causal else 1, f, channels)
      states += (jnp.zeros(shape, self.dtype),)
      f, channels = _ceil_div(f, 2), self.channels
    return states

  def out_len(self, n):
    """Frames out of n frames: int, numpy or jax integers."""
    for stride in _TIME_STRIDES[self.factor]:
      n = _ceil_div(n, stride)
    return n

  @property
  def lookahead(self) -> int:
    """Output i depends on inputs up to `i * factor + lookahead`."""
    frames = 0
    if self.causal:
      return frames
    for stride in reversed(_TIME_STRIDES[self.factor]):
      frames = frames * stride + 1
    return frames


def _ceil_div(n, stride):
  if isinstance(n, jax.Array) and exporting():
    # Of numbers that are not negative the same, and converters know it. Not
    # (n + 1) / 2, which jax2onnx takes for a mean, and ONNX has none of ints.
    whole = jax.lax.div(n, jnp.full_like(n, stride))
    return whole + jnp.minimum(n - whole * stride, 1)
  return (n + stride - 1) // stride


def _cut(x, frame_len):
  return zero_padding(x, length_mask(frame_len, x.shape[1])), frame_len


def _count(key, value, least=1):
  if isinstance(value, bool) or not isinstance(value, int) or value < least:
    raise UserError(
      f'config.model.subsample.{key} is {value!r}; give a whole number of at '
      f'least {least}.'
    )
  return value


def _none(*, dim, dtype):
  """Every frame as it is."""
  return Stack(factor=1, dim=dim, dtype=dtype)


def _stack(*, dim, dtype, factor: Size):
  """Frames side by side, as one vector.

  Args:
    factor: frames in for a frame out.
  """
  return Stack(factor=_count('factor', factor), dim=dim, dtype=dtype)


def _conv2d(
  *,
  dim,
  dtype,
  factor: Size = 4,
  channels: Size | None = None,
  causal: bool = False,
):
  """Two 3x3 convolutions over time and frequency.

  Args:
    factor: frames in for a frame out: 2, 3 or 4.
    channels: of both convolutions; by default the size of the hidden layer.
    causal: sees no later frame than the first of its own; for streams.
  """
  if _count('factor', factor) not in _TIME_STRIDES:
    raise UserError(
      f'config.model.subsample.factor is {factor!r}; conv2d takes one of '
      f'{", ".join(map(str, _TIME_STRIDES))} (stack takes any).'
    )
  if channels is None:
    channels = dim
  return Conv2d(
    factor=factor,
    channels=_count('channels', channels),
    dim=dim,
    dtype=dtype,
    causal=causal,
  )


KINDS = {'none': _none, 'stack': _stack, 'conv2d': _conv2d}


def make_subsample(
  keys: Mapping, dim: int | None, dtype: jnp.dtype = jnp.float32
) -> nn.Module:
  """The module `(frames b t f, frame_len b) -> (hidden b t' d, hidden_len b)`.

  It has `factor`, exact integer arithmetic `out_len(n)`, and `lookahead`.

  Args:
    keys: `name` and what that kind takes: `none`; `stack` with `factor`;
      `conv2d` with `factor` 2, 3 or 4, `channels` (`dim` unless given) and
      `causal`.
    dim: size of the dense layer at the end; 0 or None leaves it out.
    dtype: of the computation; parameters are float32.

  Raises:
    UserError: an unknown name or key, a missing one, or one out of range.
  """
  return registry.build('subsample', keys, dim=dim or 0, dtype=dtype)
