"""Whisper computes what transformers' does, from files of three programs."""

import os
import struct
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.engine import transfer
from recog_jax.errors import UserError
from recog_jax.features import make_features
from recog_jax.models import torch_file
from recog_jax.models.speech.import_weights import translate
from recog_jax.models.speech.whisper_vocabulary import vocabulary_of
from tests.models.speech import make_whisper_reference as reference
from tests.models.speech.encoders import check_padding

SIZES = reference.SIZES


def build(name='whisper_tiny', vocab=20, layers=1, dim=16, heads=2, **_):
  size = {'layers': layers, 'dim': dim, 'heads': heads}
  places = 448 if vocab > 50000 else 12
  decoder = {'name': 'whisper', 'places': places, **size}
  keys = {} if name == 'whisper_ctc' else {'decoder': decoder}
  return registry.build(
    'model', {'name': name, **size, **keys}, num_outputs=vocab
  )


def shapes_of(module, mels=8, frames=20):
  shapes = jax.eval_shape(
    lambda: module.init(
      jax.random.key(0),
      jnp.zeros((1, frames, mels)),
      jnp.array([frames]),
      jnp.ones((1, 2), jnp.int32),
      jnp.array([2]),
      train=False,
    )
  )
  return transfer._flat(shapes)


def imported(module, state, **sizes):
  """Variables of weights, by the way of `config.init_from`."""
  fresh = shapes_of(module, **sizes)
  found = translate(module, fresh, state)
  values, report = transfer.match(
    transfer.InitFrom(path='x'), found, fresh, 'x', module
  )
  assert not report['new']
  assert not report['skipped']
  return transfer.flax.traverse_util.unflatten_dict(values, sep='/')


@pytest.fixture(scope='module')
def stored():
  with np.load(reference.FILE) as file:
    return dict(file)


def state_of(stored):
  return {
    k.removeprefix('state/'): v
    for k, v in stored.items()
    if k.startswith('state/')
  }


def compare(module, variables, expected):
  """Hidden frames and logits are transformers'."""
  x, tokens = expected['x'], expected['tokens']
  lens = jnp.full(len(x), x.shape[1])

  @jax.jit
  def run(variables):
    return module.apply(
      variables,
      x,
      lens,
      tokens[:, len(module.attention_head.prompt) :],
      jnp.full(len(x), tokens.shape[1] - 1),
      train=False,
    )

  logits, hidden_len, taps = run(variables)
  assert logits is None
  np.testing.assert_array_equal(hidden_len, expected['hidden'].shape[1])
  first = len(module.attention_head.prompt) - 1
  for got, wanted in (
    (taps['hidden'], expected['hidden']),
    (taps['attention'], expected['logits'][:, first:]),
  ):
    bound = 1e-4 * max(1, np.abs(wanted).max())
    assert np.abs(got - wanted).max() <= bound


def with_prompt(module, expected):
  """As if the model's prompt were what transformers was given first."""
  head = module.attention_head
  prompt = tuple(int(t) for t in expected['tokens'][0, : len(head.prompt)])
  return module.clone(attention_head=head.clone(prompt=prompt))


@pytest.mark.smoke
def test_hidden_frames_and_logits_are_those_that_are_stored(stored):
  module = with_prompt(build(), stored)
  expected = {k: v[:1] for k, v in stored.items() if '/' not in k}
  compare(module, imported(module, state_of(stored)), expected)


@pytest.mark.parametrize('mels', [80, 128])
@pytest.mark.parametrize('xp', [np, jnp])
def test_log_mel_energies_are_those_that_are_stored(stored, mels, xp):
  wave = reference.make_wave()
  features = make_features('whisper', sample_rate=16000, num_mels=mels)
  waves = np.full((2, len(wave) + 50), 9.0, np.float32)
  waves[0, : len(wave)] = wave
  found, lens = features(waves, np.array([len(wave), 0]), xp=xp)
  assert found.shape == (2, 3000, mels)
  assert lens.tolist() == [3000, 0]
  assert not found[1].any()
  got = found[0, :: reference.EVERY]
  assert np.abs(got - stored[f'energies{mels}']).max() <= 1e-5


SIZES_OF_PEER = {
  'small': SIZES,
  'deep': {**SIZES, 'vocab': 51866, 'layers': 3, 'heads': 4, 'mels': 128},
}
FULL = {'vocab': 51864, 'layers': 4, 'dim': 384, 'heads': 6, 'mels': 80}


@pytest.mark.parametrize(
  'sizes',
  [
    *SIZES_OF_PEER.values(),
    pytest.param({**FULL, 'frames': 3000}, marks=pytest.mark.slow),
  ],
  ids=[*SIZES_OF_PEER, 'full'],
)
def test_a_live_transformers_agrees(sizes, tmp_path):
  peer = os.environ.get('PEER')
  if not peer:
    pytest.skip('no PEER: the Python of an environment with transformers')
  there = subprocess.run([peer, '-c', 'import transformers'], check=False)
  if there.returncode:
    pytest.skip('PEER has no transformers')
  options = [f'{key}={value}' for key, value in sizes.items()]
  subprocess.run([peer, reference.__file__, tmp_path, *options], check=True)
  with np.load(tmp_path / 'expected.npz') as file:
    expected = {k: v[:1] for k, v in file.items()}
  module = build(**sizes)
  state = torch_file.read(tmp_path / 'model.safetensors')
  plain = {'mels': sizes['mels'], 'frames': sizes['frames']}
  variables = imported(module, state, **plain)
  if words := vocabulary_of(sizes['vocab']):  # The end has another number.
    expected['tokens'] = swapped(expected['tokens'], words.end)
    expected['logits'][..., [0, words.end]] = expected['logits'][
      ..., [words.end, 0]
    ]
  compare(with_prompt(module, expected), variables, expected)
  with np.load(tmp_path / 'expected.npz') as file:
    for mels in (80, 128):
      features = make_features('whisper', sample_rate=16000, num_mels=mels)
      wave = reference.make_wave()
      found, _ = features(wave[None], np.array([len(wave)]))
      assert np.abs(found[0] - file[f'energies{mels}']).max() <= 1e-5


