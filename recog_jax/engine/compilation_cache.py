"""Compiled programs that outlive the process, so that a start is warm."""

import os
from pathlib import Path

import jax

from recog_jax import backend
from recog_jax.storage import path_of

# What compiles faster is compiled again: a file costs about as much.
_SECONDS = 0.5


def enable(folder: str | None) -> None:
  """Keeps compiled programs in a folder, and takes them from there.

  Runs may share it, also at the same time: files are named by a hash of the
  program, the compiler and its options, and are renamed when whole. Folders of
  a bucket (gs://) work where `jax.experimental.compilation_cache` does.

  Args:
    folder: its path; '' for none. None is JAX_COMPILATION_CACHE_DIR, and
      without it, where there is an accelerator, a folder of the user's caches:
      there programs compile for longer than a CPU's.
  """
  if folder is None and not backend.on_cpu_alone():
    folder = os.environ.get('JAX_COMPILATION_CACHE_DIR') or str(_users())
  if folder == '':  # Whatever the environment says.
    jax.config.update('jax_compilation_cache_dir', None)
  if folder:
    # jax would go on without it, in silence.
    path_of(folder).mkdir(parents=True, exist_ok=True)
    jax.config.update('jax_compilation_cache_dir', folder)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', _SECONDS)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)


def _users() -> Path:
  caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
  return Path(caches) / 'recog_jax' / 'compiled'
