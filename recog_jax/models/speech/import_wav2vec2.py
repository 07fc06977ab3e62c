"""Weights of wav2vec 2.0's family in Hugging Face's names."""

import numpy as np

from recog_jax.models.layers.foreign import Layout
from recog_jax.models.speech.wav2vec2 import CONVOLUTIONS, Wav2Vec2Encoder

_GAIN = 'params/encoder/position/gain'
# Of the pretraining alone; and the vector of masks, where nothing is masked.
_IGNORED = ('quantizer', 'project_hid', 'project_q', 'masked_spec_embed')


def layout(encoder: Wav2Vec2Encoder) -> Layout:
  """Names there without that of the model in front, and paths here."""
  layers = {
    'feature_projection.layer_norm': 'encoder/feature_norm',
    'feature_projection.projection': 'encoder/feature_projection',
    'encoder.pos_conv_embed.conv': 'encoder/position',
    'encoder.layer_norm': 'encoder/encoder_norm',
    'lm_head': 'ctc_head',
  }
  for i in range(len(CONVOLUTIONS)):
    theirs, ours = f'feature_extractor.conv_layers.{i}', f'encoder/conv{i + 1}'
    layers[f'{theirs}.conv'] = ours
    layers[f'{theirs}.layer_norm'] = f'{ours}_norm'
  parts = {}
  for i in range(encoder.num_layers):
    theirs, block = f'encoder.layers.{i}', f'encoder/block{i + 1}'
    adapter = f'{block}/language_adapter'
    layers |= {
      f'{theirs}.attention.out_proj': f'{block}/attention/out',
      f'{theirs}.layer_norm': f'{block}/attention_norm',
      f'{theirs}.feed_forward.intermediate_dense': f'{block}/ffn/inner',
      f'{theirs}.feed_forward.output_dense': f'{block}/ffn/outer',
      f'{theirs}.final_layer_norm': f'{block}/ffn_norm',
      f'{theirs}.adapter_layer.norm': f'{adapter}/norm',
      f'{theirs}.adapter_layer.linear_1': f'{adapter}/down',
      f'{theirs}.adapter_layer.linear_2': f'{adapter}/up',
    }
    for place, letter in enumerate('qkv'):
      whole = f'{block}/attention/qkv', place
      parts[f'{theirs}.attention.{letter}_proj'] = whole
  conv = 'encoder.pos_conv_embed.conv'
  tensors = {'masked_spec_embed': 'encoder/mask_embedding'}
  # torch has two ways of writing a weight's norm.
  for gain, direction in (
    ('weight_g', 'weight_v'),
    ('parametrizations.weight.original0', 'parametrizations.weight.original1'),
  ):
    tensors[f'{conv}.{gain}'] = 'encoder/position/gain'
    tensors[f'{conv}.{direction}'] = 'encoder/position/kernel'
  return Layout(layers, tensors, ignored=_IGNORED, parts=parts)


def without_axes(found: dict[str, np.ndarray]) -> None:
  """torch's gain `1 1 k` becomes ours, `k`."""
  if _GAIN in found:
    found[_GAIN] = found[_GAIN].reshape(-1)
