"""Our features are librosa's, where it is installed."""

import numpy as np
import pytest

from recog_jax.features import cepstra, frames, make_features, mel

librosa = pytest.importorskip('librosa')

TOLERANCE = 1e-3


def wave_of(n=5000, seed=0):
  rng = np.random.default_rng(seed)
  return (rng.standard_normal(n) * np.linspace(0.3, 0.001, n)).astype('f')


@pytest.mark.parametrize('padding', ['none', 'zeros', 'reflect'])
@pytest.mark.parametrize(
  ('scale', 'norm', 'num_fft'),
  [('slaney', 'slaney', 400), ('htk', 'none', 512), ('slaney', 'none', 640)],
)
@pytest.mark.parametrize('window_s', [0.025, 0.02])
def test_log_mel(padding, scale, norm, num_fft, window_s):
  features = make_features(
    'log_mel',
    sample_rate=16000,
    num_mels=40,
    window_s=window_s,
    num_fft=num_fft,
    scale=scale,
    norm=norm,
    padding=padding,
  )
  wave = wave_of()
  ours, lens = features(wave[None], np.array([len(wave)]))
  mode = {'zeros': 'constant'}.get(padding, padding)
  if padding == 'none':
    # librosa's frames are as long as the transform, the window amidst.
    spare = num_fft - features.window_len
    wave = np.pad(wave, (spare // 2, spare - spare // 2))
  theirs = librosa.feature.melspectrogram(
    y=wave,
    sr=16000,
    n_fft=num_fft,
    win_length=features.window_len,
    hop_length=160,
    center=padding != 'none',
    pad_mode=mode if padding != 'none' else 'constant',
    n_mels=40,
    htk=scale == 'htk',
    norm=None if norm == 'none' else norm,
  )
  theirs = np.log(np.maximum(theirs, 1e-10)).T
  assert ours[0].shape == theirs.shape
  assert lens[0] == len(theirs)
  assert np.abs(ours[0] - theirs).max() < TOLERANCE * np.ptp(theirs)


@pytest.mark.parametrize('scale', mel.SCALES)
def test_mel_scales(scale):
  hz = np.array([0.0, 50.0, 999.0, 1000.0, 1001.0, 4000.0, 20000.0])
  theirs = librosa.hz_to_mel(hz, htk=scale == 'htk')
  np.testing.assert_allclose(mel.hz_to_mel(hz, scale), theirs, rtol=1e-4)
  np.testing.assert_allclose(
    mel.mel_to_hz(theirs, scale),
    librosa.mel_to_hz(theirs, htk=scale == 'htk'),
    rtol=1e-4,
    atol=1e-9,
  )


def test_cepstra_from_decibels():
  power = np.random.default_rng(0).random((1, 7, 40)).astype(np.float32) + 0.1
  decibels = 10 * np.log10(power)
  theirs = librosa.feature.mfcc(S=decibels[0].T, n_mfcc=13, lifter=22)
  matrix = cepstra.dct_matrix(40, 13)
  n = np.arange(13)
  # librosa's lifter starts with 1, HTK's with 0.
  ours = decibels[0] @ matrix * (1 + 11 * np.sin(np.pi * (n + 1) / 22))
  np.testing.assert_allclose(ours.T, theirs, atol=1e-3)


@pytest.mark.parametrize('order', [1, 2])
def test_deltas_far_from_the_ends(order):
  x = np.random.default_rng(0).random((1, 30, 3)).astype(np.float32)
  ours = cepstra.add_deltas(x, np.array([30]), order)[0, :, -3:]
  theirs = x[0].T
  for _ in range(order):
    theirs = librosa.feature.delta(theirs, width=5, mode='nearest')
  np.testing.assert_allclose(ours, theirs.T, atol=1e-5)


def test_pre_emphasis_and_window():
  wave = wave_of(100)
  theirs = librosa.effects.preemphasis(wave, coef=0.97, zi=[0.0])
  ours = frames.pre_emphasis(wave, 0.97)
  np.testing.assert_allclose(ours[1:], theirs[1:], atol=1e-6)
  hann = librosa.filters.get_window('hann', 400)
  np.testing.assert_allclose(frames.make_window('hann', 400), hann, atol=1e-6)
