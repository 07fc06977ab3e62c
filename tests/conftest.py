"""Eight simulated CPU devices for every test; set before jax is imported."""

import os
import shutil
import sys
import tempfile
from importlib import metadata

os.environ['JAX_PLATFORMS'] = 'cpu'
_FLAG = '--xla_force_host_platform_device_count'
if _FLAG not in os.environ.get('XLA_FLAGS', ''):
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {_FLAG}=8'
# Most of the suite's time is spent in compiling programs that run once. They
# say the same without LLVM's optimisations; the slow tests, which train, have
# them.
_LEVEL = '--xla_backend_optimization_level'
_CHEAP = f'{_LEVEL}=0 --xla_llvm_disable_expensive_passes=true'
# And with the older, simpler way of writing loops, which halves the time again.
# Later releases have it no more, and end at a flag that they do not know.
if metadata.version('jaxlib').startswith('0.10.'):
  _CHEAP += ' --xla_cpu_use_fusion_emitters=false'
_OPTIMISED = 'RECOG_JAX_TEST_OPTIMISED'
if _OPTIMISED not in os.environ:  # Workers and commands take it over.
  slow = any('slow' in a and 'not slow' not in a for a in sys.argv)
  os.environ[_OPTIMISED] = str(int(slow))
if os.environ[_OPTIMISED] == '0' and _LEVEL not in os.environ['XLA_FLAGS']:
  os.environ['XLA_FLAGS'] += f' {_CHEAP}'
# What one process has compiled the others of a session need not: the workers,
# and the commands that tests run. Half of the suite's time was compiling.
_CACHE = 'JAX_COMPILATION_CACHE_DIR'
_own_cache = None
if _CACHE not in os.environ:
  _own_cache = os.environ[_CACHE] = tempfile.mkdtemp(prefix='recog_jax_')
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.3')

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from recog_jax import backend  # noqa: E402
from tests import thinned  # noqa: E402

backend.configure()

ROOT = Path(__file__).resolve().parent.parent
# How a test file says that it has a test of `pytest -m smoke`.
SMOKE = 'pytest.mark.smoke'
_SMOKE_ONLY = 'smoke and not slow'


def pytest_configure(config):
  """`-m smoke` replaces the `-m 'not slow'` of pyproject.toml: both hold."""
  if config.option.markexpr == 'smoke':
    config.option.markexpr = _SMOKE_ONLY


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
  """Before `-m` looks at the marks."""
  thinned.thin(items)


def pytest_unconfigure():
  """The process that made the folder of compiled programs removes it."""
  if _own_cache is not None:
    shutil.rmtree(_own_cache, ignore_errors=True)


def pytest_ignore_collect(collection_path, config):
  """Importing every test file would take half of the minute of `-m smoke`."""
  if config.option.markexpr != _SMOKE_ONLY:
    return None
  file = collection_path
  test = file.name.startswith('test_') and file.suffix == '.py'
  return True if test and SMOKE not in file.read_text() else None


@pytest.fixture(scope='session')
def root() -> Path:
  """The checkout."""
  return ROOT


@pytest.fixture(scope='session')
def data_dir() -> Path:
  """Real data in TFDS layout, where this machine has them."""
  named = os.environ.get('RECOG_JAX_TEST_DATA')
  folder = Path(named) if named else ROOT.parent / 'shared' / 'data'
  if not folder.is_dir():
    pytest.skip(
      f'no real data in {folder}: set RECOG_JAX_TEST_DATA to a TFDS data_dir'
    )
  return folder


@pytest.fixture(scope='session')
def files_dir() -> Path:
  """Plain files of the kinds that users have, where this machine has them."""
  named = os.environ.get('RECOG_JAX_TEST_FILES')
  folder = Path(named) if named else ROOT.parent / 'shared' / 'files'
  if not folder.is_dir():
    pytest.skip(f'no files in {folder}: set RECOG_JAX_TEST_FILES to theirs')
  return folder


@pytest.fixture
def bucket():
  """The URL of an empty gs:// bucket in memory."""
  from tests.launch import fakes

  with fakes.bucket() as url:
    yield url
