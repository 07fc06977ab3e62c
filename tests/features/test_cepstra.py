"""DCT, deltas, mean and variance."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from recog_jax.features import cepstra

BOTH = pytest.mark.parametrize('xp', [np, jnp])


def frames_of(b=3, t=12, f=4):
  x = np.random.default_rng(0).standard_normal((b, t, f))
  return x.astype(np.float32) * 2 + 3


def test_dct_is_scipys():
  x = frames_of(f=23)
  wanted = scipy.fft.dct(x, type=2, norm='ortho')[..., :13]
  np.testing.assert_allclose(x @ cepstra.dct_matrix(23, 13), wanted, atol=1e-5)


def test_no_lifter_changes_nothing():
  assert cepstra.lifter_weights(13, 0).tolist() == [1] * 13


@BOTH
@pytest.mark.parametrize('order', [0, 1, 2])
def test_deltas_do_not_see_what_is_behind(xp, order):
  x, lens = frames_of(), [12, 7, 1]
  whole = np.asarray(cepstra.add_deltas(xp.asarray(x), lens, order, xp=xp))
  assert whole.shape == (3, 12, 4 * (order + 1))
  for row, n, wave in zip(whole, lens, x, strict=True):
    alone = cepstra.add_deltas(wave[None, :n], [n], order)[0]
    np.testing.assert_allclose(row[:n], alone, atol=1e-6)
    assert not row[n:, 4:].any()


def test_delta_of_a_ramp_is_its_slope():
  x = np.arange(10, dtype=np.float32)[None, :, None] * 3
  found = cepstra.deltas(x, [10])[0, :, 0]
  np.testing.assert_allclose(found[2:-2], 3)
  # At the ends frames are repeated: (1 * 3 + 2 * 6) / 10.
  np.testing.assert_allclose(found[[0, -1]], 1.5)


@BOTH
@pytest.mark.parametrize('variance', [True, False])
def test_utterance_statistics_are_of_its_frames_only(xp, variance):
  x, lens = frames_of(), np.array([12, 7, 0])
  x[1, 7:] = 1e6
  found = cepstra.utterance_cmvn(xp.asarray(x), lens, variance=variance, xp=xp)
  found = np.asarray(found)
  assert found.dtype == np.float32
  for row, wave, n in zip(found[:2], x, lens, strict=False):
    centred = wave[:n] - wave[:n].mean(0)
    wanted = centred / wave[:n].std(0) if variance else centred
    np.testing.assert_allclose(row[:n], wanted, atol=1e-4)
    assert not row[n:].any()
  assert not found[2].any()


def test_a_constant_feature_becomes_zero():
  x = np.full((1, 5, 2), 7.0, np.float32)
  assert not cepstra.utterance_cmvn(x, [5]).any()


@BOTH
def test_global_statistics(xp):
  x, mean, std = frames_of(), np.arange(4.0), np.arange(1.0, 5.0)
  found = cepstra.global_cmvn(xp.asarray(x), [12, 7, 0], mean, std, xp)
  found = np.asarray(found)
  np.testing.assert_allclose(found[0], (x[0] - mean) / std, rtol=1e-5)
  assert not found[1, 7:].any()
  assert found.dtype == np.float32
