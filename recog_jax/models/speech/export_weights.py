"""Weights of Whisper and of wav2vec 2.0's family as Hugging Face has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recog_jax.errors import UserError
from recog_jax.models.layers import foreign
from recog_jax.models.speech.import_weights import EMBEDDING, layout_of
from recog_jax.models.speech.recogniser import SpeechModel
from recog_jax.models.speech.wav2vec2 import CONVOLUTIONS, Wav2Vec2Encoder
from recog_jax.models.speech.whisper import WhisperEncoder, sinusoids
from recog_jax.models.speech.whisper_vocabulary import vocabulary_of

_PLACES = 1500  # Of Whisper's encoder.
_GAIN = 'encoder.pos_conv_embed.conv.weight_g'
_HEAD = 'lm_head.'


def translate(
  module: SpeechModel, values: Mapping[str, np.ndarray], name: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """Tensors by their names, and what `config.json` says there.

  Args:
    module: a model of one of those families.
    values: its variables, by path.
    name: of `config.model`.

  Raises:
    UserError: Hugging Face has no such model.
  """
  encoder = module.encoder
  layout = layout_of(module, set())
  if isinstance(encoder, Wav2Vec2Encoder):
    assert layout is not None
    kind = 'hubert' if name.startswith('hubert') else 'wav2vec2'
    found = foreign.written(layout, values)
    found[_GAIN] = found[_GAIN].reshape(1, 1, -1)
    found = {
      k if k.startswith(_HEAD) else f'{kind}.{k}': v for k, v in found.items()
    }
    return found, _of_wav2vec2(kind, encoder, module.num_outputs)
  if isinstance(encoder, WhisperEncoder) and module.attention_head is not None:
    assert layout is not None
    found = foreign.written(layout, _with_their_end(module, values))
    table = sinusoids(_PLACES, encoder.dim)
    found['encoder.embed_positions.weight'] = table
    bands = values['params/encoder/conv1/kernel'].shape[1]
    tensors = {f'model.{k}': v for k, v in found.items()}
    return tensors, _of_whisper(encoder, module.attention_head, bands)
  raise UserError(
    f'Hugging Face has no model like {name}: its weights can be written of '
    "Whisper, and of wav2vec 2.0's family with CTC"
  )


def _with_their_end(
  module: SpeechModel, values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """The end of a text has its own number again."""
  values, words = dict(values), vocabulary_of(module.num_outputs)
  if words:
    table = values[EMBEDDING].copy()
    table[[0, words.end]] = table[[words.end, 0]]
    values[EMBEDDING] = table
  return values


def _of_whisper(
  encoder: WhisperEncoder, head: Any, bands: int
) -> dict[str, Any]:
  words = vocabulary_of(head.num_outputs)
  end, start = (words.end, words.start) if words else (0, 0)
  return {
    'model_type': 'whisper',
    'architectures': ['WhisperForConditionalGeneration'],
    'vocab_size': head.num_outputs,
    'num_mel_bins': bands,
    'd_model': encoder.dim,
    'encoder_layers': encoder.num_layers,
    'decoder_layers': head.layers,
    'encoder_attention_heads': encoder.heads,
    'decoder_attention_heads': head.heads,
    'encoder_ffn_dim': 4 * encoder.dim,
    'decoder_ffn_dim': head.inner,
    'max_source_positions': _PLACES,
    'max_target_positions': head.places,
    'decoder_start_token_id': start,
    **dict.fromkeys(('bos_token_id', 'eos_token_id', 'pad_token_id'), end),
  }


def _of_wav2vec2(
  kind: str, encoder: Wav2Vec2Encoder, outputs: int
) -> dict[str, Any]:
  layered = encoder.feature_norm == 'layer'
  title = 'HubertForCTC' if kind == 'hubert' else 'Wav2Vec2ForCTC'
  more = {}
  if encoder.language_adapter:
    more['adapter_attn_dim'] = encoder.language_adapter
  return {
    'model_type': kind,
    'architectures': [title],
    'vocab_size': outputs,
    'pad_token_id': 0,
    'hidden_size': encoder.dim,
    'num_hidden_layers': encoder.num_layers,
    'num_attention_heads': encoder.heads,
    'intermediate_size': 4 * encoder.dim,
    'conv_dim': [encoder.conv_dim] * len(CONVOLUTIONS),
    'conv_kernel': [window for window, _ in CONVOLUTIONS],
    'conv_stride': [stride for _, stride in CONVOLUTIONS],
    'conv_bias': layered,
    'feat_extract_norm': encoder.feature_norm,
    'do_stable_layer_norm': encoder.pre_norm,
    'num_conv_pos_embeddings': encoder.position_window,
    'num_conv_pos_embedding_groups': encoder.position_groups,
    'mask_time_prob': encoder.mask_time,
    'mask_feature_prob': 0.0,
    **more,
  }
