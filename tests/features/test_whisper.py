"""Whisper's windows; that they are transformers' is tested with the model."""

import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.features import make_features


def features(**keys):
  keys = {'num_mels': 20, 'pad_s': 0.5, **keys}
  return make_features('whisper', sample_rate=16000, **keys)


def wave(n, seed=0):
  return np.random.default_rng(seed).normal(size=n).astype(np.float32) / 9


def test_every_utterance_fills_the_window():
  made = features()
  assert made.longest_s == 0.5
  assert made.num_frames(0) == 0
  assert made.num_frames(1) == made.num_frames(8000) == 50
  # What no window holds shows that it is too long.
  assert made.num_frames(8160) == 51
  lens = made.num_frames(np.array([0, 5, 16000]))
  np.testing.assert_array_equal(lens, [0, 50, 100])


@pytest.mark.parametrize('xp', [np, jnp])
def test_what_lies_behind_the_end_is_silence(xp):
  made, one = features(), wave(3000)
  waves = np.stack([one, wave(3000, 1)])
  garbage = np.concatenate([waves, np.full((2, 9000), 7.0)], 1)
  lens = np.array([3000, 2000])
  got, got_lens = made(xp.asarray(garbage, np.float32), lens, xp=xp)
  wanted, _ = made(np.stack([one, waves[1] * (np.arange(3000) < 2000)]), lens)
  np.testing.assert_array_equal(got_lens, 50)
  np.testing.assert_allclose(got, wanted, atol=2e-5)


def test_no_energy_is_far_below_the_loudest():
  found = features()(wave(3000)[None], np.array([3000]))[0][0]
  assert found.max() - found.min() <= 2.0 + 1e-6
  silent = features()(np.zeros((1, 100), np.float32), np.array([100]))[0]
  np.testing.assert_allclose(silent, (-10 + 4) / 4, rtol=1e-6)


def test_deltas_and_normalisation_follow_the_scaling():
  made = features(deltas=1, normalise='mean')
  found, lens = made(wave(3000)[None], np.array([3000]))
  assert found.shape == (1, 50, 40)
  np.testing.assert_allclose(found[0, : lens[0]].mean(0), 0, atol=1e-5)


@pytest.mark.parametrize('xp', [np, jnp])
def test_utterances_of_their_own_length_are_what_they_are_alone(xp):
  made = features(pad_s=None)
  assert made.longest_s == 30.0
  np.testing.assert_array_equal(made.num_frames(np.array([0, 3200])), [0, 20])
  waves, lens = np.stack([wave(4800), wave(4800, 1) / 50]), [4800, 3200]
  got, got_lens = made(xp.asarray(waves), np.array(lens), xp=xp)
  np.testing.assert_array_equal(got_lens, [30, 20])
  assert np.all(np.asarray(got[1, 20:]) == 0)
  for row, n in enumerate(lens):
    alone, _ = made(waves[row : row + 1, :n], np.array([n]))
    np.testing.assert_allclose(got[row, : n // 160], alone[0], atol=2e-5)


def test_a_window_shorter_than_a_frame_is_refused():
  with pytest.raises(ValueError, match='shorter than a frame'):
    features(pad_s=0.02)
