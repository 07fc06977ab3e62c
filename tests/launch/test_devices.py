"""Cores and accelerators are divided."""

import pytest

from launch import devices
from recog_jax.errors import UserError


def test_divided():
  assert devices.divided(range(8), 2) == [(0, 1, 2, 3), (4, 5, 6, 7)]
  assert devices.divided(range(5), 2) == [(0, 1), (2, 3, 4)]
  assert devices.divided(range(2), 3) == [(0,), (1,), (0,)]
  assert devices.divided(range(3), 3) == [(0,), (1,), (2,)]


def test_cores(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.setattr(devices, '_cores', lambda: list(range(8)))
  assert len(devices.slots()) == 4
  first, second = devices.slots(2)
  assert first.cores == (0, 1, 2, 3)
  assert second.cores == (4, 5, 6, 7)
  assert first.env['OMP_NUM_THREADS'] == '4'
  # A training sets it itself, where it has not been set.
  assert 'GLIBC_TUNABLES' not in first.env


def test_gpus(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', '')
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,5,6,7')
  monkeypatch.setattr(devices, '_cores', lambda: list(range(8)))
  each = devices.slots()
  assert [s.env['CUDA_VISIBLE_DEVICES'] for s in each] == list('4567')
  assert all('XLA_PYTHON_CLIENT_MEM_FRACTION' not in s.env for s in each)
  assert each[3].cores == (6, 7)
  pairs = devices.slots(2)
  assert [s.env['CUDA_VISIBLE_DEVICES'] for s in pairs] == ['4,5', '6,7']
  shared = devices.slots(8)
  assert [s.env['CUDA_VISIBLE_DEVICES'] for s in shared] == list('45674567')
  assert shared[0].env['XLA_PYTHON_CLIENT_MEM_FRACTION'] == '0.450'


def test_a_tpu_is_for_one_trial_at_a_time(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', '')
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  monkeypatch.setattr(devices, '_has_tpu', lambda: True)
  assert len(devices.slots()) == 1
  with pytest.raises(UserError, match='one process at a time'):
    devices.slots(2)


def test_a_number_that_makes_no_sense():
  with pytest.raises(UserError, match='take 1 or more'):
    devices.slots(0)
