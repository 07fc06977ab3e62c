"""How every command starts: flags, `--help`, and errors told in a sentence."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from logging import CRITICAL, getLogger
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict

from recog_jax import backend
from recog_jax.errors import UserError, unknown_name

# What a user can mend about a disk: full, over quota or the limit of a file's
# size, not writable.
_DISK_ERRORS = (
  errno.ENOSPC,
  errno.EDQUOT,
  errno.EFBIG,
  errno.EACCES,
  errno.EROFS,
)

flags.DEFINE_bool('debug', False, 'Show the traceback of an error.')


def define_data_dir() -> None:
  """The flag that every command which reads data has."""
  flags.DEFINE_string(
    'data_dir',
    None,
    'Folder of the data sets in TFDS layout (default: TFDS_DATA_DIR, then '
    '~/tensorflow_datasets).',
  )


def define_processes() -> None:
  """The flags by which several processes become one run."""
  flags.DEFINE_string(
    'coordinator',
    None,
    'host:port of process 0, the same in all; none looks for no cluster '
    '(default: what TPU VMs, Slurm or Open MPI say).',
  )
  flags.DEFINE_integer('num_processes', None, 'How many processes there are.')
  flags.DEFINE_integer('process_id', None, 'Which one this is, from 0.')
  flags.DEFINE_float('start_seconds', 120.0, 'How long they wait at the start.')


def joined(
  facts: Mapping[str, Any], stop: Any = None
) -> contextlib.AbstractContextManager[None]:
  """Several processes as one run, as these flags say; see `processes.joined`.

  Args:
    facts: what has to be the same in all of them, by name.
    stop: the request of this process.
  """
  from recog_jax.engine import processes

  given = flags.FLAGS
  found = processes.find(
    given.coordinator, given.num_processes, given.process_id
  )
  return processes.joined(found, facts, stop, given.start_seconds)


def command_flags() -> dict[str, Any]:
  """The values of the command's own flags, without those defined here."""
  return {name: flag.value for name, flag in _flags_of('__main__').items()}


def define_compilation_cache() -> None:
  """The flag that every command which compiles a step has."""
  flags.DEFINE_string(
    'compilation_cache',
    None,
    'Folder that keeps compiled programs for later starts (default: '
    'JAX_COMPILATION_CACHE_DIR, else none).',
  )


def run(main: Callable[[], int | None]) -> None:
  """Parses the flags and calls `main`; does not return.

  Exit code 0 after `--help` and success, 1 after an error that a user can
  mend, which is told without a traceback unless `--debug`.
  """
  argv = sys.argv
  os.environ.setdefault('GRPC_VERBOSITY', 'ERROR')
  backend.configure()
  if any(a in ('--help', '-help', '-h') for a in argv[1:]):
    module = sys.modules['__main__']
    print(module.__doc__.strip())
    print('\nFlags:\n' + _flags_help())
    sys.exit(0)
  debug = '--debug' in argv
  try:
    app.run(lambda _: _call(main), argv=argv, flags_parser=_parse)
  except KeyboardInterrupt:
    sys.exit(130)
  except UserError as error:
    if debug:
      raise
    logging.flush()
    print(f'error: {error}', file=sys.stderr)
    sys.exit(1)


def _own_flags() -> dict[str, flags.Flag]:
  """The flags of the command and of this module, and no one else's."""
  return _flags_of('__main__', __name__)


def _flags_of(*modules: str) -> dict[str, flags.Flag]:
  """The flags that modules define; absl may call the command by its path."""
  by_module = flags.FLAGS.flags_by_module_dict()
  if '__main__' in modules:
    modules = (*modules, sys.argv[0])
  return {f.name: f for m in modules for f in by_module.get(m, [])}


def _flags_help() -> str:
  lines = []
  for name, flag in sorted(_own_flags().items()):
    default = f' (= {flag.default})' if flag.default else ''
    lines.append(f'  --{name}: {" ".join(flag.help.split())}{default}')
  return '\n'.join(lines).replace(" (default: 'None')", '')


def _call(main: Callable[[], int | None]) -> None:
  if not flags.FLAGS.debug:
    # Orbax tells of each of its steps at INFO, of read-only at WARNING, and at
    # ERROR, one traceback a leaf, of what it raises as well: a full disk, a
    # damaged checkpoint. Those are told of in a sentence.
    logging.set_verbosity(logging.FATAL)
    getLogger('asyncio').setLevel(CRITICAL)
    sys.unraisablehook = lambda _: None  # The same of what they clean up.
  try:
    code = main() or 0
  except OSError as error:
    if error.errno not in _DISK_ERRORS:
      raise
    where = f' ({error.filename})' if error.filename else ''
    raise UserError(
      f'{error.strerror}{where}: make room or give rights, and run the same '
      'command again'
    ) from error
  sys.exit(code)


def _parse(argv: Sequence[str]) -> list[str]:
  """absl's parser, with each of its errors in one sentence."""
  try:
    rest = flags.FLAGS(list(argv))
  except flags.UnrecognizedFlagError as error:
    if error.flagname.startswith('config.'):
      raise _config_error(argv, error) from error
    raise unknown_name('flag', error.flagname, _own_flags()) from error
  except UserError:
    raise
  except Exception as error:  # Config files run when the flag is parsed.
    raise _config_error(argv, error) from error
  _check_config_file()
  if len(rest) > 1:
    raise UserError(
      f"'{rest[1]}' is not a flag: write it as --name=value; --help lists them"
    )
  return rest


def _check_config_file() -> None:
  """ml_collections keeps the error of a config file until its value is used."""
  if 'config' not in flags.FLAGS:
    return  # `evaluate` reads that of the workdir.
  value = flags.FLAGS.get_flag_value('config', None)
  if value is not None and not isinstance(value, ConfigDict):
    raise _config_error(sys.argv, ValueError('the config cannot be read'))


def _config_error(argv: Sequence[str], error: Exception) -> UserError:
  """Finds the sentence for a config file or an override that failed."""
  from recog_jax.engine import config

  spec = None
  for i, word in enumerate(argv):
    if word.startswith('--config='):
      spec = word.split('=', 1)[1]
    elif word == '--config' and i + 1 < len(argv):
      spec = argv[i + 1]
  if spec is None and not any(w.startswith('--config.') for w in argv):
    return UserError(str(error).strip().splitlines()[-1])
  try:
    loaded = config.load(spec or '')
    for word in argv:
      if word.startswith('--config.'):
        config.check_key(loaded, word[len('--config.') :].split('=', 1)[0])
  except UserError as found:
    return found
  except Exception as found:
    if '--debug' in argv:
      raise
    return UserError(f'{spec} fails with {type(found).__name__}: {found}')
  return UserError(str(error).strip().splitlines()[-1])
