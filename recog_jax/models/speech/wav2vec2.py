"""wav2vec 2.0's encoder, HuBERT's, XLS-R's and MMS's, of the waveform."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.errors import UserError
from recog_jax.models.layers.activation import activation
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.mask import length_mask, zero_padding
from recog_jax.models.layers.remat import Policy, call_block
from recog_jax.models.speech import wav2vec2_blocks as blocks
from recog_jax.models.speech.recogniser import (
  recogniser,
  with_attention,
  with_ctc,
)
from recog_jax.models.speech.transducer import with_transducer
from recog_jax.ranges import Count, Rate, Share, Size

# Table of the convolutions in section 4.2 of wav2vec 2.0: window and stride.
CONVOLUTIONS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
Norm = Literal['group', 'layer']


class Wav2Vec2Encoder(nn.Module):
  """Convolutions over samples, then Transformer blocks (Baevski et al., 2020).

  Samples behind `frame_len` change nothing: of a batch each utterance gets what
  it gets alone, also where the original (normalisation `group`) has statistics
  of a batch's padding among them.

  Attributes:
    num_layers: number of blocks.
    dim: size d of the hidden frames.
    heads: of the attention.
    conv_dim: channels of the convolutions.
    feature_norm: `group`: after the first convolution, of each channel over
      time; `layer`: after each, and all have a bias.
    pre_norm: whether blocks normalise before their branches.
    language_adapter: inner size of MMS's adapter in each block; 0: none.
    position_window: frames that the convolution for positions sees.
    position_groups: groups of its channels.
    freeze_features: whether no step trains the convolutions.
    mask_time: share of the frames that spans are drawn for in training.
    mask_time_length: frames of a span.
    mask_channels: share of the channels that spans are drawn for.
    mask_channels_length: channels of a span.
    dropout: of each branch, the inner layers and the input.
    stochastic_depth: share of utterances that skip a branch of the last block.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters are float32.
  """

  num_layers: int
  dim: int
  heads: int
  conv_dim: int = 512
  feature_norm: str = 'group'
  pre_norm: bool = False
  language_adapter: int = 0
  position_window: int = 128
  position_groups: int = 16
  freeze_features: bool = True
  mask_time: float = 0.0
  mask_time_length: int = 10
  mask_channels: float = 0.0
  mask_channels_length: int = 64
  dropout: float = 0.0
  stochastic_depth: float = 0.0
  remat: str = 'none'
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
    """`b n 1` to hidden `b t d`, its lengths, and the taps `layer1` ..."""
    if frames.shape[-1] != 1:
      raise UserError(
        f'wav2vec 2.0 hears the waveform, and these features have '
        f'{frames.shape[-1]} numbers a frame: set config.data.features.name='
        'waveform'
      )
    x = self._features(frames, frame_len)
    hidden_len = self.out_len(frame_len)
    mask = length_mask(hidden_len, x.shape[1])
    x = blocks.layer_norm(self.dtype, 'feature_norm')(x)
    x = Dense(self.dim, dtype=self.dtype, name='feature_projection')(x)
    drop = Dropout(self.dropout, name='feature_dropout')
    x = self._masked(drop(x, train=train), hidden_len, train=train)
    x = zero_padding(x, mask)
    x = x + blocks.PositionalConv(
      self.position_window, self.position_groups, self.dtype, name='position'
    )(x)
    norm = blocks.layer_norm(self.dtype, 'encoder_norm')
    x = x if self.pre_norm else norm(x)
    x = Dropout(self.dropout, name='input_dropout')(x, train=train)
    taps = {}
    for number in range(1, self.num_layers + 1):
      block = blocks.Block(
        heads=self.heads,
        inner=4 * self.dim,
        pre_norm=self.pre_norm,
        language_adapter=self.language_adapter,
        dropout=self.dropout,
        stochastic_depth=self.stochastic_depth * number / self.num_layers,
        dtype=self.dtype,
        name=f'block{number}',
      )
      x = call_block(self.remat, block, x, mask, train=train)
      taps[f'layer{number}'] = norm(x) if self.pre_norm else x
    return taps[f'layer{self.num_layers}'], hidden_len, taps

  def _features(self, x, lens):
    """`b n 1` to `b t c`."""
    gelu = activation('gelu')
    bias = self.feature_norm == 'layer'
    for i, (window, stride) in enumerate(CONVOLUTIONS, 1):
      x = nn.Conv(
        self.conv_dim,
        (window,),
        stride,
        'VALID',
        use_bias=bias,
        dtype=self.dtype,
        name=f'conv{i}',
      )(x)
      lens = _length(lens, window, stride)
      if self.feature_norm == 'layer':
        x = blocks.layer_norm(self.dtype, f'conv{i}_norm')(x)
      elif i == 1:
        x = blocks.ChannelNorm(name='conv1_norm')(x, lens)
      x = gelu(x)
    return x

  def _masked(self, x, lens, *, train):
    """Spans of frames become a learned vector, spans of channels zero."""
    if self.mask_time:
      init = nn.initializers.uniform(1.0)
      vector = self.param('mask_embedding', init, (self.dim,), jnp.float32)
      if train:
        inside = length_mask(lens, x.shape[1])
        hidden = blocks.spans(
          self.make_rng('dropout'),
          inside,
          self.mask_time,
          self.mask_time_length,
        )
        x = jnp.where(hidden[..., None], vector.astype(x.dtype), x)
    if self.mask_channels and train:
      inside = jnp.ones((x.shape[0], x.shape[2]), bool)
      hidden = blocks.spans(
        self.make_rng('dropout'),
        inside,
        self.mask_channels,
        self.mask_channels_length,
      )
      x = jnp.where(hidden[:, None], jnp.zeros((), x.dtype), x)
    return x

  def held(self, path: str) -> bool:
    """Whether no step trains a parameter of the encoder."""
    return self.freeze_features and path.startswith('conv')

  def out_len(self, n):
    """Hidden frames for n samples."""
    for window, stride in CONVOLUTIONS:
      n = _length(n, window, stride)
    return n

  @property
  def lookahead(self) -> int | None:
    return None

  @property
  def causal(self) -> bool:
    return False


def _length(n, window, stride):
  """Windows that fit into n frames; int, numpy or jax integers."""
  if isinstance(n, jax.Array):  # `//` would be more than converters know.
    count = jax.lax.div(n - window, jnp.asarray(stride, n.dtype)) + 1
    return jnp.where(n < window, 0, count)
  count = (n - window) // stride + 1
  return count * (count > 0)


def wav2vec2_encoder(
  *,
  layers: Size = 12,
  dim: Size = 768,
  heads: Size = 12,
  conv_dim: Size = 512,
  feature_norm: Norm = 'group',
  pre_norm: bool = False,
  language_adapter: Count = 0,
  position_window: Size = 128,
  position_groups: Size = 16,
  freeze_features: bool = True,
  mask_time: Share = 0.0,
  mask_time_length: Size = 10,
  mask_channels: Share = 0.0,
  mask_channels_length: Size = 64,
  dropout: Rate = 0.0,
  stochastic_depth: Rate = 0.0,
  remat: Policy = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> Wav2Vec2Encoder:
  """wav2vec 2.0's encoder; the sizes are those of `base`.

  Args:
    layers: number of blocks.
    dim: size d of the hidden frames.
    heads: of the attention.
    conv_dim: channels of the convolutions.
    feature_norm: `group`: after the first convolution, of each channel over
      time; `layer`: after each, and all have a bias.
    pre_norm: whether blocks normalise before their branches.
    language_adapter: inner size of MMS's adapter in each block; 0: none.
    position_window: frames that the convolution for positions sees.
    position_groups: groups of its channels.
    freeze_features: whether no step trains the convolutions, as in the paper.
    mask_time: share of the frames in training that spans are drawn for; they
      become a learned vector (section 3.1 of the paper). Spans may overlap.
    mask_time_length: frames of a span.
    mask_channels: the same of channels, which become zero.
    mask_channels_length: channels of a span.
    dropout: of each branch, the inner layers and the input.
    stochastic_depth: share of utterances that skip a branch of the last block.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    UserError: sizes that do not divide.
  """
  if dim % heads or dim % position_groups:
    raise UserError(
      f'config.model.dim is {dim} with {heads} heads and position_groups='
      f'{position_groups}; give a dim that both divide.'
    )
  if mask_channels and mask_channels_length > dim:
    raise UserError(
      f'config.model.mask_channels_length={mask_channels_length} is more than '
      f'the {dim} channels; give fewer.'
    )
  return Wav2Vec2Encoder(
    num_layers=layers,
    dim=dim,
    heads=heads,
    conv_dim=conv_dim,
    feature_norm=feature_norm,
    pre_norm=pre_norm,
    language_adapter=language_adapter,
    position_window=position_window,
    position_groups=position_groups,
    freeze_features=freeze_features,
    mask_time=mask_time,
    mask_time_length=mask_time_length,
    mask_channels=mask_channels,
    mask_channels_length=mask_channels_length,
    dropout=dropout,
    stochastic_depth=stochastic_depth,
    remat=remat,
    dtype=dtype,
  )


def _sizes(layers: int, dim: int, heads: int) -> dict[str, Any]:
  return {'layers': layers, 'dim': dim, 'heads': heads}


_BASE, _LARGE = _sizes(12, 768, 12), _sizes(24, 1024, 16)
_1B, _2B = _sizes(48, 1280, 16), _sizes(48, 1920, 16)
_STABLE = {'feature_norm': 'layer', 'pre_norm': True}
_WAV2VEC2 = 'wav2vec 2.0 {} with CTC (Baevski et al., 2020, arXiv:2006.11477).'
_HUBERT = 'HuBERT {} with CTC (Hsu et al., 2021, arXiv:2106.07447).'
_XLS_R = 'XLS-R {} with CTC (Babu et al., 2021, arXiv:2111.09296).'
_MMS = 'MMS {} with CTC (Pratap et al., 2023, arXiv:2305.13516).'


def _with_ctc(name: str, summary: str, **defaults: Any):
  return recogniser(
    wav2vec2_encoder, with_ctc, name, summary, defaults=defaults
  )


wav2vec2_base = _with_ctc('wav2vec2_base', _WAV2VEC2.format('base'), **_BASE)
wav2vec2_large = _with_ctc(
  'wav2vec2_large', _WAV2VEC2.format('large'), **_LARGE
)
wav2vec2_large_lv60 = _with_ctc(
  'wav2vec2_large_lv60',
  _WAV2VEC2.format('large of Libri-Light (lv60k)'),
  **_LARGE,
  **_STABLE,
)
hubert_base = _with_ctc('hubert_base', _HUBERT.format('base'), **_BASE)
hubert_large = _with_ctc(
  'hubert_large', _HUBERT.format('large'), **_LARGE, **_STABLE
)
xls_r_300m = _with_ctc('xls_r_300m', _XLS_R.format('300M'), **_LARGE, **_STABLE)
xls_r_1b = _with_ctc('xls_r_1b', _XLS_R.format('1B'), **_1B, **_STABLE)
xls_r_2b = _with_ctc('xls_r_2b', _XLS_R.format('2B'), **_2B, **_STABLE)
mms_300m = _with_ctc('mms_300m', _MMS.format('300M'), **_LARGE, **_STABLE)
mms_1b = _with_ctc(
  'mms_1b',
  _MMS.format('1B, with adapters of a language,'),
  **_1B,
  **_STABLE,
  language_adapter=16,
)
wav2vec2_aed = recogniser(
  wav2vec2_encoder,
  with_attention,
  'wav2vec2_aed',
  "wav2vec 2.0's encoder with an attention decoder (Baevski et al., 2020).",
  defaults={'decoder': {'name': 'transformer'}},
)
wav2vec2_transducer = recogniser(
  wav2vec2_encoder,
  with_transducer,
  'wav2vec2_transducer',
  "wav2vec 2.0's encoder with a transducer (Baevski et al., 2020).",
)
