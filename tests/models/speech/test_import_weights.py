"""Whisper's weights from the files of three programs, and from damaged ones."""

import struct

import jax
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.engine import transfer
from recog_jax.errors import UserError
from recog_jax.models import torch_file
from recog_jax.models.speech.import_weights import translate
from tests.models.speech import make_whisper_reference as reference
from tests.models.speech.whisper_models import (
  build,
  imported,
  shapes_of,
  state_of,
)


@pytest.fixture(scope='module')
def stored():
  with np.load(reference.FILE) as file:
    return dict(file)


OPENAI = (
  ('model.', ''),
  ('embed_tokens', 'token_embedding'),
  ('embed_positions.weight', 'positional_embedding'),
  ('.layers.', '.blocks.'),
  ('self_attn_layer_norm', 'attn_ln'),
  ('encoder_attn_layer_norm', 'cross_attn_ln'),
  ('final_layer_norm', 'mlp_ln'),
  ('encoder.layer_norm', 'encoder.ln_post'),
  ('decoder.layer_norm', 'decoder.ln'),
  ('self_attn', 'attn'),
  ('encoder_attn', 'cross_attn'),
  *(
    (f'{x}_proj', y)
    for x, y in zip(
      ('q', 'k', 'v', 'out'), ('query', 'key', 'value', 'out'), strict=True
    )
  ),
  ('fc1', 'mlp.0'),
  ('fc2', 'mlp.2'),
)


def as_openai(state):
  found = {}
  for name, value in state.items():
    for theirs, ours in OPENAI:
      name = name.replace(theirs, ours)
    found[name] = value
  return found


def as_ctranslate2(state):
  """Its tensors by their names, with slashes; keys have a bias of zeros."""
  found = {}

  def norm(there, here):
    found[f'{here}/gamma'] = state[f'{there}.weight']
    found[f'{here}/beta'] = state[f'{there}.bias']

  def linear(here, *there):
    found[f'{here}/weight'] = np.concatenate(
      [state[f'{t}.weight'] for t in there]
    )
    found[f'{here}/bias'] = np.concatenate(
      [state.get(f'{t}.bias', np.zeros(16, np.float32)) for t in there]
    )

  for side in ('encoder', 'decoder'):
    norm(f'model.{side}.layer_norm', f'{side}/layer_norm')
    found[f'{side}/position_encodings/encodings'] = state[
      f'model.{side}.embed_positions.weight'
    ]
    found[f'{side}/num_heads'] = np.array(2, np.int16)
    kinds = {'self_attn': 'self_attention', 'encoder_attn': 'attention'}
    for there, here in kinds.items():
      theirs, ours = f'model.{side}.layers.0.{there}', f'{side}/layer_0/{here}'
      if f'{theirs}.q_proj.weight' not in state:
        continue
      norm(f'{theirs}_layer_norm', f'{ours}/layer_norm')
      parts = [f'{theirs}.{x}_proj' for x in ('q', 'k', 'v', 'out')]
      groups = [parts[:3], parts[3:]]
      if here == 'attention':
        groups = [parts[:1], parts[1:3], parts[3:]]
      for i, group in enumerate(groups):
        linear(f'{ours}/linear_{i}', *group)
    theirs, ours = f'model.{side}.layers.0', f'{side}/layer_0/ffn'
    norm(f'{theirs}.final_layer_norm', f'{ours}/layer_norm')
    linear(f'{ours}/linear_0', f'{theirs}.fc1')
    linear(f'{ours}/linear_1', f'{theirs}.fc2')
  for i in (1, 2):
    linear(f'encoder/conv{i}', f'model.encoder.conv{i}')
  found['decoder/embeddings/weight'] = state[
    'model.decoder.embed_tokens.weight'
  ]
  return found


NUMBERS = {'float32': 0, 'int8': 1, 'int16': 2, 'float16': 4}


def write_ctranslate2(path, tensors, aliases=(), version=6):
  def text(value):
    value = value.encode() + b'\0'
    return struct.pack('<H', len(value)) + value

  data = [struct.pack('<I', version), text('WhisperSpec')]
  data.append(struct.pack('<II', 3, len(tensors)))
  for name, value in tensors.items():
    raw = value.tobytes()
    data += [text(name), struct.pack('<B', value.ndim)]
    data.append(struct.pack(f'<{value.ndim}I', *value.shape))
    data += [struct.pack('<BI', NUMBERS[value.dtype.name], len(raw)), raw]
  data.append(struct.pack('<I', len(aliases)))
  data += [text(a) + text(b) for a, b in aliases]
  path.write_bytes(b''.join(data))


