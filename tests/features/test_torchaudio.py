"""Our features are torchaudio's: stored ones, and live where it is there."""

import numpy as np
import pytest

from recog_jax.features import make_features
from tests.features import make_reference

# Of each log value's range.
TOLERANCE = 1e-3

OURS = {
  'transform_htk': {
    'name': 'log_mel',
    'scale': 'htk',
    'norm': 'none',
    'padding': 'reflect',
  },
  'transform_slaney': {
    'name': 'log_mel',
    'num_mels': 40,
    'num_fft': 400,
    'low_hz': 60.0,
    'high_hz': 7600.0,
  },
  'fbank': {'name': 'fbank'},
  'fbank_all_edges': {
    'name': 'fbank',
    'num_mels': 30,
    'snip_edges': False,
    'window': 'hamming',
    'high_hz': -400.0,
    'scale': 2.0**15,
  },
  'fbank_energy_deltas': {
    'name': 'fbank',
    'num_mels': 40,
    'energy': True,
    'deltas': 1,
  },
  'mfcc': {'name': 'mfcc'},
  'mfcc_energy': {
    'name': 'mfcc',
    'num_ceps': 20,
    'num_mels': 40,
    'energy': True,
  },
}


def assert_close(wave, theirs, name):
  features = make_features(sample_rate=16000, **OURS[name])
  ours, lens = features(wave[None], np.array([len(wave)]))
  assert ours.shape[1:] == theirs.shape
  assert lens[0] == len(theirs)
  assert features.dim == theirs.shape[1]
  error = np.abs(ours[0] - theirs).max()
  assert error < TOLERANCE * np.ptp(theirs)


@pytest.fixture(scope='module')
def stored():
  with np.load(make_reference.FILE) as file:
    return dict(file)


@pytest.mark.parametrize('name', OURS)
def test_equals_what_torchaudio_gave(stored, name):
  wave = stored['wave'].astype(np.float32) * np.float32(2.0**-15)
  assert_close(wave, stored[name], name)


def test_every_stored_value_is_compared(stored):
  assert set(stored) == {'wave', *OURS}


def test_equals_what_torchaudio_gives_here():
  pytest.importorskip('torchaudio')
  wave = make_reference.make_wave(seed=1, seconds=1.3)
  wave = wave.astype(np.float32) * np.float32(2.0**-15)
  for name, theirs in make_reference.torchaudio_features(wave).items():
    assert_close(wave, theirs, name)
