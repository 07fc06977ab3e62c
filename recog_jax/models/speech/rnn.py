"""Recurrent encoders with a CTC head: RNN, LSTM, GRU."""

import functools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.errors import UserError
from recog_jax.models.layers import options
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.rnn import RecurrentLayer
from recog_jax.models.speech.ctc import CtcModel
from recog_jax.models.speech.subsample import make_subsample


class RnnEncoder(nn.Module):
  """Subsampling, then recurrent layers with dropout after each.

  Attributes:
    subsample: see `make_subsample`.
    layers: number of recurrent layers.
    cell, hidden, bidirectional, projection, layer_norm,
      recurrent_init: see `RecurrentLayer`.
    dropout: of the output of every layer, that of the last one too.
    input_dropout: of the first layer's input.
    locked_dropout: whether what an utterance loses it loses at all frames.
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
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    """Encodes padded utterances.

    Args:
      frames: `b t f`.
      frame_len: int32 `b`.
      train: use dropout.

    Returns:
      hidden `b t' d`, its lengths `b`, and taps: `layer1` ... `b t' d`, the
      output of every layer.
    """
    x, hidden_len = self.subsample(frames, frame_len)
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
      x = layer(x, hidden_len)
      x = dropout(self.dropout, name=f'dropout{number}')(x, train=train)
      taps[f'layer{number}'] = x
    return x, hidden_len, taps

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


def _rnn_ctc(
  *,
  cell,
  num_outputs,
  layers,
  hidden,
  bidirectional,
  projection,
  layer_norm,
  recurrent_init,
  dropout,
  input_dropout,
  locked_dropout,
  subsample,
  intermediate,
  dtype,
):
  hidden = options.check_count('hidden', hidden)
  options.check_choice(
    'recurrent_init', recurrent_init, ('orthogonal', 'uniform')
  )
  layers = options.check_count('layers', layers)
  if projection:
    options.check_count('projection', projection)
  for number in intermediate:
    if not 1 <= options.check_count('intermediate', number) < layers:
      raise UserError(
        f'config.model.intermediate names layer {number}; layers before the '
        f'last are 1 to {layers - 1}.'
      )
  # Stacked frames go into the first layer as they are; a dense layer between
  # the two would have no nonlinearity on either side.
  convolved = subsample.get('name') == 'conv2d'
  encoder = RnnEncoder(
    subsample=make_subsample(subsample, hidden if convolved else 0, dtype),
    layers=layers,
    cell=cell,
    hidden=hidden,
    bidirectional=bidirectional,
    projection=projection,
    layer_norm=layer_norm,
    recurrent_init=recurrent_init,
    dropout=options.check_share('dropout', dropout),
    input_dropout=options.check_share('input_dropout', input_dropout),
    locked_dropout=locked_dropout,
    dtype=dtype,
  )
  return CtcModel(
    encoder=encoder,
    num_outputs=options.check_count('num_outputs', num_outputs),
    dtype=dtype,
    intermediate=tuple(intermediate),
  )


def lstm_ctc(
  *,
  num_outputs: int,
  layers: int = 2,
  hidden: int = 256,
  bidirectional: bool = True,
  projection: int = 0,
  layer_norm: bool = False,
  recurrent_init: str = 'orthogonal',
  dropout: float = 0.0,
  input_dropout: float = 0.0,
  locked_dropout: bool = False,
  subsample: Mapping = {'name': 'stack', 'factor': 2},
  intermediate: tuple[int, ...] = (),
  dtype: jnp.dtype = jnp.float32,
) -> CtcModel:
  """LSTM layers with CTC (Graves et al., 2006; 2013, arXiv:1303.5778).

  Args:
    num_outputs: number of symbols, the blank among them.
    layers: number of recurrent layers.
    hidden: units of each direction.
    bidirectional: whether a second direction runs backwards in time.
    projection: size of the projected output of each direction; 0 for none.
    layer_norm: normalise the products of the gates; see `RecurrentLayer`.
    recurrent_init: of the recurrent layers; see `RecurrentLayer`.
    dropout: of the output of every layer.
    input_dropout: of the first layer's input.
    locked_dropout: drops the same units at all frames of an utterance (Gal and
      Ghahramani, 2016, arXiv:1512.05287); False draws anew at each frame.
    subsample: see `make_subsample`; conv2d ends in a dense layer of `hidden`.
    intermediate: layers from 1 with intermediate CTC; see `CtcModel`.
    dtype: of the products; parameters, gates and logits are float32.

  Raises:
    UserError: an option that is out of range.
  """
  return _rnn_ctc(
    cell='lstm',
    num_outputs=num_outputs,
    layers=layers,
    hidden=hidden,
    bidirectional=bidirectional,
    projection=projection,
    layer_norm=layer_norm,
    recurrent_init=recurrent_init,
    dropout=dropout,
    input_dropout=input_dropout,
    locked_dropout=locked_dropout,
    subsample=subsample,
    intermediate=intermediate,
    dtype=dtype,
  )


def gru_ctc(
  *,
  num_outputs: int,
  layers: int = 2,
  hidden: int = 256,
  bidirectional: bool = True,
  layer_norm: bool = False,
  recurrent_init: str = 'orthogonal',
  dropout: float = 0.0,
  input_dropout: float = 0.0,
  locked_dropout: bool = False,
  subsample: Mapping = {'name': 'stack', 'factor': 2},
  intermediate: tuple[int, ...] = (),
  dtype: jnp.dtype = jnp.float32,
) -> CtcModel:
  """GRU layers with CTC (Cho et al., 2014); options as in `lstm_ctc`."""
  return _rnn_ctc(
    cell='gru',
    num_outputs=num_outputs,
    layers=layers,
    hidden=hidden,
    bidirectional=bidirectional,
    projection=0,
    layer_norm=layer_norm,
    recurrent_init=recurrent_init,
    dropout=dropout,
    input_dropout=input_dropout,
    locked_dropout=locked_dropout,
    subsample=subsample,
    intermediate=intermediate,
    dtype=dtype,
  )


def rnn_ctc(
  *,
  num_outputs: int,
  layers: int = 2,
  hidden: int = 256,
  activation: str = 'tanh',
  bidirectional: bool = True,
  layer_norm: bool = False,
  recurrent_init: str = 'orthogonal',
  dropout: float = 0.0,
  input_dropout: float = 0.0,
  locked_dropout: bool = False,
  subsample: Mapping = {'name': 'stack', 'factor': 2},
  intermediate: tuple[int, ...] = (),
  dtype: jnp.dtype = jnp.float32,
) -> CtcModel:
  """Plain recurrent layers with CTC (Hannun et al., 2014, arXiv:1412.5567).

  Options as in `lstm_ctc`; `activation` is `tanh` or `relu`.
  """
  options.check_choice('activation', activation, ('tanh', 'relu'))
  return _rnn_ctc(
    cell=f'rnn_{activation}',
    num_outputs=num_outputs,
    layers=layers,
    hidden=hidden,
    bidirectional=bidirectional,
    projection=0,
    layer_norm=layer_norm,
    recurrent_init=recurrent_init,
    dropout=dropout,
    input_dropout=input_dropout,
    locked_dropout=locked_dropout,
    subsample=subsample,
    intermediate=intermediate,
    dtype=dtype,
  )
