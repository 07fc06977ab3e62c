"""Whisper computes what transformers' does, from the same weights."""

import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.errors import UserError
from recog_jax.features import make_features
from recog_jax.models import torch_file
from recog_jax.models.speech.whisper_vocabulary import vocabulary_of
from tests.models.speech import make_whisper_reference as reference
from tests.models.speech.encoders import check_padding
from tests.models.speech.whisper_models import (
  build,
  imported,
  shapes_of,
  state_of,
)
from tests.variants import some

SIZES = reference.SIZES


@pytest.fixture(scope='module')
def stored():
  with np.load(reference.FILE) as file:
    return dict(file)


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


@pytest.mark.parametrize('prompt', some([(5, 9, 3), (0,)], 2))
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
  assert english.prompt('en', 'transcribe', False) == (50257, 50362)
  assert old.prompt('en', 'transcribe', False) == (50258, 50259, 50359, 50363)
  assert old.prompt('ur', 'translate', False) == (50258, 50290, 50358, 50363)
  assert new.prompt('yue', 'transcribe', False) == (50258, 50358, 50360, 50364)
  assert english.prompt('en', 'transcribe', True) == (50257,)
  assert old.prompt('en', 'transcribe', True) == (50258, 50259, 50359)
  assert vocabulary_of(51867) is None
  assert {50358, 50359, 50360, 50361, 50362} < {*old.never(True)}
  assert not {0, old.end} & {*old.never(False)}


@pytest.mark.parametrize(
  ('vocab', 'options', 'words'),
  [
    (51864, {'language': 'ur'}, 'English alone'),
    (51864, {'task': 'translate'}, 'English alone'),
    (51865, {'language': 'yue'}, "language of this Whisper's vocabulary 'yue'"),
    (51865, {'language': 'urdu'}, 'did you mean ur or ru'),
    (20, {'timestamps': True}, 'none of the 20 symbols is a time stamp'),
    (51865, {'task': 'sing'}, 'known: transcribe, translate'),
    (20, {'dim': 15}, 'divide'),
  ],
)
def test_what_the_vocabulary_lacks_is_told(vocab, options, words):
  decoder = {'name': 'whisper', 'layers': 1, 'dim': 16, 'heads': 2, **options}
  keys = {'name': 'whisper_tiny', 'layers': 1, 'dim': 16, 'heads': 2}
  with pytest.raises(UserError, match=words):
    registry.build('model', {**keys, 'decoder': decoder}, num_outputs=vocab)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
  ('name', 'millions', 'mels', 'vocab'),
  [
    ('tiny', 37.18, 80, 51864),
    pytest.param('base', 71.83, 80, 51865, marks=SLOW),
    pytest.param('small', 240.58, 80, 51865, marks=SLOW),
    pytest.param('medium', 762.32, 80, 51865, marks=SLOW),
    pytest.param('large_v3', 1541.57, 128, 51866, marks=SLOW),
  ],
)
def test_numbers_of_parameters_are_the_publisheds(name, millions, mels, vocab):
  """Without the encoder's positions, which are none of ours: 1,500 d."""
  module = registry.build(
    'model', {'name': f'whisper_{name}'}, num_outputs=vocab
  )
  shapes = shapes_of(module, mels)
  count = sum(np.prod(leaf.shape) for leaf in shapes.values())
  assert abs(count / 1e6 - millions) < 0.01
