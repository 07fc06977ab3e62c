"""Weights of other programs: Whisper's in three namings, wav2vec 2.0's."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from recog_jax.models.layers import foreign
from recog_jax.models.layers.foreign import Layout
from recog_jax.models.speech import import_wav2vec2
from recog_jax.models.speech.recogniser import SpeechModel
from recog_jax.models.speech.wav2vec2 import Wav2Vec2Encoder
from recog_jax.models.speech.whisper import WhisperEncoder
from recog_jax.models.speech.whisper_vocabulary import vocabulary_of

EMBEDDING = 'params/attention_head/embedding/embedding'


def _hugging_face(side: str, ours: str, blocks: int) -> Layout:
  layers, parts = {f'{side}.layer_norm': f'{ours}/final_norm'}, {}
  for i in range(blocks):
    theirs, block = f'{side}.layers.{i}', f'{ours}/block{i + 1}'
    layers |= {
      f'{theirs}.self_attn_layer_norm': f'{block}/attention_norm',
      f'{theirs}.self_attn.out_proj': f'{block}/attention/out',
      f'{theirs}.encoder_attn_layer_norm': f'{block}/cross_norm',
      f'{theirs}.encoder_attn.q_proj': f'{block}/cross/q',
      f'{theirs}.encoder_attn.out_proj': f'{block}/cross/out',
      f'{theirs}.final_layer_norm': f'{block}/ffn_norm',
      f'{theirs}.fc1': f'{block}/ffn/inner',
      f'{theirs}.fc2': f'{block}/ffn/outer',
    }
    for place, letter in enumerate('qkv'):
      whole = f'{block}/attention/qkv', place
      parts[f'{theirs}.self_attn.{letter}_proj'] = whole
    for place, letter in enumerate('kv'):
      whole = f'{block}/cross/kv', place
      parts[f'{theirs}.encoder_attn.{letter}_proj'] = whole
  tensors = {
    'decoder.embed_tokens.weight': 'attention_head/embedding/embedding',
    'decoder.embed_positions.weight': 'attention_head/positions',
  }
  ignored = ('encoder.embed_positions', 'proj_out')
  return Layout(layers, tensors, ignored=ignored, parts=parts)


def _openai(side: str, ours: str, blocks: int) -> Layout:
  norm = 'ln_post' if side == 'encoder' else 'ln'
  layers, parts = {f'{side}.{norm}': f'{ours}/final_norm'}, {}
  for i in range(blocks):
    theirs, block = f'{side}.blocks.{i}', f'{ours}/block{i + 1}'
    layers |= {
      f'{theirs}.attn_ln': f'{block}/attention_norm',
      f'{theirs}.attn.out': f'{block}/attention/out',
      f'{theirs}.cross_attn_ln': f'{block}/cross_norm',
      f'{theirs}.cross_attn.query': f'{block}/cross/q',
      f'{theirs}.cross_attn.out': f'{block}/cross/out',
      f'{theirs}.mlp_ln': f'{block}/ffn_norm',
      f'{theirs}.mlp.0': f'{block}/ffn/inner',
      f'{theirs}.mlp.2': f'{block}/ffn/outer',
    }
    for place, word in enumerate(('query', 'key', 'value')):
      parts[f'{theirs}.attn.{word}'] = f'{block}/attention/qkv', place
    for place, word in enumerate(('key', 'value')):
      parts[f'{theirs}.cross_attn.{word}'] = f'{block}/cross/kv', place
  tensors = {
    'decoder.token_embedding.weight': 'attention_head/embedding/embedding',
    'decoder.positional_embedding': 'attention_head/positions',
  }
  ignored = ('encoder.positional_embedding',)
  return Layout(layers, tensors, ignored=ignored, parts=parts)


def _ctranslate2(side: str, ours: str, blocks: int) -> Layout:
  layers = {f'{side}.layer_norm': f'{ours}/final_norm'}
  for i in range(blocks):
    theirs, block = f'{side}.layer_{i}', f'{ours}/block{i + 1}'
    layers |= {
      f'{theirs}.self_attention.layer_norm': f'{block}/attention_norm',
      f'{theirs}.self_attention.linear_0': f'{block}/attention/qkv',
      f'{theirs}.self_attention.linear_1': f'{block}/attention/out',
      f'{theirs}.attention.layer_norm': f'{block}/cross_norm',
      f'{theirs}.attention.linear_0': f'{block}/cross/q',
      f'{theirs}.attention.linear_1': f'{block}/cross/kv',
      f'{theirs}.attention.linear_2': f'{block}/cross/out',
      f'{theirs}.ffn.layer_norm': f'{block}/ffn_norm',
      f'{theirs}.ffn.linear_0': f'{block}/ffn/inner',
      f'{theirs}.ffn.linear_1': f'{block}/ffn/outer',
    }
  tensors = {
    'decoder.embeddings.weight': 'attention_head/embedding/embedding',
    'decoder.position_encodings.encodings': 'attention_head/positions',
  }
  ignored = (
    'encoder.position_encodings',
    'decoder.projection',
    'decoder.alignment_heads',
  )
  return Layout(layers, tensors, ignored=ignored)


def layout_of(module: nn.Module, keys: set[str]) -> Layout | None:
  """How a file with those tensors lays out our module.

  None where no other program has the model.
  """
  encoder = getattr(module, 'encoder', None)
  if isinstance(encoder, Wav2Vec2Encoder):
    return import_wav2vec2.layout(encoder)
  if not isinstance(encoder, WhisperEncoder):
    return None
  names = [f'{key}.' for key in keys]
  make = _hugging_face
  if any('encoder.blocks.' in name for name in names):
    make = _openai
  elif any('encoder.layer_0.' in name for name in names):
    make = _ctranslate2
  head = module.attention_head
  sides = [
    make('encoder', 'encoder', encoder.num_layers),
    make('decoder', 'attention_head', head.layers if head else 0),
  ]
  convolutions = {f'encoder.conv{i}': f'encoder/conv{i}' for i in (1, 2)}
  return Layout(
    {**convolutions, **sides[0].layers, **sides[1].layers},
    sides[1].tensors,
    ignored=sides[1].ignored,
    parts={**sides[0].parts, **sides[1].parts},
  )


def translate(
  module: SpeechModel,
  shapes: Mapping[str, Any],
  state: Mapping[str, np.ndarray],
  *,
  what: str = 'the weights',
  tell: Callable[[str], None] = lambda _: None,
) -> dict[str, np.ndarray]:
  """The weights under our paths; see `models.image.import_torch`.

  Of Whisper the end of the text gets our number 0; see `whisper_vocabulary`.

  Raises:
    UserError: no other program has this model, or the weights are quantised and
      do not say how.
  """
  found = {
    path: value
    for path, _, value in foreign.rows(
      module, layout_of, shapes, state, what, tell
    )
  }
  import_wav2vec2.without_axes(found)
  for path in {*found} & {*shapes}:
    if path.endswith('kv/bias'):
      found[path] = _without_keys(found[path], shapes[path].shape[0])
  words = vocabulary_of(module.num_outputs)
  table = found.get(EMBEDDING)
  if words and table is not None and len(table) == words.size:
    table = table.copy()
    table[[0, words.end]] = table[[words.end, 0]]
    found[EMBEDDING] = table
  return found


def _without_keys(bias: np.ndarray, size: int) -> np.ndarray:
  """A bias of queries, keys and values, or the last two, without the keys'.

  CTranslate2 has zeros there. Any others stay, and do not fit.
  """
  dim = len(bias) - size
  first = 0 if len(bias) == 2 * dim else dim
  keys = bias[first : first + dim]
  if dim <= 0 or len(bias) % dim or keys.any():
    return bias
  return np.delete(bias, slice(first, first + dim))