def swapped(tokens, end):
  return np.where(tokens == 0, end, np.where(tokens == end, 0, tokens))


# -- the files of other programs -----------------------------------------------

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


# -- the model -----------------------------------------------------------------


def test_padding_changes_nothing():
  check_padding(build('whisper_ctc'))


def test_frames_without_a_position_are_padding():
  module = build()
  variables = imported(module, state_of(dict(np.load(reference.FILE))))
  x = np.random.default_rng(0).normal(size=(1, 3000, 8)).astype(np.float32)
  wide = np.pad(x, ((0, 0), (0, 100), (0, 0)), constant_values=7.0)
  encoder = module.encoder
  params = {'params': variables['params']['encoder']}
  apply = jax.jit(
    lambda x: encoder.apply(params, x, jnp.array([3000]), train=False)[0]
  )
  np.testing.assert_array_equal(apply(x), apply(wide))


def head_of(prompt=(0,), **options):
  head = build().attention_head.clone(prompt=prompt, **options)
  hidden = jax.random.normal(jax.random.key(1), (2, 7, 16))
  lens = jnp.array([7, 5])
  targets = jax.random.randint(jax.random.key(2), (2, 4), 1, 20)
  variables = head.init(
    jax.random.key(0), hidden, lens, targets, lens, train=False
  )
  return head, variables, hidden, lens, targets


@pytest.mark.parametrize('prompt', [(0,), (5, 9, 3)])
def test_steps_give_what_the_whole_text_gives(prompt):
  head, variables, hidden, lens, targets = head_of(prompt)
  whole = head.apply(variables, hidden, lens, targets, lens, train=False)
  assert whole.shape == (2, 5, 20)

  def run(head):
    memory = head.prepare(hidden, lens)
    state = head.init_state(memory, 3, 6)
    found = []
    for place in range(5):
      last = targets[:, place - 1] if place else jnp.zeros(2, jnp.int32)
      logits, state = head.step(
        memory, state, jnp.repeat(last[:, None], 3, 1), place
      )
      found.append(logits)
    return jnp.stack(found, 2)

  got = jax.jit(lambda v: head.apply(v, method=run))(variables)
  for w in range(3):
    np.testing.assert_allclose(got[:, w], whole, atol=1e-5)


def test_what_is_never_said_has_no_chance_in_a_step():
  head, variables, hidden, lens, _ = head_of(never=(4, 6), not_first=(0, 2))

  def run(head, place):
    memory = head.prepare(hidden, lens)
    state = head.init_state(memory, 1, 6)
    return head.step(memory, state, jnp.ones((2, 1), jnp.int32), place)[0]

  for place, gone in ((0, {0, 2, 4, 6}), (1, {4, 6})):
    logits = head.apply(variables, place, method=run)
    assert {*np.flatnonzero(logits[0, 0] < -1e29).tolist()} == gone


def test_texts_longer_than_the_positions_are_refused():
  head, variables, hidden, lens, _ = head_of()
  with pytest.raises(UserError, match='longer than the 12'):
    head.apply(
      variables, hidden, lens, jnp.ones((2, 12), int), lens, train=False
    )


def test_vocabularies_are_those_of_the_published_models():
  english, old, new = (vocabulary_of(n) for n in (51864, 51865, 51866))
  assert english.prompt('en', 'transcribe') == (50257, 50362)
  assert old.prompt('en', 'transcribe') == (50258, 50259, 50359, 50363)
  assert old.prompt('ur', 'translate') == (50258, 50290, 50358, 50363)
  assert new.prompt('yue', 'transcribe') == (50258, 50358, 50360, 50364)
  assert vocabulary_of(51867) is None
  assert {50358, 50359, 50360, 50361, 50362} < {*old.never}
  assert not {0, old.end} & {*old.never}


@pytest.mark.parametrize(
  ('vocab', 'options', 'words'),
  [
    (51864, {'language': 'ur'}, 'English alone'),
    (51864, {'task': 'translate'}, 'English alone'),
    (51865, {'language': 'yue'}, "lacks the language 'yue'"),
    (51865, {'task': 'sing'}, 'known: transcribe, translate'),
    (20, {'dim': 15}, 'divide'),
  ],
)
def test_what_the_vocabulary_lacks_is_told(vocab, options, words):
  decoder = {'name': 'whisper', 'layers': 1, 'dim': 16, 'heads': 2, **options}
  keys = {'name': 'whisper_tiny', 'layers': 1, 'dim': 16, 'heads': 2}
  with pytest.raises(UserError, match=words):
    registry.build('model', {**keys, 'decoder': decoder}, num_outputs=vocab)


def test_numbers_of_parameters_are_those_of_the_paper():
  """Table 1 says 39, 74, 244, 769 and 1,550 million; positions of frames are
  none of ours."""
  for name, millions, mels, vocab in (
    ('tiny', 37.18, 80, 51864),
    ('base', 71.8, 80, 51864),
    ('small', 240.58, 80, 51865),
    ('medium', 762.3, 80, 51865),
    ('large_v3', 1541.6, 128, 51866),
  ):
    module = registry.build(
      'model', {'name': f'whisper_{name}'}, num_outputs=vocab
    )
    shapes = shapes_of(module, mels)
    count = sum(np.prod(leaf.shape) for leaf in shapes.values())
    assert abs(count / 1e6 - millions) < 0.01 * millions, name
