"""The attending LSTM of "Listen, attend and spell"."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers.dense import Dense
from recog_jax.models.layers.dropout import Dropout
from recog_jax.models.layers.mask import length_mask, zero_padding
from recog_jax.models.layers.remat import POLICIES
from recog_jax.models.layers.rnn import Direction
from recog_jax.precision import at_least_float32, dot

START = 0  # And the end; see `models.speech.attention`.
_NEVER = -1e30  # The energy of a frame that does not count.
Memory = dict[str, jax.Array]
State = dict[str, Any]


class Cell(nn.Module):
  """One symbol of an attending LSTM; see `LstmDecoder` for the attributes."""

  num_outputs: int
  layers: int
  hidden: int
  embedding: int
  attention: int
  location_channels: int
  location_width: int
  dropout: float
  scheduled_sampling: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(
    self,
    carry: tuple[State, jax.Array],
    tokens: jax.Array,
    memory: Memory,
    *,
    train: bool,
  ) -> tuple[tuple[State, jax.Array], jax.Array]:
    """One step.

    Args:
      carry: see `LstmDecoder.init_state`, and the logits `b w v` of the symbol
        before, for scheduled sampling.
      tokens: int32 `b w`, the symbols before.
      memory: see `LstmDecoder.prepare`.
      train: use dropout and scheduled sampling.

    Returns:
      The carry after it, and float32 logits `b w v`.
    """
    state, before = carry
    if train and self.scheduled_sampling:
      tokens = self._sampled(tokens, before)
    symbols = nn.Embed(self.num_outputs, self.embedding, name='embedding')
    drop = Dropout(self.dropout, name='input_dropout')
    x = drop(symbols(tokens), train=train)
    x, context, weights, states = x, state['context'], None, []
    for number, (h, c) in enumerate(state['states'], 1):
      side = Direction(
        'lstm', self.hidden, 0, False, 'orthogonal', name=f'layer{number}'
      )
      x = jnp.concatenate([x, context], -1)
      weight = side(x.shape[-1])
      z = self._product(x, weight['input_kernel'])
      z = z + self._product(h, weight['hidden_kernel']) + weight['bias']
      i, f, g, o = jnp.split(z, 4, axis=-1)
      c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
      h = jax.nn.sigmoid(o) * jnp.tanh(c)
      states.append((h, c))
      if number == 1:
        context, weights = self._attend(h, state['weights'], memory)
      drop = Dropout(self.dropout, name=f'dropout{number}')
      x = drop(h, train=train)
    logits = nn.Dense(self.num_outputs, name='output')(
      jnp.concatenate([x, context], -1)
    )
    state = {'states': tuple(states), 'context': context, 'weights': weights}
    return (state, logits), logits

  def _product(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return dot(x, kernel, ((x.ndim - 1,), (0,)), self.dtype)

  def _attend(
    self, query: jax.Array, before: jax.Array, memory: Memory
  ) -> tuple[jax.Array, jax.Array]:
    """What a state `b w h` finds: `b w d`, and its weights `b w t`."""
    b, w, t = before.shape
    energy = Dense(self.attention, dtype=self.dtype, name='query')(query)
    energy = energy[:, :, None] + memory['keys'][:, None]
    if self.location_channels:
      init = nn.initializers.xavier_uniform()
      size = (self.location_width, 1, self.location_channels)
      kernel = self.param('location', init, size, jnp.float32)
      seen = jax.lax.conv_general_dilated(
        before.reshape(b * w, t, 1).astype(self.dtype),
        kernel.astype(self.dtype),
        (1,),
        'SAME',
        dimension_numbers=('NWC', 'WIO', 'NWC'),
      )
      project = Dense(self.attention, dtype=self.dtype, name='location_out')
      energy = energy + project(seen.reshape(b, w, t, -1))
    init = nn.initializers.normal(self.attention**-0.5)
    score = self.param('energy', init, (self.attention,), jnp.float32)
    energy = self._product(jnp.tanh(energy), score)
    energy = jnp.where(memory['mask'][:, None], energy, _NEVER)
    weights = jax.nn.softmax(energy)
    context = dot(
      weights, memory['values'], ((2,), (1,)), self.dtype, batch=((0,), (0,))
    )
    return context, weights

  def _sampled(self, tokens: jax.Array, before: jax.Array) -> jax.Array:
    """Some of the tokens are the model's own; never the start."""
    draw, symbol = jax.random.split(self.make_rng('dropout'))
    own = jax.random.categorical(symbol, jax.lax.stop_gradient(before))
    chosen = jax.random.uniform(draw, tokens.shape) < self.scheduled_sampling
    return jnp.where(chosen & (tokens != START), own, tokens)


