"""Padding, framing and windows."""

import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.features import frames


@pytest.mark.parametrize('mode', ['reflect', 'symmetric'])
@pytest.mark.parametrize('length', [1, 2, 3, 7])
def test_positions_outside_are_as_in_numpy(mode, length):
  signal = np.arange(length)
  wanted = np.pad(signal, (9, 11), mode=mode)
  found = frames.pad_indices(np.arange(-9, length + 11), length, mode)
  assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize('xp', [np, jnp])
@pytest.mark.parametrize('mode', ['zeros', 'none', 'reflect', 'symmetric'])
def test_each_row_is_padded_where_it_ends(xp, mode):
  lens = [7, 3, 1, 0]
  waves = np.random.default_rng(0).random((4, 7)).astype(np.float32)
  found = frames.pad(xp.asarray(waves), xp.asarray(lens), 4, 13, mode, xp)
  for row, wave, n in zip(np.asarray(found), waves, lens, strict=True):
    numpys = {'zeros': 'constant', 'none': 'constant'}.get(mode, mode)
    wanted = np.zeros(13, np.float32)
    if n:
      wanted = np.pad(wave[:n], (4, 9 - n), mode=numpys)
    assert np.array_equal(row, wanted)


@pytest.mark.parametrize(('length', 'hop'), [(6, 4), (5, 2), (4, 4), (3, 5)])
def test_frames_of_jax_are_numpys(length, hop):
  waves = np.random.default_rng(0).random((2, 23)).astype(np.float32)
  wanted = frames.frame(waves, length, hop)
  assert wanted.shape == (2, 1 + (23 - length) // hop, length)
  assert np.array_equal(wanted[1, 2], waves[1, 2 * hop : 2 * hop + length])
  assert np.shares_memory(wanted, waves)
  found = frames.frame(jnp.asarray(waves), length, hop, jnp)
  assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
  ('n', 'power'), [(1, 1), (2, 2), (3, 4), (400, 512), (512, 512), (513, 1024)]
)
def test_next_power_of_two(n, power):
  assert frames.fft_len(n) == power


@pytest.mark.parametrize('name', frames.WINDOWS)
def test_windows(name):
  window = frames.make_window(name, 16)
  assert window.dtype == np.float32
  assert np.isfinite(window).all()
  assert window.min() >= 0
  mirrored = window[1:] if name == 'hann' else window
  np.testing.assert_allclose(mirrored, mirrored[::-1], atol=1e-6)
  with pytest.raises(ValueError, match='read-only'):
    window[0] = 1


def test_unknown_window():
  with pytest.raises(ValueError, match="no window 'han': known: hann, "):
    frames.make_window('han', 16)


@pytest.mark.parametrize('xp', [np, jnp])
def test_power_of_a_sine_stands_in_its_bin(xp):
  sine = np.sin(2 * np.pi * 5 * np.arange(64) / 64).astype(np.float32)
  power = np.asarray(frames.power_spectrum(xp.asarray(sine)[None], 64, xp))[0]
  assert power.dtype == np.float32
  assert power.argmax() == 5
  np.testing.assert_allclose(power[5], 32**2, rtol=1e-5)
