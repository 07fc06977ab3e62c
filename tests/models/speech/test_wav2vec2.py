"""wav2vec 2.0's family: hidden frames, logits, gradients, masks, lengths."""

import os
import subprocess

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.engine import transfer
from recog_jax.errors import UserError
from recog_jax.features.extract import make_features
from recog_jax.models import torch_file
from recog_jax.models.speech import wav2vec2_blocks
from recog_jax.models.speech.import_weights import translate
from tests.models.speech import make_wav2vec2_reference as reference

NAMES = {
  'wav2vec2': 'wav2vec2_base',
  'wav2vec2_lv60': 'wav2vec2_large_lv60',
  'hubert': 'hubert_base',
  'hubert_large': 'hubert_large',
  'mms': 'mms_1b',
}


def build(kind, **given):
  sizes = {**reference.SIZES, **given}
  keys = {k: sizes[k] for k in ('layers', 'dim', 'heads', 'conv_dim')}
  keys['position_window'] = sizes['window']
  keys['position_groups'] = sizes['groups']
  if adapter := reference.KINDS[kind]['adapter']:
    keys['language_adapter'] = adapter
  keys |= {k: v for k, v in given.items() if k.startswith('mask')}
  return registry.build(
    'model', {'name': NAMES[kind], **keys}, num_outputs=sizes['vocab']
  )


def shapes_of(module, samples=800):
  x, lens = jnp.zeros((1, samples, 1)), jnp.array([samples])
  return transfer._flat(
    jax.eval_shape(lambda: module.init(jax.random.key(0), x, lens, train=False))
  )


def start(module, x, lens):
  init = jax.jit(lambda key: module.init(key, x, lens, train=False))
  return init(jax.random.key(1))


def imported(module, state):
  """Variables of weights, by the way of `config.init_from`."""
  fresh = shapes_of(module)
  found = translate(module, fresh, state)
  spec = transfer.InitFrom(path='x')
  values, report = transfer.match(spec, found, fresh, 'x', module)
  assert not report['new']
  assert {*report['skipped']} <= {'wav2vec2.masked_spec_embed'}
  return flax.traverse_util.unflatten_dict(values, sep='/')


def part(expected, kind):
  prefix = f'{kind}/'
  return {
    k.removeprefix(prefix): v for k, v in expected.items() if prefix in k[:6]
  }


def close(found, expected):
  error = np.abs(np.asarray(found) - expected).max()
  assert error <= 1e-4 * max(1, np.abs(expected).max()), error


def compare(module, state, expected):
  """What is computed, and its gradients by all parameters."""
  variables = imported(module, state)
  x = jnp.asarray(expected['x'])[..., None]
  lens = jnp.full(len(x), x.shape[1])

  def run(params):
    variables = {'params': params}
    logits, out_len, taps = module.apply(variables, x, lens, train=False)
    return (logits * expected['weights']).sum(), (logits, out_len, taps)

  (_, (logits, out_len, taps)), grads = jax.jit(
    jax.value_and_grad(run, has_aux=True)
  )(variables['params'])
  assert out_len.tolist() == [expected['logits'].shape[1]] * 2
  close(logits, expected['logits'])
  close(taps['hidden'], expected['hidden'])
  theirs = translate(module, shapes_of(module), part(expected, 'grad'))
  ours = transfer._flat({'params': grads})
  assert {*ours} <= {*theirs}
  for name, value in ours.items():
    close(value, theirs[name])


@pytest.mark.parametrize('kind', reference.STORED)
def test_it_computes_what_is_stored(kind):
  with np.load(reference.FOLDER / f'{kind}.npz') as file:
    stored = dict(file)
  compare(build(kind), part(stored, 'state'), stored)


FULL = {'vocab': 32, 'layers': 12, 'dim': 768, 'heads': 12, 'conv_dim': 512}
FULL |= {'window': 128, 'groups': 16, 'samples': 16000}


@pytest.mark.slow
@pytest.mark.parametrize(
  ('kind', 'sizes'),
  [
    *((kind, {'layers': 2}) for kind in NAMES),
    ('mms', {'window': 7, 'heads': 4, 'samples': 5001}),
    ('wav2vec2', FULL),
  ],
)
def test_a_live_transformers_agrees(kind, sizes, tmp_path):
  peer = os.environ.get('PEER')
  if not peer:
    pytest.skip('no PEER: the Python of an environment with transformers')
  there = subprocess.run([peer, '-c', 'import transformers'], check=False)
  if there.returncode:
    pytest.skip('PEER has no transformers')
  options = [f'{key}={value}' for key, value in sizes.items()]
  command = [peer, reference.__file__, tmp_path, kind, *options]
  subprocess.run(command, check=True)
  with np.load(tmp_path / 'expected.npz') as file:
    expected = dict(file)
  state = torch_file.read(tmp_path / 'model.safetensors')
  compare(build(kind, **sizes), state, expected)


def test_padding_changes_nothing():
  module = build('wav2vec2')
  x = jax.random.normal(jax.random.key(0), (2, 1500, 1))
  lens = jnp.array([1500, 1003])
  variables = start(module, x, lens)
  apply = jax.jit(lambda x, n: module.apply(variables, x, n, train=False)[:2])
  both, out_len = apply(x.at[1, 1003:].set(9.0), lens)
  alone, one_len = apply(x[1:, :1003], lens[1:])
  assert out_len.tolist() == [module.out_len(1500), module.out_len(1003)]
  assert one_len[0] == out_len[1] == alone.shape[1]
  np.testing.assert_allclose(both[1, : out_len[1]], alone[0], atol=1e-5)


