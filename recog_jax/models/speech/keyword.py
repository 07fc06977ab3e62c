"""Small causal networks that hear keywords in a stream of frames.

Each gives scores for every frame of its output, from the frames before it
alone: convolutions over time look back only, and what the papers average over a
recording of a second is averaged over the last `window` frames of output. So a
network of a stream is the network of all windows, computed once.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.speech.bc_resnet import BcResNet
from recog_jax.models.speech.causal import CausalConv, strided
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Positive, Rate, Size


class DsCnn(nn.Module):
  """Depthwise separable convolutions: the DS-CNN of Zhang et al., "Hello Edge:
  keyword spotting on microcontrollers", 2017, arXiv:1711.07128, table 3.

  Attributes:
    channels: of every layer.
    blocks: of a depthwise and a pointwise convolution.
    dtype: of the computation.
  """

  channels: int
  blocks: int
  dtype: jnp.dtype = jnp.float32

  stride = 2

  @property
  def past(self) -> int:
    return 9 + 2 * self.stride * self.blocks

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b t f` to `b t' d`."""
    x = frames[..., None]
    first = CausalConv(
      self.channels, (10, 4), (2, 2), dtype=self.dtype, name='stem'
    )
    x = first(x, frame_len, train=train)
    frame_len = strided(frame_len, 2)
    for i in range(1, self.blocks + 1):
      deep = CausalConv(
        self.channels,
        (3, 3),
        groups=self.channels,
        dtype=self.dtype,
        name=f'depthwise{i}',
      )
      wide = CausalConv(
        self.channels, (1, 1), dtype=self.dtype, name=f'pointwise{i}'
      )
      x = wide(deep(x, frame_len, train=train), frame_len, train=train)
    return x.mean(2)


class TcResNet(nn.Module):
  """Convolutions over time whose channels are the frequencies: TC-ResNet8 of
  Choi et al., "Temporal convolution for real-time keyword spotting on mobile
  devices", Interspeech 2019, arXiv:1904.03814.

  Attributes:
    channels: of the stem, and of each residual block, which halve the rate.
    dtype: of the computation.
  """

  channels: tuple[int, ...]
  dtype: jnp.dtype = jnp.float32

  @property
  def stride(self) -> int:
    return 2 ** (len(self.channels) - 1)

  @property
  def past(self) -> int:
    # Of each block the first convolution at its own rate, the second at half.
    return 2 + (8 + 2 * 8) * (self.stride - 1)

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b t f` to `b t' d`."""
    x = frames[:, :, None]

    def conv(name, width, size, stride=1, relu=True):
      return CausalConv(
        width, (size, 1), (stride, 1), relu=relu, dtype=self.dtype, name=name
      )

    x = conv('stem', self.channels[0], 3)(x, frame_len, train=train)
    for i, width in enumerate(self.channels[1:], 1):
      after = strided(frame_len, 2)
      y = conv(f'block{i}_conv1', width, 9, 2)(x, frame_len, train=train)
      y = conv(f'block{i}_conv2', width, 9, 1, False)(y, after, train=train)
      same = conv(f'block{i}_same', width, 1, 2)(x, frame_len, train=train)
      x, frame_len = nn.relu(y + same), after
    return x[:, :, 0]


def moving_mean(x: jax.Array, window: int) -> jax.Array:
  """The mean of each frame and those before it; there are zeros in front.

  Sums of 1, 2, 4, ... frames are added up: a few additions of what is shifted,
  which every format of an export has.

  Args:
    x: `b t d`.
    window: frames.
  """

  def later(x: jax.Array, frames: int) -> jax.Array:
    return jnp.pad(x, ((0, 0), (frames, 0), (0, 0)))[:, : x.shape[1]]

  part, size = x / window, 1
  # Not zeros at first: exports of any number of rows know no shape of them.
  total, done = None, 0
  while True:
    if window & size:
      more = later(part, done)
      total = more if total is None else total + more
      done += size
    if total is not None and 2 * size > window:
      return total
    part += later(part, size)
    size *= 2