class LstmDecoder(nn.Module):
  """LSTM layers that attend to the frames; see `models.speech.attention`.

  The state of the first layer follows from the last symbol and from what was
  attended to before; then it attends, and further layers and the output layer
  see what it found (Chan et al., 2016, arXiv:1508.01211, equations 6 to 8).
  Frames are compared with the state by a small network, which also sees a
  convolution of the weights of the symbol before (Chorowski et al., 2015,
  arXiv:1506.07503, equations 8 and 9; neither smoothed nor windowed).

  Attributes:
    num_outputs: number v of symbols, the first of which is start and end.
    layers: number of LSTM layers.
    hidden: units h of each.
    embedding: size of a symbol's embedding.
    attention: units a of the network that compares.
    location_channels: of the convolution; 0 for contents alone.
    location_width: frames that it sees.
    dropout: of the embedding and of the output of each layer.
    scheduled_sampling: share of symbols that follow one of the model's own.
    remat: what each step keeps for its gradient; see `layers.remat`.
    dtype: of the products; parameters, states and logits are float32.
  """

  num_outputs: int
  layers: int
  hidden: int
  embedding: int
  attention: int
  location_channels: int
  location_width: int
  dropout: float
  scheduled_sampling: float
  remat: str = 'none'
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    self.cell = Cell(
      num_outputs=self.num_outputs,
      layers=self.layers,
      hidden=self.hidden,
      embedding=self.embedding,
      attention=self.attention,
      location_channels=self.location_channels,
      location_width=self.location_width,
      dropout=self.dropout,
      scheduled_sampling=self.scheduled_sampling,
      dtype=self.dtype,
    )
    self.key = Dense(self.attention, dtype=self.dtype)

  def __call__(
    self,
    hidden: jax.Array,
    hidden_len: jax.Array,
    targets: jax.Array,
    target_len: jax.Array,
    *,
    train: bool,
  ) -> jax.Array:
    """float32 logits `b (u+1) v` of the targets and the end."""
    del target_len  # What follows a symbol does not change it.
    memory = self.prepare(hidden, hidden_len)
    state = self.init_state(memory, 1, targets.shape[1] + 1)
    tokens = jnp.pad(targets, ((0, 0), (1, 0)), constant_values=START)
    before = jnp.broadcast_to(
      state['context'][..., :1], (*tokens[:, :1].shape, self.num_outputs)
    )

    def step(cell, carry, tokens, memory):
      return cell(carry, tokens, memory, train=train)

    if self.remat != 'none':
      # In a loop the compiler cannot undo it.
      step = nn.remat(step, policy=POLICIES[self.remat], prevent_cse=False)
    loop = nn.scan(
      step,
      variable_broadcast='params',
      split_rngs={'params': False, 'dropout': True},
      in_axes=(2, nn.broadcast),
      out_axes=2,
    )
    _, logits = loop(self.cell, (state, before), tokens[:, None], memory)
    return logits[:, 0]

  def prepare(self, hidden: jax.Array, hidden_len: jax.Array) -> Memory:
    """Keys `b t a`, values `b t d`, and which frames count, bool `b t`."""
    # A row of no frames attends to its first one, so that nothing is NaN.
    mask = length_mask(jnp.maximum(hidden_len, 1), hidden.shape[1])
    values = zero_padding(hidden.astype(self.dtype), mask)
    return {'keys': self.key(values), 'values': values, 'mask': mask}

  def init_state(self, memory: Memory, w: int, most: int) -> State:
    """Zeros: states `b w h`, what was attended to `b w d`, weights `b w t`."""
    del most
    values = memory['values']
    b, t, d = values.shape
    # Made of the values, so that a loop has them on the same devices.
    zero = jnp.zeros_like(at_least_float32(values[:, :1, :1]))
    zero = jnp.where(memory['mask'][:, :1, None], zero, 0)

    def zeros(n):
      return jnp.broadcast_to(zero, (b, w, n))

    states = ((zeros(self.hidden), zeros(self.hidden)),) * self.layers
    return {'states': states, 'context': zeros(d), 'weights': zeros(t)}

  def step(
    self,
    memory: Memory,
    state: State,
    tokens: jax.Array,
    place: jax.Array,
  ) -> tuple[jax.Array, State]:
    """float32 logits `b w v` after the tokens `b w`, and the new state."""
    del place
    unused = jnp.zeros((*tokens.shape, self.num_outputs))
    (state, _), logits = self.cell((state, unused), tokens, memory, train=False)
    return logits, state