def test_lengths_are_those_of_the_convolutions():
  module = build('wav2vec2')
  assert module.out_len(16000) == 49 and module.out_len(399) == 0
  counts = np.arange(0, 5000, 7)
  want = np.maximum((counts - 400) // 320 + 1, 0)
  np.testing.assert_array_equal(module.out_len(counts), want)
  np.testing.assert_array_equal(module.out_len(jnp.asarray(counts)), want)


def test_spans_have_their_length_and_share():
  inside = jnp.arange(4000) < jnp.array([[4000], [1500]])
  found = np.asarray(wav2vec2_blocks.spans(jax.random.key(0), inside, 0.1, 10))
  assert not found[1, 1500:].any()
  # What overlaps makes it less than the share.
  assert 0.07 < found[0].mean() < 0.1
  edges = np.flatnonzero(np.diff(np.pad(found[0], 1).astype(int)))
  assert (edges[1::2] - edges[::2]).min() == 10
  assert not wav2vec2_blocks.spans(jax.random.key(0), inside, 0.0, 10).any()


def test_training_masks_frames_and_channels():
  keys = {'mask_time': 0.5, 'mask_channels': 0.3, 'mask_channels_length': 4}
  module = build('wav2vec2', **keys)
  lens = jnp.array([2000])
  x = jax.random.normal(jax.random.key(0), (1, 2000, 1))
  variables = start(module, x, lens)

  @jax.jit
  def trained(key):
    rngs = {'dropout': key}
    return module.apply(variables, x, lens, train=True, rngs=rngs)[0]

  plain = jax.jit(lambda: module.apply(variables, x, lens, train=False)[0])()
  ones = [trained(jax.random.key(i)) for i in range(2)]
  assert np.abs(ones[0] - plain).max() > 1e-3
  assert np.abs(ones[0] - ones[1]).max() > 1e-3


def test_convolutions_are_held_unless_they_are_to_be_trained():
  module = build('wav2vec2')
  params = {k.removeprefix('params/'): v for k, v in shapes_of(module).items()}
  held = module.held(flax.traverse_util.unflatten_dict(params, sep='/'))
  names = {k for k, v in transfer._flat(held).items() if v}
  norm = {f'encoder/conv1_norm/{leaf}' for leaf in ('scale', 'bias')}
  assert names == {f'encoder/conv{i}/kernel' for i in range(1, 8)} | norm
  keys = {'name': 'wav2vec2_base', 'freeze_features': False}
  free = registry.build('model', keys, num_outputs=3)
  assert not any(jax.tree.leaves(free.held({'encoder': {'conv1': 0}})))


@pytest.mark.parametrize('name', ['wav2vec2_aed', 'wav2vec2_transducer'])
def test_other_heads_sit_on_it(name):
  keys = {'layers': 1, 'dim': 16, 'heads': 2, 'conv_dim': 4}
  keys |= {'position_window': 4, 'position_groups': 2}
  if name == 'wav2vec2_aed':
    size = {'layers': 1, 'dim': 16, 'heads': 2}
    keys['decoder'] = {'name': 'transformer', **size}
  module = registry.build('model', {'name': name, **keys}, num_outputs=5)
  shapes = jax.eval_shape(
    lambda: module.init_with_output(
      jax.random.key(0),
      jnp.zeros((1, 800, 1)),
      jnp.array([800]),
      jnp.ones((1, 2), jnp.int32),
      jnp.array([2]),
      train=False,
    )[0][2]
  )
  assert name.removeprefix('wav2vec2_').replace('aed', 'attention') in shapes


@pytest.mark.parametrize('xp', [np, jnp])
def test_a_waveform_is_normalised_alone(xp):
  features = make_features('waveform', sample_rate=16000)
  rng = np.random.RandomState(0)
  waves = rng.uniform(-0.3, 0.5, (2, 900)).astype(np.float32)
  found, lens = features(waves, np.array([900, 0]), xp=xp)
  assert found.shape == (2, 900, 1) and lens.tolist() == [900, 0]
  wave = waves[0].astype(np.float64)
  want = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
  np.testing.assert_allclose(found[0, :, 0], want, atol=1e-5)
  assert not found[1].any()
  plain = make_features('waveform', sample_rate=16000, normalise='none')
  found, _ = plain(waves, np.array([900, 3]), xp=xp)
  np.testing.assert_array_equal(found[1, :3, 0], waves[1, :3])


def test_other_features_are_refused():
  module = build('wav2vec2')
  with pytest.raises(UserError, match='features.name=waveform'):
    module.init(
      jax.random.key(0), jnp.zeros((1, 900, 80)), jnp.array([900]), train=False
    )


def test_weights_of_another_size_are_told():
  with np.load(reference.FOLDER / 'wav2vec2.npz') as file:
    state = part(dict(file), 'state')
  with pytest.raises(UserError, match=r'attention/out/bias is \(16,\) there'):
    imported(build('wav2vec2', dim=32), state)
  with pytest.raises(UserError, match='conv1/bias is missing'):
    imported(build('wav2vec2_lv60'), state)
