"""What is done to waveforms: noise at a ratio, rooms, loudness."""

import numpy as np
import pytest
import soundfile

from recog_jax.data.draws import Draws
from recog_jax.data.speech import waves


def draws_of(n) -> Draws:
  return Draws(0, np.zeros(n, np.int64), np.arange(n))


def wave_of(n=4000, seed=0):
  rng = np.random.default_rng(seed)
  return rng.standard_normal(n).astype(np.float32) * 0.1


def snr_of(wave, noisy):
  noise = noisy - wave
  return 10 * np.log10(waves.power(wave) / waves.power(noise))


def test_noise_has_the_ratio_asked_for():
  noisy = waves.add_noise(wave_of(), 5 * wave_of(seed=1), 12.5)
  np.testing.assert_allclose(snr_of(wave_of(), noisy), 12.5, atol=1e-3)


def test_ratios_are_uniform_between_their_bounds():
  op = waves.Noise(low_snr_db=5, high_snr_db=15)
  out = op([wave_of()] * 200, draws_of(200))
  found = [snr_of(wave_of(), x) for x in out]
  assert 4.99 < min(found) < 6
  assert 14 < max(found) < 15.01
  assert 9 < np.mean(found) < 11


def test_gains_are_uniform_in_decibels():
  op = waves.Gain(low_db=-10, high_db=4)
  out = op([np.ones(3, np.float32)] * 300, draws_of(300))
  found = 20 * np.log10([x[0] for x in out])
  assert -10.01 < found.min() < -9
  assert 3 < found.max() < 4.01
  assert -4 < found.mean() < -2


def test_white_noise_is_white():
  op = waves.Noise(low_snr_db=0, high_snr_db=0)
  wave = np.zeros(1 << 14, np.float32)
  wave[0] = 1
  (out,) = op([wave], draws_of(1))
  spectrum = np.abs(np.fft.rfft((out - wave).astype(np.float64))) ** 2
  bands = spectrum[1:].reshape(8, -1).mean(1)
  assert bands.max() / bands.min() < 1.2


def test_recorded_noise_is_cut_from_the_file(tmp_path):
  noise = np.rint(wave_of(9000) * 2**15) / 2**15
  soundfile.write(tmp_path / 'long.wav', noise, 8000)
  op = waves.Noise(
    low_snr_db=0, high_snr_db=0, files=str(tmp_path), sample_rate=8000
  )
  wave = wave_of(500, seed=2)
  for x in op([wave] * 5, draws_of(5)):
    added = x - wave
    match = np.correlate(noise, added, 'valid')
    start = match.argmax()
    part = noise[start : start + 500]
    cosine = part @ added / np.linalg.norm(part) / np.linalg.norm(added)
    assert cosine > 0.999


def test_recorded_noise_is_repeated_where_it_is_short(tmp_path):
  noise = np.rint(wave_of(100) * 2**15) / 2**15
  soundfile.write(tmp_path / 'short.wav', noise, 8000)
  op = waves.Noise(
    low_snr_db=0, high_snr_db=0, files=str(tmp_path), sample_rate=8000
  )
  wave = wave_of(450, seed=2)
  (out,) = op([wave], draws_of(1))
  added = out - wave
  np.testing.assert_allclose(added[100:], added[:-100], atol=1e-5)


def test_noise_of_another_rate_is_resampled(tmp_path):
  t = np.arange(16000) / 16000
  soundfile.write(tmp_path / 'a.wav', np.sin(2 * np.pi * 1000 * t) / 2, 16000)
  op = waves.Noise(
    low_snr_db=0, high_snr_db=0, files=str(tmp_path), sample_rate=8000
  )
  wave = wave_of(2000)
  (out,) = op([wave], draws_of(1))
  assert np.abs(np.fft.rfft(out - wave)).argmax() == 2000 * 1000 // 8000


def test_the_direct_path_stays_in_place():
  wave = np.zeros(400, np.float32)
  wave[100] = 0.5
  response = np.zeros(50, np.float32)
  response[[5, 20]] = 0.8, -0.3
  out = waves.reverberate(wave, response)
  assert out.argmax() == 100
  np.testing.assert_allclose(out[115] / out[100], -0.3 / 0.8, rtol=1e-4)
  assert np.abs(np.delete(out, [100, 115])).max() < 1e-6


@pytest.mark.parametrize('n', [30, 4000])
def test_rooms_keep_loudness_and_length(n):
  response = wave_of(800, seed=3) * np.exp(-np.arange(800) / 100)
  out = waves.reverberate(wave_of(n), response.astype(np.float32))
  assert out.dtype == np.float32
  assert len(out) == n
  np.testing.assert_allclose(
    waves.power(out), waves.power(wave_of(n)), rtol=1e-4
  )


def test_a_perfect_room_is_identity():
  out = waves.reverberate(wave_of(), np.array([0, 1, 0], np.float32))
  np.testing.assert_allclose(out, wave_of(), atol=1e-6)
