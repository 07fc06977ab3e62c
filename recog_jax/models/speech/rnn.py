"""Recurrent encoders, with heads: RNN, LSTM, GRU."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.remat import Policy, call_block
from recog_jax.models.layers.rnn import RecurrentLayer, state_sizes
from recog_jax.models.speech.recogniser import (
  recogniser,
  with_attention,
  with_ctc,
)
from recog_jax.models.speech.streaming import (
  State,
  StreamingEncoder,
  subsampled,
)
from recog_jax.models.speech.subsample import make_subsample
from recog_jax.models.speech.transducer import with_transducer
from recog_jax.ranges import Count, Rate, Size
from recog_jax.signatures import Part


class RnnEncoder(StreamingEncoder):
  """Subsampling, then recurrent layers with dropout after each.

  Attributes:
    subsample: see `make_subsample`.
    layers: number of recurrent layers.
    cell, hidden, bidirectional, projection, layer_norm,
      recurrent_init: see `RecurrentLayer`.
    dropout: of the output of every layer, that of the last one too.
    input_dropout: of the first layer's input.
    locked_dropout: whether what an utterance loses it loses at all frames.
    remat: what each layer keeps for its gradient; see `layers.remat`.
    dtype: of the products.
  """

  subsample: nn.Module
  layers: int
  cell: str
  hidden: int
  bidirectional: bool
  projection: int
  layer_norm: bool
  recurrent_init: str
  dropout: float
  input_dropout: float
  locked_dropout: bool
  remat: Policy = 'none'
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    frames: jax.Array,
    frame_len: jax.Array,
    *,
    train: bool,
    state: State | None = None,
  ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
    """Encodes padded utterances.

    Args:
      frames: `b t f`.
      frame_len: int32 `b`.
      train: use dropout.
      state: of a stream, see `StreamingEncoder`.

    Returns:
      hidden `b t' d`, its lengths `b`, and taps: `layer1` ... `b t' d`, the
      output of every layer; of a stream `state`, that of what follows.
    """
    x, hidden_len, new = subsampled(self.subsample, frames, frame_len, state)
    dropout = functools.partial(
      Dropout, broadcast_dims=(1,) if self.locked_dropout else ()
    )
    x = dropout(self.input_dropout, name='input_dropout')(x, train=train)
    taps = {}
    for number in range(1, self.layers + 1):
      layer = RecurrentLayer(
        cell=self.cell,
        hidden=self.hidden,
        bidirectional=self.bidirectional,
        projection=self.projection,
        layer_norm=self.layer_norm,
        recurrent_init=self.recurrent_init,
        dtype=self.dtype,
        name=f'layer{number}',
      )
      if state is None:
        x = call_block(self.remat, layer, x, hidden_len)
      else:
        x, after = layer(x, hidden_len, state['blocks'][number - 1])
        new['blocks'] += (after,)
      x = dropout(self.dropout, name=f'dropout{number}')(x, train=train)
      taps[f'layer{number}'] = x
    if state is not None:
      taps['state'] = new
    return x, hidden_len, taps

  @property
  def num_layers(self) -> int:
    return self.layers

  def out_len(self, n):
    """Frames out of n frames: int, numpy or jax integers."""
    return self.subsample.out_len(n)

  @property
  def lookahead(self) -> int | None:
    """Input frames to the right that an output depends on; None is all."""
    return None if self.bidirectional else self.subsample.lookahead

  @property
  def causal(self) -> bool:
    """Whether outputs depend on no later input than their own frames."""
    return not self.bidirectional

  @property
  def step_frames(self) -> None:
    """None: any number that the subsampling divides."""
    return

  def why_not(self) -> str | None:
    if self.bidirectional:
      return 'its second direction begins at the end: set bidirectional=False'
    return None

  def caches(self, b: int) -> dict[str, Any]:
    sizes = state_sizes(self.cell, self.hidden, self.projection)
    cache = tuple(jnp.zeros((b, size), jnp.float32) for size in sizes)
    return {'blocks': (cache,) * self.layers}


def rnn_encoder(
  *,
  cell: str,
  layers: Size = 2,
  hidden: Size = 256,
  activation: Literal['tanh', 'relu'] = 'tanh',
  bidirectional: bool = True,
  projection: Count = 0,
  layer_norm: bool = False,
  recurrent_init: Literal['orthogonal', 'uniform'] = 'orthogonal',
  dropout: Rate = 0.0,
  input_dropout: Rate = 0.0,
  locked_dropout: bool = False,
  subsample: Annotated[Mapping, Part('subsample')] = {
    'name': 'stack',
    'factor': 2,
  },
  remat: Policy = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> RnnEncoder:
  """Subsampling, then recurrent layers.

  Args:
    cell: `rnn`, `lstm` or `gru`.
    layers: number of recurrent layers.
    hidden: units of each direction.
    activation: of plain recurrent layers, `tanh` or `relu`.
    bidirectional: whether a second direction runs backwards in time.
    projection: size of the projected output of each direction; 0 for none.
    layer_norm: normalise the products of the gates; see `RecurrentLayer`.
    recurrent_init: of the recurrent layers; see `RecurrentLayer`.
    dropout: of the output of every layer.
    input_dropout: of the first layer's input.
    locked_dropout: drops the same units at all frames of an utterance (Gal and
      Ghahramani, 2016, arXiv:1512.05287); False draws anew at each frame.
    subsample: see `make_subsample`; conv2d ends in a dense layer of `hidden`.
    remat: what each layer keeps for its gradient; see `layers.remat`.
    dtype: of the products; parameters, gates and logits are float32.
  """
  # Stacked frames go into the first layer as they are; a dense layer between
  # the two would have no nonlinearity on either side.
  convolved = subsample.get('name') == 'conv2d'
  return RnnEncoder(
    subsample=make_subsample(subsample, hidden if convolved else 0, dtype),
    layers=layers,
    cell=f'rnn_{activation}' if cell == 'rnn' else cell,
    hidden=hidden,
    bidirectional=bidirectional,
    projection=projection,
    layer_norm=layer_norm,
    recurrent_init=recurrent_init,
    dropout=dropout,
    input_dropout=input_dropout,
    locked_dropout=locked_dropout,
    remat=remat,
    dtype=dtype,
  )


_LSTM = {'cell': 'lstm', 'activation': 'tanh'}
rnn_ctc = recogniser(
  rnn_encoder,
  with_ctc,
  'rnn_ctc',
  'Plain recurrent layers with CTC (Hannun et al., 2014, arXiv:1412.5567).',
  cell='rnn',
  projection=0,
)
lstm_ctc = recogniser(
  rnn_encoder,
  with_ctc,
  'lstm_ctc',
  'LSTM layers with CTC (Graves et al., 2006; 2013, arXiv:1303.5778).',
  **_LSTM,
)
gru_ctc = recogniser(
  rnn_encoder,
  with_ctc,
  'gru_ctc',
  'GRU layers with CTC (Cho et al., 2014).',
  cell='gru',
  activation='tanh',
  projection=0,
)
lstm_las = recogniser(
  rnn_encoder,
  with_attention,
  'lstm_las',
  'LSTM layers with an attending LSTM (Chan et al., 2016, arXiv:1508.01211).',
  defaults={'decoder': {'name': 'lstm'}},
  **_LSTM,
)
lstm_transducer = recogniser(
  rnn_encoder,
  with_transducer,
  'lstm_transducer',
  'LSTM layers with a transducer (Graves et al., 2013, arXiv:1303.5778).',
  **_LSTM,
)
