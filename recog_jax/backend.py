"""Settings that are read once: by XLA and by the C library, as they start."""

import os
import platform
import sys
from importlib import metadata, util
from pathlib import Path
from typing import NoReturn

# jaxlib 0.10 gives the CPU's convolutions to YNNPACK, which runs those with 64
# output channels on one thread, and needs several times as long for the weight
# gradient of a large batch. Without it Eigen's are taken; products stay.
_YNN = '--xla_cpu_experimental_ynn_fusion_type'
_NO_CONVOLUTIONS = '-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION'

# Of jax, and of the drivers that its wheels need.
_CUDA = ('jax_cuda12_plugin', 'jax_cuda13_plugin')
_ACCELERATORS = (*_CUDA, 'jax_plugins')
# Flags of XLA on a GPU: value, why, and who says so. On a TPU XLA hides
# latencies unasked.
GPU_FLAGS = {
  '--xla_gpu_enable_latency_hiding_scheduler': (
    'true',
    'sums over devices run beside the products that do not need them',
    'docs.jax.dev, "GPU performance tips"; set in NVIDIA\'s jax images '
    '(docs.nvidia.com/jax-toolbox/environment-variables)',
  ),
}


def configure() -> None:
  """Sets XLA's flags for this process, unless the user did.

  To be called before jax computes anything. An XLA that does not know a flag
  ends the process, hence the look at the version.
  """
  try:
    if metadata.version('jaxlib').startswith('0.10.'):
      _set_flag(_YNN, _NO_CONVOLUTIONS)
  except metadata.PackageNotFoundError:
    return
  if not on_cpu_alone() and any(map(util.find_spec, _CUDA)):
    for flag, (value, _, _) in GPU_FLAGS.items():
      _set_flag(flag, value)


def _set_flag(flag: str, value: str) -> None:
  flags = os.environ.get('XLA_FLAGS', '')
  if flag not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {flag}={value}'.strip()


# XLA's CPU backend gives its memory back after every step, and the machine
# takes its time to hand it out again. glibc keeps it with these, in huge pages.
_TUNABLES = 'GLIBC_TUNABLES'
KEEPS_MEMORY = ':'.join(
  f'glibc.malloc.{name}={value}'
  for name, value in {
    'hugetlb': 1,
    'mmap_max': 0,
    'arena_max': 1,
    'trim_threshold': 1 << 36,
  }.items()
)
_DEVICES = ('/dev/nvidiactl', '/dev/kfd', '/dev/accel0', '/dev/vfio/0')
_DEBUGGERS = ('debugpy', 'pydevd')


def keep_memory() -> NoReturn | None:
  """Starts this command again, once, with a C library that keeps its memory.

  On a CPU alone, and not where the environment has GLIBC_TUNABLES already,
  under a debugger, or in a test. To be called before anything else is done;
  the process stays the same.
  """
  if (
    _TUNABLES in os.environ
    or platform.libc_ver()[0] != 'glibc'
    or sys.gettrace() is not None
    or any(name in sys.modules for name in _DEBUGGERS)
    or 'PYTEST_CURRENT_TEST' in os.environ
    or not on_cpu_alone()
  ):
    return None
  os.environ[_TUNABLES] = KEEPS_MEMORY
  os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def on_cpu_alone() -> bool:
  """Whether jax will find nothing but the CPU; said without starting it."""
  asked = os.environ.get('JAX_PLATFORMS')
  if asked:
    return asked == 'cpu'
  if util.find_spec('libtpu') or any(map(util.find_spec, _ACCELERATORS)):
    return not any(Path(device).exists() for device in _DEVICES)
  return True


def keeps_memory() -> bool:
  """Whether this process runs with what `keep_memory` sets."""
  return os.environ.get(_TUNABLES) == KEEPS_MEMORY
