"""Attention decoders: symbols one after another, each by all hidden frames.

The symbols are those of the tokenizer. The blank, which an attention decoder
never says, is in its place the end of the text as an output, and its start as
an input: so the outputs of all heads have the same numbers.

A decoder is a module with these methods; w hypotheses of an utterance are
decoded beside each other, which share its hidden frames.

  __call__(hidden b t d, hidden_len b, targets b u, target_len b, *, train)
      -> logits b (u+1) v of each target and of the end, given those before
  prepare(hidden, hidden_len) -> memory, what steps read of the frames
  init_state(memory, w, most) -> state of empty hypotheses, leaves `b w ...`,
      with room for `most` symbols
  step(memory, state, tokens b w, place) -> (logits b w v, state)
      after `place` symbols, of which the last is given; START before the first

One that can say no more than some number of symbols has it as `most`.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn

from recog_jax.errors import UserError
from recog_jax.models.layers.activation import Activation
from recog_jax.models.speech.attention_lstm import LstmDecoder
from recog_jax.models.speech.attention_transformer import TransformerDecoder
from recog_jax.models.speech.whisper_decoder import whisper_decoder
from recog_jax.ranges import Count, Rate, Share, Size


def _lstm(
  *,
  num_outputs,
  remat,
  dtype,
  layers: Size = 1,
  hidden: Size = 256,
  embedding: Size = 64,
  attention: Size = 128,
  location_channels: Count = 10,
  location_width: Size = 31,
  dropout: Rate = 0.1,
  scheduled_sampling: Share = 0.0,
) -> LstmDecoder:
  """LSTM layers that attend by contents and by where they did before.

  Args:
    layers: number of LSTM layers; the first one sees what is attended to.
    hidden: units of each.
    embedding: size of a symbol's embedding.
    attention: units of the network that compares a state with a frame.
    location_channels: of the convolution over the weights of the symbol before
      (Chorowski et al., 2015, arXiv:1506.07503); 0 for contents alone.
    location_width: frames that the convolution sees, an odd number.
    dropout: of the embedding, between layers, and of the output layer's input.
    scheduled_sampling: share of symbols in training that follow one of the
      model's own instead of the target (Bengio et al., 2015, arXiv:1506.03099).
  """
  return LstmDecoder(
    num_outputs=num_outputs,
    layers=layers,
    hidden=hidden,
    embedding=embedding,
    attention=attention,
    location_channels=location_channels,
    location_width=location_width,
    dropout=dropout,
    scheduled_sampling=scheduled_sampling,
    remat=remat,
    dtype=dtype,
  )


def _transformer(
  *,
  num_outputs,
  remat,
  dtype,
  layers: Size = 6,
  dim: Size = 256,
  heads: Size = 4,
  ffn_multiplier: Size = 8,
  activation: Activation = 'relu',
  dropout: Rate = 0.1,
) -> TransformerDecoder:
  """Blocks of self-attention, attention to the frames, position-wise network.

  Args:
    layers: number of blocks.
    dim: size d of the hidden symbols.
    heads: of both attentions.
    ffn_multiplier: inner size of the position-wise networks over d.
    activation: of those; see `layers.activation`.
    dropout: of each branch, the inner layers and the input.
  """
  if dim % heads or dim % 2:
    raise UserError(
      f'config.model.decoder.dim is {dim} with {heads} heads; give an even dim '
      'that the heads divide.'
    )
  return TransformerDecoder(
    num_outputs=num_outputs,
    layers=layers,
    dim=dim,
    heads=heads,
    inner=dim * ffn_multiplier,
    activation=activation,
    dropout=dropout,
    remat=remat,
    dtype=dtype,
  )


KINDS: Mapping[str, Callable[..., nn.Module]] = {
  'lstm': _lstm,
  'transformer': _transformer,
  'whisper': whisper_decoder,
}
