"""Transformer encoder, with heads."""

import functools
from collections.abc import Mapping
from typing import Annotated

import jax.numpy as jnp

from recog_jax.models.layers.activation import Activation
from recog_jax.models.layers.attention import Positions
from recog_jax.models.layers.remat import Policy
from recog_jax.models.layers.transformer import TransformerBlock
from recog_jax.models.speech.encoder import CHUNK, Encoder, attention_encoder
from recog_jax.models.speech.recogniser import (
  recogniser,
  with_attention,
  with_ctc,
)
from recog_jax.ranges import Rate, Size
from recog_jax.signatures import Part


def transformer_encoder(
  *,
  layers: Size = 12,
  dim: Size = 256,
  heads: Size = 4,
  ffn_multiplier: Size = 8,
  activation: Activation = 'relu',
  positions: Positions = 'sinusoidal',
  dropout: Rate = 0.1,
  stochastic_depth: Rate = 0.0,
  subsample: Annotated[Mapping, Part('subsample')] = {
    'name': 'conv2d',
    'factor': 4,
  },
  chunk: Annotated[Mapping | None, Part(factory=CHUNK)] = None,
  remat: Policy = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> Encoder:
  """Transformer encoder, pre-norm (Vaswani et al., 2017).

  Normalising before each branch (Xiong et al., 2020, arXiv:2002.04745) rather
  than after the sum trains without a long warmup. The sizes are ESPnet's for
  LibriSpeech's 100 hours.

  Args:
    layers: number of blocks.
    dim: size d of the hidden frames.
    heads: of the attention.
    ffn_multiplier: inner size of the position-wise networks over d.
    activation: of those; see `layers.activation`.
    positions: `sinusoidal`, `relative` or `rotary`; see `SelfAttention`.
    dropout: of each branch, the inner layers and the input.
    stochastic_depth: share of utterances that skip a branch of the last block.
    subsample: see `make_subsample`.
    chunk: keys of `speech.chunk.Chunk`: attention in chunks, so that the model
      can stream; None: all is seen.
    remat: what each block keeps for its gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.
  """
  return attention_encoder(
    functools.partial(
      TransformerBlock, inner=dim * ffn_multiplier, activation=activation
    ),
    layers=layers,
    dim=dim,
    heads=heads,
    positions=positions,
    dropout=dropout,
    stochastic_depth=stochastic_depth,
    subsample=subsample,
    chunk=chunk,
    remat=remat,
    dtype=dtype,
    final_norm=True,
  )


transformer_ctc = recogniser(
  transformer_encoder,
  with_ctc,
  'transformer_ctc',
  'Transformer encoder, pre-norm, with CTC (Vaswani et al., 2017).',
)
transformer_aed = recogniser(
  transformer_encoder,
  with_attention,
  'transformer_aed',
  'Transformer encoder and decoder, pre-norm (Vaswani et al., 2017).',
  defaults={'decoder': {'name': 'transformer'}},
)
