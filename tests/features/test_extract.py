"""Features of batches: lengths, padding, numpy and jax, mistakes."""

import os
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.accelerator.cases import FEATURES
from recog_jax.features import LogMel, make_features

EVERY = pytest.mark.parametrize(
  'keys', FEATURES, ids=lambda k: '-'.join(str(v) for v in k.values())
)
LENS = np.array([3000, 1111, 200, 199, 80, 1, 0])


def build(keys):
  return make_features(sample_rate=8000, **{'num_mels': 23, **keys})


def waves_of(n=3000):
  x = np.random.default_rng(0).standard_normal((len(LENS), n)) * 0.1
  return x.astype(np.float32)


@EVERY
def test_frames_do_not_depend_on_what_lies_behind(keys):
  features, waves = build(keys), waves_of()
  whole, frame_lens = features(waves, LENS)
  assert whole.dtype == np.float32
  assert frame_lens.dtype == np.int32
  assert whole.shape == (7, features.num_frames(3000), features.dim)
  for row, wave, n, t in zip(whole, waves, LENS, frame_lens, strict=True):
    assert not row[t:].any()
    alone, alone_len = features(wave[None, :n], np.array([n]))
    assert alone_len[0] == t == alone.shape[1]
    np.testing.assert_allclose(row[:t], alone[0], atol=1e-5)
  assert np.isfinite(whole).all()


@EVERY
def test_jax_computes_what_numpy_does(keys):
  features, waves = build(keys), waves_of()
  wanted, wanted_len = features(waves, LENS)
  run = jax.jit(lambda w, n: features(w, n, xp=jnp))
  found, found_len = run(waves, LENS.astype(np.int32))
  assert found.dtype == jnp.float32
  assert found_len.dtype == jnp.int32
  assert np.array_equal(found_len, wanted_len)
  np.testing.assert_allclose(found, wanted, atol=2e-3)


@EVERY
def test_number_of_frames_is_integer_arithmetic(keys):
  features = build(keys)
  lens = np.arange(0, 1500, 7)
  one_by_one = [features.num_frames(int(n)) for n in lens]
  assert all(type(t) is int for t in one_by_one)
  assert np.array_equal(features.num_frames(lens), one_by_one)
  assert np.array_equal(features.num_frames(jnp.asarray(lens)), one_by_one)
  for n in (0, 79, 80, 200, 1400):
    found, _ = features(np.zeros((1, n), np.float32), np.array([n]))
    assert found.shape[1] == features.num_frames(n)


@EVERY
def test_threads_change_nothing(keys):
  features, waves = build(keys), waves_of()
  alone, _ = features(waves, LENS)
  together, _ = features(waves, LENS, threads=3)
  assert np.array_equal(alone, together)


@EVERY
def test_pickles_and_compares_by_value(keys):
  features = build(keys)
  again = pickle.loads(pickle.dumps(features))
  assert again == features
  assert hash(again) == hash(features)


@pytest.mark.smoke
def test_twenty_five_milliseconds_every_ten():
  features = LogMel(sample_rate=16000)
  assert features.window_len == 400
  assert features.hop_len == 160
  assert features.fft_len == 512
  assert features.dim == 80
  assert features.num_frames(16000) == 98
  assert LogMel(sample_rate=11025).window_len == 275


def test_doubling_the_scale_adds_its_logarithm():
  waves = waves_of()
  soft, _ = build({'name': 'fbank', 'normalise': 'none'})(waves, LENS)
  loud, _ = build({'name': 'fbank', 'scale': 4.0})(waves, LENS)
  np.testing.assert_allclose((loud - soft)[0], 2 * np.log(4), atol=1e-3)


def test_normalised_per_utterance():
  features = build({'name': 'log_mel', 'normalise': 'mean_variance'})
  found, lens = features(waves_of(), LENS)
  row = found[1, : lens[1]]
  np.testing.assert_allclose(row.mean(0), 0, atol=1e-4)
  np.testing.assert_allclose(row.std(0), 1, atol=1e-3)


def test_import_does_not_start_jax():
  code = "import sys, recog_jax.features; sys.exit('jax' in sys.modules)"
  subprocess.run([sys.executable, '-c', code], check=True, env=os.environ)


@pytest.mark.parametrize(
  ('keys', 'said'),
  [
    ({'name': 'mel'}, "no features 'mel': known: fbank, log_mel, mfcc"),
    ({'name': 'fbank', 'num_mel': 3}, "no key 'num_mel': known: sample_rate"),
    ({'name': 'log_mel', 'window': 'han'}, "no window 'han'"),
    ({'name': 'log_mel', 'scale': 'bark'}, "no mel scale 'bark'"),
    ({'name': 'log_mel', 'norm': 'l2'}, "no mel norm 'l2'"),
    ({'name': 'log_mel', 'padding': 'same'}, "no padding 'same'"),
    ({'name': 'fbank', 'normalise': 'all'}, "no normalise 'all'"),
    ({'name': 'fbank', 'num_fft': 128}, 'a window has 200 samples'),
    ({'name': 'fbank', 'high_hz': 5000.0}, 'from 20.0 to 5000.0 Hz'),
    ({'name': 'fbank', 'high_hz': -4000.0}, 'from 20.0 to 0.0 Hz'),
    ({'name': 'fbank', 'num_mels': 0}, 'num_mels is 1 or more'),
    ({'name': 'fbank', 'deltas': 3}, 'deltas is 0, 1 or 2, not 3'),
    ({'name': 'fbank', 'num_mels': 128}, '4 of 128 mel filters lie between'),
    ({'name': 'fbank', 'hop_s': 0.0}, 'a hop of 0.0 s are too short'),
    ({'name': 'mfcc', 'num_ceps': 24}, 'from 1 to num_mels, 23, not 24'),
  ],
)
def test_mistakes_are_told(keys, said):
  with pytest.raises(ValueError, match=said):
    build(keys)


def test_sample_rate_is_needed():
  with pytest.raises(ValueError, match="need the key 'sample_rate', in Hz"):
    make_features('fbank')
