"""Features of a growing waveform, beside those of the whole."""

import numpy as np
import pytest

from recog_jax.features import make_features
from recog_jax.features.stream import FeatureStream

KINDS = (
  {'name': 'log_mel', 'num_mels': 20},
  {'name': 'log_mel', 'num_mels': 20, 'padding': 'zeros'},
  {'name': 'log_mel', 'num_mels': 20, 'padding': 'reflect'},
  {'name': 'fbank', 'num_mels': 20, 'energy': True},
  {'name': 'fbank', 'num_mels': 20, 'snip_edges': False},
  {'name': 'mfcc'},
)


@pytest.mark.smoke
@pytest.mark.parametrize('keys', KINDS)
@pytest.mark.parametrize('n', [0, 1, 90, 150, 4321])
def test_frames_are_those_of_the_whole(keys, n):
  features = make_features(sample_rate=8000, **keys)
  rng = np.random.default_rng(n)
  wave = rng.normal(0, 0.1, n).astype(np.float32)
  stream, parts, at = FeatureStream(features), [], 0
  while at < n:
    size = int(rng.choice([1, 7, 79, 80, 800]))
    parts.append(stream.add(wave[at : at + size]))
    at += size
  before = sum(map(len, parts))
  parts.append(stream.finish())
  whole, lens = features(wave[None], np.array([n]))
  found = np.concatenate(parts)
  assert found.shape == (lens[0], features.dim)
  np.testing.assert_allclose(found, whole[0], atol=1e-5)
  # All but what the end is needed for came before it.
  assert lens[0] - before <= 2


def test_what_needs_the_whole_utterance_is_refused():
  with pytest.raises(ValueError, match='config.data.cmvn'):
    FeatureStream(make_features('log_mel', sample_rate=8000, normalise='mean'))
  with pytest.raises(ValueError, match='deltas=0'):
    FeatureStream(make_features('mfcc', sample_rate=8000, deltas=1))
  with pytest.raises(ValueError, match='windows of 30 s'):
    FeatureStream(make_features('whisper', sample_rate=16000))


def test_memory_does_not_grow():
  stream = FeatureStream(make_features('log_mel', sample_rate=8000))
  for _ in range(200):
    stream.add(np.zeros(800, np.float32))
  kept = [v for v in vars(stream).values() if isinstance(v, np.ndarray)]
  assert sum(array.size for array in kept) < 2000