def quantised(tensors, scales=True):
  found = {}
  for name, value in tensors.items():
    found[name] = value
    if name.endswith('weight'):
      axes = tuple(range(1, value.ndim))
      scale = (127 / np.abs(value).max(axes)).astype(np.float32)
      wide = scale.reshape(-1, *(1,) * len(axes))
      found[name] = np.rint(value * wide).astype(np.int8)
      if scales:
        found[f'{name}_scale'] = scale
  return found


def test_openais_names_are_the_same_weights(stored):
  module, state = build(), state_of(stored)
  wanted = imported(module, state)
  jax.tree.map(
    np.testing.assert_array_equal, imported(module, as_openai(state)), wanted
  )


@pytest.mark.parametrize(
  ('kind', 'bound'), [('float32', 0), ('float16', 1e-3), ('int8', 2e-2)]
)
def test_ctranslate2s_file_is_the_same_weights(stored, tmp_path, kind, bound):
  module, state = build(), state_of(stored)
  tensors = as_ctranslate2(state)
  if kind == 'int8':
    tensors = quantised(tensors)
  else:
    tensors = {k: v.astype(kind) if v.ndim else v for k, v in tensors.items()}
  write_ctranslate2(
    tmp_path / 'model.bin',
    tensors,
    [('decoder/projection/weight', 'decoder/embeddings/weight')],
  )
  read = torch_file.read(tmp_path / 'model.bin')
  other = read['decoder.projection.weight']
  np.testing.assert_array_equal(other, read['decoder.embeddings.weight'])
  spec = transfer.InitFrom(path=str(tmp_path))  # The folder.
  fresh = shapes_of(module)
  found, _ = transfer.read(spec, module, fresh)
  values, report = transfer.match(spec, found, fresh, 'x', module)
  assert not report['new']
  assert not report['skipped']
  wanted = transfer._flat(imported(module, state))
  for path, value in wanted.items():
    assert np.abs(values[path] - value).max() <= bound * np.abs(value).max()


def test_quantised_weights_without_scales_are_refused(stored, tmp_path):
  tensors = quantised(as_ctranslate2(state_of(stored)), scales=False)
  path = tmp_path / 'model.bin'
  write_ctranslate2(path, tensors)
  module = build()
  with pytest.raises(UserError, match='int8 without a scale'):
    translate(module, shapes_of(module), torch_file.read(path))


@pytest.mark.parametrize('cut', [3, 40, 2000, -5])
def test_a_damaged_file_is_told(stored, tmp_path, cut):
  path = tmp_path / 'model.bin'
  write_ctranslate2(path, as_ctranslate2(state_of(stored)))
  path.write_bytes(path.read_bytes()[:cut])
  with pytest.raises(UserError, match='damaged'):
    torch_file.read(path)


def test_an_old_version_is_told(stored, tmp_path):
  path = tmp_path / 'model.bin'
  write_ctranslate2(path, as_ctranslate2(state_of(stored)), version=2)
  with pytest.raises(UserError, match='of version 2, where 4 to 6 are read'):
    torch_file.read(path)


def test_another_architecture_is_told_with_both_names(stored):
  module = build(layers=2)
  found = translate(module, shapes_of(module), state_of(stored))
  found['bert.pooler.weight'] = np.zeros((2, 2))
  with pytest.raises(UserError, match='block2.*missing.*not here: bert.pooler'):
    transfer.match(
      transfer.InitFrom(path='x'), found, shapes_of(module), 'x', module
    )


def test_a_model_that_no_other_program_has_is_told():
  module = registry.build('model', {'name': 'lstm_ctc'}, num_outputs=5)
  with pytest.raises(UserError, match='no torch counterpart'):
    translate(module, {}, {'a.weight': np.zeros(2)})


def test_the_encoder_alone_leaves_the_decoder(stored):
  module = build('whisper_ctc')
  fresh = shapes_of(module)
  found = translate(module, fresh, state_of(stored))
  spec = transfer.InitFrom(path='x', skip=('ctc_head/.*',))
  values, report = transfer.match(spec, found, fresh, 'x', module)
  assert {*values} == {p for p in fresh if p.startswith('params/encoder/')}
  assert {*report['new']} == {'params/ctc_head/kernel', 'params/ctc_head/bias'}
  assert all(name.startswith('model.decoder.') for name in report['skipped'])


@pytest.mark.parametrize('shape', [(), (3,), (2, 3, 4)])
def test_pieces_that_do_not_fit_each_other_are_told(stored, shape):
  module, state = build(), state_of(stored)
  name = 'model.encoder.layers.0.self_attn.k_proj.weight'
  found = translate(module, shapes_of(module), {**state, name: np.zeros(shape)})
  with pytest.raises(UserError, match='block1/attention/qkv/kernel is '):
    transfer.match(
      transfer.InitFrom(path='x'), found, shapes_of(module), 'x', module
    )
