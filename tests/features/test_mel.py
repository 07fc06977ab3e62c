"""Mel filter banks and energies."""

import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.features import mel


@pytest.mark.smoke
def test_area_of_each_slaney_filter_is_one():
  bank = mel.mel_bank(20, 4096, 16000, 0.0, 8000.0, 'slaney', 'slaney')
  np.testing.assert_allclose(bank.sum(0) * 16000 / 4096, 1, rtol=0.01)


def test_neighbouring_triangles_add_to_one():
  banks = [
    mel.mel_bank(20, 512, 16000, 0.0, 8000.0, 'htk', 'none'),
    mel.kaldi_mel_bank(20, 512, 16000, 0.0, 8000.0),
  ]
  for bank in banks:
    inner = bank[10:200]
    np.testing.assert_allclose(inner.sum(1), 1, atol=1e-6)


def test_a_band_limits_the_filters():
  bank = mel.kaldi_mel_bank(10, 512, 16000, 1000.0, 4000.0)
  hz = np.arange(257) * 16000 / 512
  assert not bank[(hz <= 1000) | (hz >= 4000)].any()
  assert bank[(hz > 1050) & (hz < 3900)].any(1).all()


@pytest.mark.parametrize('scale', mel.SCALES)
def test_scales_invert(scale):
  hz = np.array([0.0, 300.0, 1000.0, 7000.0])
  back = mel.mel_to_hz(mel.hz_to_mel(hz, scale), scale)
  np.testing.assert_allclose(back, hz, atol=1e-9)


def test_unknown_scale_and_norm():
  with pytest.raises(ValueError, match="no mel scale 'mel': known: htk"):
    mel.hz_to_mel(1.0, 'mel')
  with pytest.raises(ValueError, match="no mel norm 'area': known: none"):
    mel.mel_bank(8, 64, 8000, 0.0, 4000.0, 'htk', 'area')


@pytest.mark.parametrize('shape', [(3, 33), (2, 70, 33), (0, 33), (33,)])
def test_energies_are_the_matrix_product(shape):
  power = np.random.default_rng(0).random(shape).astype(np.float32)
  bank = mel.mel_bank(8, 64, 8000, 0.0, 4000.0)
  found = mel.mel_energies(power, bank)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, power @ bank, rtol=1e-5)
  bands = mel.split_bank(bank, 3)
  banded = mel.mel_energies(power, bank, bands)
  np.testing.assert_allclose(banded, found, rtol=1e-5)
  jaxs = mel.mel_energies(jnp.asarray(power), bank, bands, jnp)
  np.testing.assert_allclose(jaxs, found, rtol=1e-5)


def test_products_of_many_rows():
  power = np.random.default_rng(0).random((1000, 257)).astype(np.float32)
  bank = mel.kaldi_mel_bank(80, 512, 16000, 20.0, 8000.0)
  for bands in ((), mel.split_bank(bank)):
    found = mel.mel_energies(power, bank, bands)
    np.testing.assert_allclose(found, power @ bank, rtol=1e-5, atol=1e-6)


def test_bands_hold_all_of_a_bank():
  bank = mel.kaldi_mel_bank(50, 512, 16000, 20.0, 8000.0).copy()
  bank[:, 32:48] = 0
  again = np.zeros_like(bank)
  for filters, bins, weights in mel.split_bank(bank):
    again[bins, filters] = weights
  assert np.array_equal(again, bank)
  assert sum(b.weights.size for b in mel.split_bank(bank)) < bank.size / 3


def test_no_energy_is_below_the_floor():
  found = mel.log_floor(np.array([0.0, 1e-3, 1.0], np.float32), 1e-2)
  np.testing.assert_allclose(found, np.log([1e-2, 1e-2, 1.0]), rtol=1e-6)
