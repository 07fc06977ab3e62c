"""GoogLeNet (Szegedy et al., 2015), Inception v1."""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.image.base import ImageModel
from recog_jax.models.layers import options
from recog_jax.models.layers.conv_norm import conv_norm_of
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.pool import adaptive_avg_pool, max_pool
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Rate

# Szegedy et al., "Going deeper with convolutions", CVPR 2015
# (arXiv:1409.4842), table 1: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool proj.
TABLE_1 = {
  '3a': (64, 96, 128, 16, 32, 32),
  '3b': (128, 128, 192, 32, 96, 64),
  '4a': (192, 96, 208, 16, 48, 64),
  '4b': (160, 112, 224, 24, 64, 64),
  '4c': (128, 128, 256, 24, 64, 64),
  '4d': (112, 144, 288, 32, 64, 64),
  '4e': (256, 160, 320, 32, 128, 128),
  '5a': (256, 160, 320, 32, 128, 128),
  '5b': (384, 192, 384, 48, 128, 128),
}
# Auxiliary heads, by the module whose output they see.
AUXILIARY = {'4a': 'aux1', '4d': 'aux2'}
_POOLED = ('4a', '5a')
_MIN_SIDE = 15


def local_response_norm(x: jax.Array) -> jax.Array:
  """x / (1 + 1e-4 mean of squares over 5 channels)^0.75, as Caffe's network.

  Krizhevsky et al., 2012, section 3.3.
  """
  squares = jnp.pad(jnp.square(x), ((0, 0), (0, 0), (0, 0), (2, 2)))
  c = x.shape[-1]
  total = sum(squares[..., i : i + c] for i in range(5))
  return x * (1 + 1e-4 / 5 * total) ** -0.75


class Inception(nn.Module):
  """Four branches side by side.

  Attributes:
    channels: a row of table 1.
    side: of the third branch's kernel: 5 in the paper, 3 in torchvision.
    layer: makes a `ConvNorm`.
  """

  channels: tuple[int, ...]
  side: int
  layer: functools.partial

  @nn.compact
  def __call__(self, x, *, train: bool, mask=None):
    one, three_in, three, five_in, five, pool = self.channels
    keys = {'train': train, 'mask': mask}
    side = (self.side, self.side)
    branch1 = self.layer(one, name='branch1')(x, **keys)
    branch2 = self.layer(three_in, name='branch2_reduce')(x, **keys)
    branch2 = self.layer(three, (3, 3), name='branch2')(branch2, **keys)
    branch3 = self.layer(five_in, name='branch3_reduce')(x, **keys)
    branch3 = self.layer(five, side, name='branch3')(branch3, **keys)
    branch4 = max_pool(x, 3, 1, padding=1)
    branch4 = self.layer(pool, name='branch4')(branch4, **keys)
    return jnp.concatenate([branch1, branch2, branch3, branch4], -1)


class AuxiliaryHead(nn.Module):
  """Pooling, 1x1 convolution and two dense layers (section 5).

  Attributes:
    num_outputs: number v of logits.
    layer: makes a `ConvNorm`.
    dropout: before the last layer.
    dtype: of the computation.
  """

  num_outputs: int
  layer: functools.partial
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, *, train: bool, mask=None):
    # 5x5 with a stride of 3 in the paper, which is this for 14 x 14 positions
    # up to where the windows lie; torchvision's.
    x = adaptive_avg_pool(x, 4)
    x = self.layer(128, name='conv')(x, train=train, mask=mask)
    x = x.reshape(x.shape[0], -1)
    x = jax.nn.relu(Dense(1024, dtype=self.dtype, name='fc1')(x))
    x = Dropout(self.dropout, name='dropout')(x, train=train)
    return nn.Dense(self.num_outputs, name='head')(at_least_float32(x))


class GoogLeNet(ImageModel):
  """GoogLeNet (Szegedy et al., 2015, arXiv:1409.4842).

  Attributes:
    num_outputs: number of classes or other outputs.
    variant: `batch_norm`, torchvision's, with BatchNorm after convolutions,
      3x3 kernels in the place of 5x5 and a last pooling over 2x2; or `paper`,
      with biases, 5x5 kernels and local response normalisation.
    auxiliary: two heads half way, in training; their logits are taps, for
      `config.task.auxiliary_weight` (0.3 in the paper).
    dropout: before the head (0.4 in the paper).
    auxiliary_dropout: in the auxiliary heads.
    norm_momentum: see `BatchNorm`.
    norm_epsilon: see `BatchNorm`.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  variant: Literal['batch_norm', 'paper'] = 'batch_norm'
  auxiliary: bool = True
  dropout: Rate = 0.2
  auxiliary_dropout: Rate = 0.7
  norm_momentum: Rate = 0.9
  norm_epsilon: Rate = 1e-3
  dtype: jnp.dtype = jnp.float32

  @property
  def stages(self) -> tuple[str, ...]:
    modules = (f'inception{n}.' for n in (3, 4, 5))
    return ('conv1', 'conv[23]', *modules, 'head|aux.*')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    options.check_size('GoogLeNet', x, _MIN_SIDE)
    paper = self.variant == 'paper'
    layer = conv_norm_of(self, norm=not paper)
    keys = {'train': train, 'mask': mask}
    x = x.astype(self.dtype)
    x = layer(64, (7, 7), stride=2, name='conv1')(x, **keys)
    x = max_pool(x, 3, 2, ceil=True)
    x = local_response_norm(x) if paper else x
    x = layer(64, name='conv2')(x, **keys)
    x = layer(192, (3, 3), name='conv3')(x, **keys)
    x = local_response_norm(x) if paper else x
    x = max_pool(x, 3, 2, ceil=True)
    taps = {}
    for name, channels in TABLE_1.items():
      if name in _POOLED:
        # torchvision's last pooling has windows of 2, the paper's all have 3.
        x = max_pool(x, 3 if paper or name == '4a' else 2, 2, ceil=True)
      x = Inception(
        channels, 5 if paper else 3, layer, name=f'inception{name}'
      )(x, **keys)
      wanted = self.auxiliary and (train or self.is_initializing())
      if name in AUXILIARY and wanted:
        head = AuxiliaryHead(
          self.num_outputs,
          layer,
          self.auxiliary_dropout,
          self.dtype,
          name=AUXILIARY[name],
        )
        taps[AUXILIARY[name]] = head(x, **keys)
    features = at_least_float32(x).mean((1, 2))
    x = Dropout(self.dropout, name='dropout')(features, train=train)
    logits = nn.Dense(self.num_outputs, name='head')(x)
    return logits, {'features': features, **taps}


googlenet = options.factory(GoogLeNet, 'googlenet')
