"""Features inside a program are those that readers compute."""

import jax
import numpy as np
import pytest

from recog_jax.data.speech.batch import Normaliser
from recog_jax.engine.export import front_end
from recog_jax.features import extract
from recog_jax.features.cepstra import global_cmvn

RATE = 8000
LENS = np.array([4000, 1234, 201, 3999], np.int32)
KINDS = {
  'log_mel': {'num_mels': 24},
  'log_mel centred': {'name': 'log_mel', 'padding': 'zeros', 'num_mels': 24},
  'log_mel mirrored': {
    'name': 'log_mel',
    'padding': 'reflect',
    'num_mels': 24,
    'deltas': 2,
    'normalise': 'mean_variance',
  },
  'odd sizes': {'name': 'log_mel', 'window_s': 0.0251, 'num_mels': 20},
  'fbank': {'num_mels': 24},
  'fbank mirrored': {
    'name': 'fbank',
    'snip_edges': False,
    'energy': True,
    'num_mels': 24,
  },
  'mfcc': {'deltas': 1, 'normalise': 'mean'},
}


def make(kind):
  keys = dict(KINDS[kind])
  return extract.make_features(keys.pop('name', kind), sample_rate=RATE, **keys)


def waves():
  draw = np.random.default_rng(0)
  return draw.normal(0, 0.1, (4, 4000)).astype(np.float32)


@pytest.mark.parametrize('kind', KINDS)
def test_features_are_those_of_the_host(kind):
  features = make(kind)
  wanted, wanted_len = features(waves(), LENS)
  found, found_len = jax.jit(
    lambda x, n: front_end.features_of(features, None, x, n)
  )(waves(), LENS)
  np.testing.assert_array_equal(found_len, wanted_len)
  np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.smoke
def test_there_is_no_fourier_transform():
  features = make('log_mel')
  text = (
    jax.jit(lambda x, n: front_end.features_of(features, None, x, n))
    .lower(waves(), LENS)
    .as_text()
  )
  assert 'stablehlo.dot_general' in text and 'stablehlo.fft' not in text


@pytest.mark.parametrize('kind', ['log_mel', 'log_mel centred', 'fbank'])
def test_lengths_are_exact(kind):
  features = make(kind)
  lens = np.arange(4001, dtype=np.int32)
  found = front_end.frame_lengths(features, lens, 4000)
  np.testing.assert_array_equal(found, features.num_frames(lens))


def test_statistics_of_the_corpus_are_taken():
  features = make('fbank')
  draw = np.random.default_rng(1)
  norm = Normaliser(
    draw.normal(size=24).astype(np.float32),
    draw.uniform(0.5, 2, 24).astype(np.float32),
  )
  frames, lens = features(waves(), LENS)
  wanted = global_cmvn(frames, lens, norm.mean, norm.std)
  found, _ = front_end.features_of(features, norm, waves(), LENS)
  np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize(
  ('k', 'n'), [(200, 256), (400, 400), (7, 7), (251, 251), (9, 45), (3, 50)]
)
def test_transforms_of_any_size_are_numpys(k, n):
  frames = np.random.default_rng(n).normal(size=(2, 3, k)).astype(np.float32)
  found = front_end._Fourier.rfft(frames, n)
  wanted = np.fft.rfft(frames, n)
  np.testing.assert_allclose(found.real, wanted.real, atol=2e-5)
  np.testing.assert_allclose(found.imag, wanted.imag, atol=2e-5)