class KeywordModel(nn.Module):
  """A body, the mean of its last frames, and scores of each class.

  Attributes:
    body: `(frames b t f, frame_len b, *, train) -> b t' d`, causal, with
      `stride`, input frames for one of output, and `past`, input frames before
      its newest one that a frame of output depends on.
    num_outputs: classes.
    window: frames of output that are averaged, the newest one and those before.
    dropout: of the mean.
    dtype: of the body's computation.
  """

  body: nn.Module
  num_outputs: int
  window: int
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  lookahead = 0
  causal = True

  def out_len(self, num_frames: Any) -> Any:
    """Frames out for frames in; integers or arrays of them."""
    return strided(num_frames, self.stride)

  @property
  def stride(self) -> int:
    """Input frames for one of output."""
    return getattr(self.body, 'stride', 1)

  @property
  def past(self) -> int:
    """Input frames before its own that the scores of a frame depend on."""
    body: Any = self.body
    return body.past + (self.window - 1) * self.stride

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    """float32 logits `b t' v`, int32 lengths `b`, and taps: `hidden` `b t' d`.

    Before the begin of a recording hidden frames are zeros.
    """
    hidden = self.body(frames.astype(self.dtype), frame_len, train=train)
    hidden = at_least_float32(hidden)
    mean = moving_mean(hidden, self.window)
    mean = Dropout(self.dropout, name='dropout')(mean, train=train)
    logits = nn.Dense(self.num_outputs, name='keyword_head')(mean)
    return logits, self.out_len(frame_len), {'hidden': hidden}


def _model(
  body: Any, num_outputs: int, window: int, dropout: float
) -> KeywordModel:
  frames = max(1, round(window / body.stride))
  return KeywordModel(body, num_outputs, frames, float(dropout), body.dtype)


def ds_cnn(
  *,
  num_outputs: int,
  channels: Size = 64,
  blocks: Size = 4,
  window: Size = 100,
  dropout: Rate = 0.0,
  dtype: jnp.dtype = jnp.float32,
) -> KeywordModel:
  """DS-CNN; by default the small one, 23,000 parameters.

  Args:
    num_outputs: classes.
    channels: 64, 172 or 276 in the paper's S, M and L.
    blocks: 4, 4 or 5 there.
    window: input frames whose scores are averaged.
    dropout: of their mean.
    dtype: of the computation.
  """
  body = DsCnn(channels, blocks, dtype=dtype)
  return _model(body, num_outputs, window, dropout)


def tc_resnet(
  *,
  num_outputs: int,
  width: Positive = 1.0,
  channels: Sequence[Size] = (16, 24, 32, 48),
  window: Size = 100,
  dropout: Rate = 0.0,
  dtype: jnp.dtype = jnp.float32,
) -> KeywordModel:
  """TC-ResNet8, 66,000 parameters with 40 features.

  Args:
    num_outputs: classes.
    width: factor of the channels; 1.5 in the paper's larger one.
    channels: of the stem, and of each block.
    window: input frames whose scores are averaged.
    dropout: of their mean.
    dtype: of the computation.
  """
  widths = tuple(max(1, round(c * width)) for c in channels)
  body = TcResNet(widths, dtype=dtype)
  return _model(body, num_outputs, window, dropout)


def bc_resnet(
  *,
  num_outputs: int,
  scale: Positive = 1.0,
  window: Size = 100,
  dropout: Rate = 0.1,
  dtype: jnp.dtype = jnp.float32,
) -> KeywordModel:
  """BC-ResNet; with scale 1 about 9,000 parameters.

  Args:
    num_outputs: classes.
    scale: factor of the widths: 1, 1.5, 2, 3, 6 or 8 in the paper.
    window: input frames whose scores are averaged.
    dropout: of the branches of time.
    dtype: of the computation.
  """
  body = BcResNet(float(scale), float(dropout), dtype=dtype)
  return _model(body, num_outputs, window, 0.0)
