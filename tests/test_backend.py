"""How a command starts on a CPU."""

import json
import os
import subprocess
import sys

import pytest

from recog_jax import backend

_SHOW = """
import json, os, sys
from recog_jax import backend
backend.keep_memory()
print(json.dumps([os.environ.get('GLIBC_TUNABLES'), sys.argv[1:], os.getpid()]))
"""


def started(env=None, before='', words=('a b', '--c=1')):
  base = {k: v for k, v in os.environ.items() if k != 'PYTEST_CURRENT_TEST'}
  base |= {'JAX_PLATFORMS': 'cpu', **(env or {})}
  process = subprocess.Popen(
    [sys.executable, '-c', before + _SHOW, *words],
    stdout=subprocess.PIPE,
    text=True,
    env=base,
  )
  out, _ = process.communicate(timeout=60)
  tunables, argv, pid = json.loads(out)
  assert pid == process.pid
  assert argv == list(words)
  return tunables


@pytest.mark.skipif(sys.platform != 'linux', reason='a setting of glibc')
def test_a_command_starts_once_more_and_keeps_its_memory():
  assert started() == backend.KEEPS_MEMORY
  # The user's own settings stay.
  assert started({'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}) == (
    'glibc.malloc.hugetlb=1'
  )
  # A debugger would lose the process that it holds.
  assert started(before='import sys; sys.settrace(lambda *a: None)') is None
  assert started({'PYTEST_CURRENT_TEST': 'this'}) is None
  assert started({'JAX_PLATFORMS': 'cuda'}) is None


def test_an_accelerator_is_seen_without_jax(monkeypatch):
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  found, present = {'jax_cuda13_plugin'}, set()
  monkeypatch.setattr(
    backend.util, 'find_spec', lambda name: name in found or None
  )
  monkeypatch.setattr(backend.Path, 'exists', lambda path: str(path) in present)
  assert backend.on_cpu_alone()  # The wheel, and no device.
  present.add('/dev/nvidiactl')
  assert not backend.on_cpu_alone()
  found.clear()
  assert backend.on_cpu_alone()  # The device, and no wheel.
