"""Streams that a trained model hears, beside the whole recordings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.decode.endpoint import Rules
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, stream
from recog_jax.engine import model as model_lib
from recog_jax.errors import UserError
from tests.models.random_values import random_like

RATE = 8000
# No utterance ends before the stream does.
NEVER = Rules(silence_s=1e6, nothing_s=1e6, longest_s=1e6)


def talkative(root, name, **overrides):
  """A model that says something although nothing trained it, and its data."""
  config = config_lib.load(f'{root}/configs/{name}.py:tiny')
  with config.unlocked(), config.ignore_type():
    config.data.join = None
    for key, value in overrides.items():
      config.update_from_flattened_dict({key.replace('__', '.'): value})
  ex = experiment.build(config, train_batch=False)
  frames, lens = jnp.zeros((1, 16, 40)), jnp.array([16])
  targets, target_len = jnp.array([[2, 3]]), jnp.array([2])
  shapes = jax.eval_shape(
    lambda key: ex.module.init(
      key, frames, lens, targets, target_len, train=False
    ),
    jax.random.key(0),
  )
  variables = random_like(shapes, spread=0.3, seed=1)
  head = variables['params']['ctc_head']
  head['kernel'] = 20 * head['kernel']
  head['bias'] = head['bias'].at[1].set(3.0)  # Spaces.
  if joiner := variables['params'].get('transducer_head'):
    joiner['output']['kernel'] = 10 * joiner['output']['kernel']
  return model_lib.of_experiment(ex, config, variables, 0), ex.data


@pytest.fixture(scope='module')
def opened(root):
  """A model, and the recordings of the test split at 8 kHz."""
  model, data = talkative(root, 'lstm_streaming_spoken_digits')
  return model, data._opened('test').records.take(np.arange(4))


def text_of(lines):
  return ' '.join(line.text for line in lines if line.final)


@pytest.mark.smoke
def test_a_stream_says_what_the_whole_says(opened):
  model, waves = opened
  wanted = [answer.text for answer in model.predict([(w, RATE) for w in waves])]
  assert sum(map(bool, wanted)) > 2
  for wave, text in zip(waves, wanted, strict=True):
    for size in (80, 1000, len(wave)):
      chunks = [wave[i : i + size] for i in range(0, len(wave), size)]
      lines = list(model.stream(chunks, RATE, rules=NEVER))
      assert text_of(lines) == text
      assert [line.final for line in lines[:-1]] == [False] * (len(lines) - 1)
  assert model.stream_step._cache_size() == 1


def test_a_transducer_says_what_the_whole_says(root):
  model, data = talkative(
    root,
    'lstm_transducer_spoken_digits',
    model__bidirectional=False,
    data__features__normalise='none',
  )
  waves = data._opened('test').records.take(np.arange(2))
  answers = model.predict([(wave, RATE) for wave in waves])
  assert any(answer.text for answer in answers)
  for wave, answer in zip(waves, answers, strict=True):
    chunks = np.split(wave, [333, 2000])
    assert text_of(model.stream(chunks, RATE, rules=NEVER)) == answer.text
  assert model.stream_step._cache_size() == 1


def test_an_endpoint_loses_and_doubles_no_text(opened):
  model, waves = opened
  wave = np.concatenate(waves)
  whole = text_of(model.stream([wave], RATE, rules=NEVER))
  for rules in (
    Rules(silence_s=0.03, blank=0.0),
    Rules(silence_s=0.06, blank=0.0, longest_s=0.2),
    Rules(silence_s=9.0, longest_s=0.11),
  ):
    lines = list(model.stream([wave], RATE, rules=rules))
    finals = [line for line in lines if line.final]
    assert len(finals) > 3
    joined = ''.join(line.text for line in finals)
    assert joined.replace(' ', '') == whole.replace(' ', '')
    assert finals[-1].reason == 'end' or finals[-1].reason == 'silence'
    begins = [line.begin for line in finals]
    assert begins == sorted(begins)
    assert all(line.end <= line.heard + 0.05 for line in lines)


def test_words_are_whole_where_the_longest_utterance_is_cut(opened):
  model, waves = opened
  wave = np.concatenate(waves)
  whole = text_of(model.stream([wave], RATE, rules=NEVER))
  rules = Rules(silence_s=9.0, longest_s=1.0)
  found = text_of(model.stream([wave], RATE, rules=rules))
  assert found.split() == whole.split()


def test_silence_nan_and_another_rate(opened, capsys):
  model, waves = opened
  # Not 100 s, but as many clocks of utterances begin again.
  rules = Rules(nothing_s=0.1)
  found = list(model.stream([np.zeros(8000, np.int16)], RATE, rules=rules))
  assert all(line.text for line in found)
  wave = waves[0].copy()
  wave[100:200] = np.nan
  zero = np.nan_to_num(wave)
  lines = list(model.stream([wave, wave], RATE))
  assert lines == list(model.stream([zero, zero], RATE))
  assert capsys.readouterr().err.count('heard as silence') == 1
  twice = np.repeat(waves[0], 2)
  lines = list(model.stream([twice[:5000], twice[5000:]], 2 * RATE))
  assert capsys.readouterr().err.count('16,000 Hz and is resampled') == 1
  assert lines[-1].heard == pytest.approx(len(waves[0]) / RATE, abs=1e-3)
  with pytest.raises(UserError, match='arrays of floats'):
    list(model.stream([np.zeros((4, 2))], RATE))
  with pytest.raises(UserError, match='must lie in'):
    list(model.stream([np.full(900, 3e4)], RATE))


def test_memory_is_bounded(opened):
  model, waves = opened
  listener = stream.Listener(model, rules=Rules(longest_s=0.3))
  kept = set()
  for _ in range(20):
    listener.hear(waves[0])
    arrays = [v for v in vars(listener).values() if isinstance(v, np.ndarray)]
    kept.add(sum(a.size for a in arrays) < 5000 and len(listener._tokens) < 99)
  assert kept == {True}


def test_models_that_cannot_stream(root, opened):
  model, _ = opened
  module = model.module.clone(
    encoder=model.module.encoder.clone(bidirectional=True)
  )
  both = dataclasses.replace(model, module=module)
  with pytest.raises(UserError, match='Models that can: RNN, LSTM and GRU'):
    stream.Listener(both)
  with pytest.raises(UserError, match='of 7 frames'):
    stream.Listener(model, frames=7)
  features = dataclasses.replace(
    model.reader.info.features, normalise='mean_variance'
  )
  info = dataclasses.replace(model.reader.info, features=features)
  reader = dataclasses.replace(model.reader, info=info)
  with pytest.raises(UserError, match='config.data.cmvn'):
    stream.Listener(dataclasses.replace(model, reader=reader))
