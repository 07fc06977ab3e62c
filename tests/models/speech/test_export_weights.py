"""Weights written in Hugging Face's names are those that were read."""

import numpy as np
import pytest

from recog_jax import registry
from recog_jax.errors import UserError
from recog_jax.models.speech.export_weights import translate
from recog_jax.models.speech.whisper import sinusoids
from tests.models.speech import make_wav2vec2_reference as reference
from tests.models.speech import test_wav2vec2, whisper_models
from tests.models.speech.make_whisper_reference import FILE, SIZES

# torch's other way of writing a norm.
_NORM = 'pos_conv_embed.conv.parametrizations.weight.original'


def flat(variables):
  return test_wav2vec2.transfer._flat(variables)


@pytest.mark.parametrize('kind', reference.STORED)
def test_wav2vec2_comes_back(kind):
  with np.load(reference.FOLDER / f'{kind}.npz') as file:
    state = test_wav2vec2.part(dict(file), 'state')
  module = test_wav2vec2.build(kind)
  values = flat(test_wav2vec2.imported(module, state))
  found, facts = translate(module, values, test_wav2vec2.NAMES[kind])
  state.pop('wav2vec2.masked_spec_embed')
  for i, letter in enumerate('gv'):
    old = f'wav2vec2.encoder.{_NORM}{i}'
    state[f'wav2vec2.encoder.pos_conv_embed.conv.weight_{letter}'] = state.pop(
      old
    )
  assert {*found} == {*state}
  for name, value in state.items():
    np.testing.assert_array_equal(found[name], value)
  assert facts['do_stable_layer_norm'] == facts['conv_bias'] == (kind == 'mms')
  assert facts.get('adapter_attn_dim') == (4 if kind == 'mms' else None)


def test_whisper_comes_back():
  with np.load(FILE) as file:
    state = whisper_models.state_of(dict(file))
  module = whisper_models.build(**SIZES)
  values = flat(whisper_models.imported(module, state))
  found, facts = translate(module, values, 'whisper_tiny')
  names = {k.removeprefix('model.'): v for k, v in state.items()}
  ours = {k.removeprefix('model.'): v for k, v in found.items()}
  table = ours.pop('encoder.embed_positions.weight')
  np.testing.assert_array_equal(table, sinusoids(1500, SIZES['dim']))
  names.pop('encoder.embed_positions.weight', None)
  assert {*ours} == {*names}
  for name, value in names.items():
    np.testing.assert_array_equal(ours[name], value)
  assert facts['num_mel_bins'] == SIZES['mels'] and facts['decoder_layers'] == 1


def test_the_end_of_a_text_has_its_number_again():
  module = whisper_models.build(vocab=51864)
  table = np.arange(51864, dtype=np.float32)[:, None] * np.ones((1, 16))
  values = {
    'params/attention_head/embedding/embedding': table,
    'params/encoder/conv1/kernel': np.zeros((3, 8, 16), np.float32),
  }
  found, facts = translate(module, values, 'whisper_tiny')
  column = found['model.decoder.embed_tokens.weight'][:, 0]
  assert column[0] == 50256 and column[50256] == 0 and column[7] == 7
  assert facts['eos_token_id'] == 50256 == facts['decoder_start_token_id'] - 1


def test_other_models_have_no_names():
  keys = {'name': 'transformer_ctc', 'layers': 1, 'dim': 16, 'heads': 2}
  module = registry.build('model', keys, num_outputs=3)
  with pytest.raises(UserError, match='no model like transformer_ctc'):
    translate(module, {}, 'transformer_ctc')
