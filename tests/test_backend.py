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


def test_flags_of_a_gpu_are_set_where_it_is(monkeypatch):
  [flag] = backend.GPU_FLAGS
  monkeypatch.setenv('XLA_FLAGS', '--one=1')
  backend.configure()
  assert flag not in os.environ['XLA_FLAGS']
  monkeypatch.setattr(backend, 'on_cpu_alone', lambda: False)
  monkeypatch.setattr(backend.util, 'find_spec', lambda name: name)
  backend.configure()
  backend.configure()
  flags = os.environ['XLA_FLAGS'].split()
  assert flags[0] == '--one=1' and flags.count(f'{flag}=true') == 1
  monkeypatch.setenv('XLA_FLAGS', f'{flag}=false')
  backend.configure()
  assert f'{flag}=true' not in os.environ['XLA_FLAGS']


@pytest.mark.parametrize(
  ('folder', 'env', 'alone', 'wanted'),
  [
    (None, None, True, None),
    (None, None, False, 'caches/recog_jax/compiled'),
    (None, 'other', False, 'other'),
    ('', None, False, None),
    ('own', 'other', True, 'own'),
  ],
)
def test_programs_are_kept_where_compiling_takes_long(
  monkeypatch, tmp_path, folder, env, alone, wanted
):
  import jax

  from recog_jax.engine import compilation_cache

  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('XDG_CACHE_HOME', 'caches')
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
  if env:
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', env)
  monkeypatch.setattr(backend, 'on_cpu_alone', lambda: alone)
  told = {}
  monkeypatch.setattr(jax.config, 'update', told.__setitem__)
  compilation_cache.enable(folder)
  assert told.get('jax_compilation_cache_dir') == wanted
  assert wanted is None or (tmp_path / wanted).is_dir()
