"""The head of a transducer: predictor and additive joiner."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.errors import UserError
from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.remat import Policy, call_block
from recog_jax.models.layers.rnn import RecurrentLayer, state_sizes
from recog_jax.models.speech.recogniser import SpeechModel, beside_ctc
from recog_jax.precision import dot
from recog_jax.ranges import Rate, Size

# Stands in front of the first token, as the blank is none of the tokens.
_START = 0
# Symbols that a stateless predictor sees.
_CONTEXT = 2


class StatelessPredictor(nn.Module):
  """Sees the last two symbols only (Ghodsi et al., 2020, "RNN-transducer with
  stateless prediction network"), by a dense layer over both embeddings.

  A state is those symbols, int32 `b 2`.

  Attributes:
    num_outputs: number of symbols, the blank among them.
    size: of embeddings and outputs.
    dropout: of the embeddings.
    dtype: of the computation.
  """

  num_outputs: int
  size: int
  dropout: float
  dtype: jnp.dtype

  def setup(self):
    self.embedding = nn.Embed(self.num_outputs, self.size)
    self.dropout_layer = Dropout(self.dropout)
    self.context = Dense(self.size, dtype=self.dtype)

  def __call__(
    self, symbols: jax.Array, lengths: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b u` with lengths `b`, the start among them, to `b u d`."""
    del lengths
    x = self.embedding(symbols).astype(self.dtype)
    x = self.dropout_layer(x, train=train)
    first = self.embedding(jnp.full_like(symbols[:, :1], _START))
    before = jnp.concatenate([first.astype(self.dtype), x[:, :-1]], 1)
    return nn.relu(self.context(jnp.concatenate([before, x], -1)))

  def start(self, b: int) -> jax.Array:
    """The state before the start."""
    return jnp.full((b, _CONTEXT), _START, jnp.int32)

  def advance(
    self, state: jax.Array, symbols: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """The output `b d` after one more symbol each, `b`, and the state."""
    state = jnp.concatenate([state[:, 1:], symbols[:, None]], 1)
    x = self.embedding(state).astype(self.dtype).reshape(len(state), -1)
    return nn.relu(self.context(x)), state


class LstmPredictor(nn.Module):
  """LSTM over all symbols so far (Graves, 2012, arXiv:1211.3711).

  A state is of each layer its output and cell, `b h`.

  Attributes:
    num_outputs: number of symbols, the blank among them.
    size: of embeddings and LSTM.
    layers: number of LSTM layers.
    dropout: of the embeddings and of each layer's output.
    remat: see `layers.remat`.
    dtype: of the products.
  """

  num_outputs: int
  size: int
  layers: int
  dropout: float
  remat: Policy
  dtype: jnp.dtype

  def setup(self):
    self.embedding = nn.Embed(self.num_outputs, self.size)
    self.dropout_layer = Dropout(self.dropout)
    self.lstm = [
      RecurrentLayer(
        cell='lstm',
        hidden=self.size,
        bidirectional=False,
        dtype=self.dtype,
        name=f'layer{number}',
      )
      for number in range(1, self.layers + 1)
    ]

  def __call__(
    self, symbols: jax.Array, lengths: jax.Array, *, train: bool
  ) -> jax.Array:
    """`b u` with lengths `b`, the start among them, to `b u d`."""
    x = self.embedding(symbols).astype(self.dtype)
    x = self.dropout_layer(x, train=train)
    for layer in self.lstm:
      x = call_block(self.remat, layer, x, lengths)
      x = self.dropout_layer(x, train=train)
    return x

  def start(self, b: int) -> Any:
    """The state before the start."""
    sizes = state_sizes('lstm', self.size, 0)
    one = tuple(jnp.zeros((b, size), jnp.float32) for size in sizes)
    return (one,) * self.layers

  def advance(self, state: Any, symbols: jax.Array) -> tuple[jax.Array, Any]:
    """The output `b d` after one more symbol each, `b`, and the state."""
    x = self.embedding(symbols)[:, None].astype(self.dtype)
    one, after = jnp.ones_like(symbols), []
    for layer, before in zip(self.lstm, state, strict=True):
      x, states = layer(x, one, before)
      after.append(states)
    return x[:, 0], tuple(after)


class Output(nn.Module):
  """Weights of a dense layer that is computed elsewhere.

  Attributes:
    features: number of outputs.
  """

  features: int

  @nn.compact
  def __call__(self, size: int) -> tuple[jax.Array, jax.Array]:
    """float32 kernel `size features` and bias `features`."""
    lecun = nn.initializers.lecun_normal()
    kernel = self.param('kernel', lecun, (size, self.features), jnp.float32)
    zeros = nn.initializers.zeros
    return kernel, self.param('bias', zeros, (self.features,), jnp.float32)


class TransducerHead(nn.Module):
  """Scores of each symbol at each frame after each prefix (Graves, 2012).

  The joiner adds projections of the encoder's frame and of the predictor's
  output; tanh and a dense layer follow, as in Graves et al., 2013
  (arXiv:1303.5778).

  Attributes:
    num_outputs: number of symbols, the blank (0) among them.
    predictor: `lstm` or `stateless`.
    predictor_size: of its embeddings and outputs.
    predictor_layers: of an LSTM.
    joiner_size: j, to which both are projected.
    dropout: see the predictors.
    remat: see `layers.remat`.
    dtype: of the products; the scores are at least float32.
  """

  num_outputs: int
  predictor: Literal['lstm', 'stateless']
  predictor_size: int
  predictor_layers: int
  joiner_size: int
  dropout: float
  remat: Policy = 'none'
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    if self.predictor == 'lstm':
      self.predict = LstmPredictor(
        self.num_outputs,
        self.predictor_size,
        self.predictor_layers,
        self.dropout,
        self.remat,
        self.dtype,
      )
    else:
      self.predict = StatelessPredictor(
        self.num_outputs, self.predictor_size, self.dropout, self.dtype
      )
    self.of_encoder = Dense(self.joiner_size, dtype=self.dtype)
    self.of_predictor = Dense(self.joiner_size, dtype=self.dtype)
    self.output = Output(self.num_outputs)

  def __call__(
    self,
    hidden: jax.Array,
    hidden_len: jax.Array,
    targets: jax.Array,
    target_len: jax.Array,
    *,
    train: bool,
  ) -> dict[str, jax.Array]:
    """What the loss is made of; scores `b t u v` are not.

    Args:
      hidden: `b t d`, the encoder's.
      hidden_len: int32 `b`.
      targets: int32 `b u`.
      target_len: int32 `b`.
      train: use dropout.

    Returns:
      `encoded` `b t j`, `predicted` `b u+1 j`, and of the output layer
      `kernel` `j v` and `bias` `v`, float32.
    """
    del hidden_len
    symbols = jnp.pad(targets, ((0, 0), (1, 0)), constant_values=_START)
    predicted = self.predict(symbols, target_len + 1, train=train)
    kernel, bias = self.output(self.joiner_size)
    return {
      'encoded': self.project(hidden),
      'predicted': self.of_predictor(predicted),
      'kernel': kernel,
      'bias': bias,
    }

  def project(self, hidden: jax.Array) -> jax.Array:
    """Frames of the encoder as the joiner takes them: `b t d` to `b t j`."""
    return self.of_encoder(hidden.astype(self.dtype))

  def start(self, b: int) -> tuple[jax.Array, Any]:
    """The predictor's part of the joiner, `b j`, before the first token.

    Returns:
      That, and the state of the predictor.
    """
    return self.advance(
      self.predict.start(b), jnp.full((b,), _START, jnp.int32)
    )

  def advance(self, state: Any, symbols: jax.Array) -> tuple[jax.Array, Any]:
    """The same after one more symbol each, int32 `b`."""
    output, state = self.predict.advance(state, symbols)
    return self.of_predictor(output), state

  def score(self, encoded: jax.Array, predicted: jax.Array) -> jax.Array:
    """At least float32 `... v`, of sums of what is given, both `... j`."""
    kernel, bias = self.output(self.joiner_size)
    x = jnp.tanh(encoded + predicted)
    y = dot(x, kernel, ((x.ndim - 1,), (0,)), x.dtype)
    return y + bias.astype(y.dtype)


def with_transducer(
  encoder: nn.Module,
  *,
  num_outputs: int,
  predictor: Literal['lstm', 'stateless'] = 'lstm',
  predictor_size: Size = 256,
  predictor_layers: Size = 1,
  predictor_dropout: Rate = 0.0,
  joiner_size: Size = 256,
  ctc: bool = False,
  intermediate: tuple[Size, ...] = (),
  remat: Policy = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> SpeechModel:
  """An encoder with the head of a transducer.

  Args:
    encoder: see `with_ctc`.
    num_outputs: number of symbols, the blank among them.
    predictor: `lstm` sees all tokens so far (Graves, 2012, arXiv:1211.3711),
      `stateless` the last two (Ghodsi et al., 2020).
    predictor_size: of the predictor's embeddings and outputs.
    predictor_layers: of an LSTM; a stateless predictor has one.
    predictor_dropout: of the embeddings, and of an LSTM's outputs.
    joiner_size: of the joiner, to which encoder and predictor are projected.
    ctc: whether there is a head of CTC beside.
    intermediate: layers from 1 with intermediate CTC; see `SpeechModel`.
    remat: what each layer keeps for its gradient; see `layers.remat`. The
      joiner's scores are computed again in any case.
    dtype: of the computation; parameters and scores are float32.

  Raises:
    UserError: options that do not fit together.
  """
  if predictor == 'stateless' and predictor_layers != 1:
    raise UserError(
      f'config.model.predictor_layers is {predictor_layers}, and a stateless '
      'predictor has one: leave it out, or take predictor=lstm'
    )
  head = TransducerHead(
    num_outputs=num_outputs,
    predictor=predictor,
    predictor_size=predictor_size,
    predictor_layers=predictor_layers,
    joiner_size=joiner_size,
    dropout=predictor_dropout,
    remat=remat,
    dtype=dtype,
  )
  return beside_ctc(
    encoder, num_outputs, ctc, intermediate, dtype, transducer_head=head
  )
