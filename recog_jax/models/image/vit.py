"""Vision Transformer (Dosovitskiy et al., 2021)."""

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.errors import UserError
from recog_jax.models.image.base import ImageModel
from recog_jax.models.layers import options
from recog_jax.models.layers.attention import sinusoids
from recog_jax.models.layers.dense import Dense, add_bias
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.remat import Policy, call_block
from recog_jax.models.layers.transformer import TransformerBlock
from recog_jax.precision import at_least_float32, spread
from recog_jax.ranges import Rate, Size

# Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021
# (arXiv:2010.11929), table 1; S and Ti of Touvron et al. (DeiT, 2021,
# arXiv:2012.12877), table 1: layers, dim, heads.
TABLE_1 = {
  'ti': (12, 192, 3),
  's': (12, 384, 6),
  'b': (12, 768, 12),
  'l': (24, 1024, 16),
}


def sincos2d(h: int, w: int, dim: int) -> np.ndarray:
  """float32 `h*w d`: sinusoids of the column, then of the row.

  Beyer et al., "Better plain ViT baselines for ImageNet-1k" (2022,
  arXiv:2205.01580), after Chen et al. (MoCo v3, 2021).

  Args:
    h: rows of patches.
    w: columns.
    dim: a multiple of 4.
  """
  half = dim // 2
  rows = np.repeat(sinusoids(np.arange(h), half), w, 0)
  columns = np.tile(sinusoids(np.arange(w), half), (h, 1))
  return np.concatenate([columns, rows], -1)


class Vit(ImageModel):
  """ViT-Ti, S, B or L (Dosovitskiy et al., 2021, arXiv:2010.11929).

  Blocks are pre-norm, GELU by erf, the head starts at zero.

  Attributes:
    num_outputs: number of classes or other outputs.
    patch: side of a patch: 16 or 32 in the paper; 4 for images of 32 x 32.
    pool: `class_token`, or `mean` of the patches, without such a token.
    positions: `learned`, or `sincos2d` (see there), which have no parameters
      and fit images of any size.
    layers: number of blocks.
    dim: size of a token.
    heads: of the attention.
    ffn_multiplier: inner size of the position-wise networks over `dim`.
    dropout: of the input, the branches and their inner layers.
    stochastic_depth: share of images that skip a branch of the last block; it
      grows from 0 at the first.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.
  """

  num_outputs: int
  layers: Size
  dim: Size
  heads: Size
  patch: Size = 16
  pool: Literal['class_token', 'mean'] = 'class_token'
  positions: Literal['learned', 'sincos2d'] = 'learned'
  ffn_multiplier: Size = 4
  dropout: Rate = 0.0
  stochastic_depth: Rate = 0.0
  remat: Policy = 'none'
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    if self.dim % self.heads or self.dim % 4:
      raise UserError(
        f'config.model.dim is {self.dim}; give a multiple of 4 and of the '
        f'{self.heads} heads.'
      )
    super().__post_init__()

  @property
  def stages(self) -> tuple[str, ...]:
    blocks = (f'block{n}' for n in range(1, self.layers + 1))
    return ('embedding|class_token|positions', *blocks, 'norm', 'head')

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    del mask  # There are no batch statistics here.
    b, h, w, c = x.shape
    if h % self.patch or w % self.patch:
      raise UserError(
        f'ViT cuts images into patches of {self.patch} x {self.patch} pixels, '
        f'which does not divide {h} x {w}; resize the images or set '
        'config.model.patch.'
      )
    rows, columns = h // self.patch, w // self.patch
    # A product over whole patches is the convolution whose stride is its
    # kernel's size.
    x = x.astype(self.dtype)
    x = x.reshape(b, rows, self.patch, columns, self.patch, c)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * columns, -1)
    x = Dense(self.dim, dtype=self.dtype, name='embedding')(x)
    x = self._place(x, rows, columns)
    x = Dropout(self.dropout, name='input_dropout')(x, train=train)
    for number in range(1, self.layers + 1):
      depth = self.stochastic_depth * (number - 1) / max(self.layers - 1, 1)
      block = TransformerBlock(
        heads=self.heads,
        inner=self.ffn_multiplier * self.dim,
        positions='sinusoidal',
        activation='gelu',
        dropout=self.dropout,
        stochastic_depth=depth,
        dtype=self.dtype,
        name=f'block{number}',
      )
      x = call_block(self.remat, block, x, None, train=train)
    x = nn.LayerNorm(dtype=self.dtype, name='norm')(x)
    pooled = x[:, 0] if self.pool == 'class_token' else x.mean(1)
    features = at_least_float32(pooled)
    head = nn.Dense(
      self.num_outputs, kernel_init=nn.initializers.zeros, name='head'
    )
    return head(features), {'features': features}

  def adapt(
    self, path: str, value: np.ndarray, shape: tuple[int, ...]
  ) -> np.ndarray | None:
    """Learned positions of images of another size, interpolated.

    In two dimensions, as in section 3.2 of the paper; the class token's stays.

    Args:
      path: of a parameter.
      value: what was trained, for square images.
      shape: of this model's parameter, for square images.

    Returns:
      The value in that shape, or None where it cannot be had.
    """
    token = int(self.pool == 'class_token')
    if path != 'positions' or value.shape[1:] != shape[1:]:
      return None
    if len(value) <= token:
      return None
    old, new = (math.isqrt(n - token) for n in (len(value), shape[0]))
    if old**2 != len(value) - token or new**2 != shape[0] - token:
      return None
    grid = value[token:].reshape(old, old, -1)
    grid = jax.image.resize(grid, (new, new, grid.shape[-1]), 'bicubic')
    grid = np.asarray(grid).reshape(new * new, -1)
    return np.concatenate([value[:token], grid])

  def _place(self, x, rows, columns):
    """Adds positions to the patches `b t d`, and the class token."""
    token = self.pool == 'class_token'
    if token:
      init = nn.initializers.normal(0.02)
      first = self.param('class_token', init, (1, 1, self.dim), jnp.float32)
      x = jnp.concatenate([spread(first, x[:, :1]), x], 1)
    if self.positions == 'sincos2d':
      table = sincos2d(rows, columns, self.dim)
      places = jnp.asarray(np.pad(table, ((int(token), 0), (0, 0))))
    else:
      init = nn.initializers.normal(0.02)
      shape = (rows * columns + token, self.dim)
      places = self.param('positions', init, shape, jnp.float32)
    return add_bias(x, places)


def _vit(size):
  sizes = dict(zip(('layers', 'dim', 'heads'), TABLE_1[size], strict=True))
  return options.factory(Vit, f'vit_{size}', defaults=sizes)


vit_ti = _vit('ti')
vit_s = _vit('s')
vit_b = _vit('b')
vit_l = _vit('l')
