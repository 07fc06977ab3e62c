"""BC-ResNet: convolutions over frequency, then over time of their mean."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.conv import Conv
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.mask import length_mask
from recog_jax.models.layers.norm import BatchNorm
from recog_jax.models.speech.causal import CausalConv


class SubSpectralNorm(nn.Module):
  """BatchNorm by bands of frequency (Chang et al., "SubSpectral normalization
  for neural audio data processing", ICASSP 2021).

  Attributes:
    bands: number of them, a divisor of the frequencies.
    dtype: of the computation.
  """

  bands: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, mask: jax.Array, *, train: bool
  ) -> jax.Array:
    """Normalises `b t f c`; mask bool `b t`."""
    b, t, f, c = x.shape
    # The channels of each band are channels of their own.
    x = x.reshape(b, t, self.bands, f // self.bands, c).swapaxes(2, 3)
    x = x.reshape(b, t, f // self.bands, self.bands * c)
    x = BatchNorm(dtype=self.dtype, name='norm')(x, train=train, mask=mask)
    x = x.reshape(b, t, f // self.bands, self.bands, c).swapaxes(2, 3)
    return x.reshape(b, t, f, c)


class DilatedTime(nn.Module):
  """Each channel convolved with its own kernel over earlier frames.

  Attributes:
    size: of the kernel.
    dilation: frames between its taps.
    dtype: of the computation.
  """

  size: int
  dilation: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`b t f c` to the same shape."""
    init = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal', in_axis=0)
    kernel = self.param('kernel', init, (self.size, x.shape[-1]), jnp.float32)
    kernel = kernel.astype(self.dtype)
    t, past = x.shape[1], (self.size - 1) * self.dilation
    wide = jnp.pad(x, ((0, 0), (past, 0), (0, 0), (0, 0)))
    begins = [i * self.dilation for i in range(self.size)]
    taps = [wide[:, begin : begin + t] for begin in begins]
    weighted = (tap * kernel[i] for i, tap in enumerate(taps))
    return sum(weighted, start=jnp.zeros((), x.dtype))


class BroadcastBlock(nn.Module):
  """A block of BC-ResNet: over frequency, then over time.

  What is convolved over time is the mean over frequency; it is added to every
  frequency again.

  Attributes:
    features: channels; where they change there is no shortcut.
    stride: of frequency.
    dilation: of time.
    dropout: of the branch of time.
    dtype: of the computation.
  """

  features: int
  stride: int
  dilation: int
  dropout: float
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b t f c` to `b t f/stride features`."""
    same = x.shape[-1] == self.features and self.stride == 1
    y = x
    if not same:
      y = CausalConv(self.features, (1, 1), dtype=self.dtype, name='widen')(
        y, frame_len, train=train
      )
    y = Conv(
      self.features,
      (1, 3),
      (1, self.stride),
      padding=((0, 0), (1, 1)),
      groups=self.features,
      dtype=self.dtype,
      name='frequency',
    )(y)
    mask = length_mask(frame_len, y.shape[1])
    bands = next(n for n in (5, 4, 2, 1) if y.shape[2] % n == 0)
    norm = SubSpectralNorm(bands, dtype=self.dtype, name='frequency_norm')
    y = norm(y, mask, train=train)
    z = y.mean(2, keepdims=True)
    z = DilatedTime(3, self.dilation, dtype=self.dtype, name='time')(z)
    z = BatchNorm(dtype=self.dtype, name='time_norm')(z, train=train, mask=mask)
    z = Conv(self.features, (1, 1), dtype=self.dtype, name='mix')(nn.swish(z))
    z = Dropout(self.dropout, name='dropout')(z, train=train)
    return nn.relu(x + y + z if same else y + z)


# Of BC-ResNet: channels, blocks, stride of frequency.
_STAGES = ((8, 2, 1), (12, 2, 2), (16, 4, 2), (20, 4, 1))


class BcResNet(nn.Module):
  """BC-ResNet of Kim et al., "Broadcasted residual learning for efficient
  keyword spotting", Interspeech 2021, arXiv:2106.04140, table 1; causal here.

  Attributes:
    scale: factor of all widths; 1 and 8 are the paper's smallest and largest.
    dropout: of the branches of time.
    dtype: of the computation.
  """

  scale: float
  dropout: float
  dtype: jnp.dtype = jnp.float32

  stride = 1

  @property
  def past(self) -> int:
    return 4 + sum(n * 2 * 2**i for i, (_, n, _) in enumerate(_STAGES)) + 4

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b t f` to `b t d`."""

    def width(channels: int) -> int:
      return max(1, round(channels * self.scale))

    stem = CausalConv(width(16), (5, 5), (1, 2), dtype=self.dtype, name='stem')
    x = stem(frames[..., None], frame_len, train=train)
    for i, (channels, blocks, stride) in enumerate(_STAGES):
      for j in range(blocks):
        block = BroadcastBlock(
          width(channels),
          stride if j == 0 else 1,
          2**i,
          self.dropout,
          dtype=self.dtype,
          name=f'stage{i + 1}_block{j + 1}',
        )
        x = block(x, frame_len, train=train)
    last = CausalConv(
      x.shape[-1], (5, 5), groups=x.shape[-1], dtype=self.dtype, name='last'
    )
    x = last(x, frame_len, train=train).mean(2, keepdims=True)
    head = CausalConv(width(32), (1, 1), dtype=self.dtype, name='head_conv')
    return head(x, frame_len, train=train)[:, :, 0]
