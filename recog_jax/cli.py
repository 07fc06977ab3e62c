"""How every command starts: flags, `--help`, and errors told in a sentence."""

import contextlib
import dataclasses
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from logging import CRITICAL, getLogger
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict

from recog_jax import backend, terminal
from recog_jax.errors import UserError, say, tell, told, unknown_name

flags.DEFINE_bool('debug', False, 'Show the traceback of an error.')
flags.DEFINE_bool(
  'keep_memory',
  True,
  'On a CPU: start once more with a C library that keeps freed memory for the '
  'next step; faster, and the peak is kept until the end.',
)
_GIVE_BACK = re.compile(r'--?(nokeep_memory|keep_memory=(0|f|false|n|no))$')


@dataclasses.dataclass
class Given:
  """The experiment that a command was called with.

  Attributes:
    spec: path of the config file, with its argument; None: no `--config`.
    texts: {path: text} of the keys that the command line sets.
    config: the config with them.
    overrides: {path: value}.
    takes: what words beside flags are; None: there may be none.
    words: these words.
    replaces: how those keys of a workdir's config begin that can be replaced;
      (): it is taken as it is.
  """

  spec: str | None = None
  texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  config: ConfigDict | None = None
  overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  takes: str | None = None
  words: Sequence[str] = ()
  replaces: tuple[str, ...] = ()


given = Given()


def define_config() -> None:
  """The flags that every command which takes an experiment has."""
  flags.DEFINE_string(
    'config',
    None,
    'Config file, with :argument where it takes one; --config.KEY=VALUE sets a '
    'key of it.',
  )
  flags.DEFINE_bool(
    'keys', False, 'Print every key of --config that can be set, and end.'
  )


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

  values = flags.FLAGS
  found = processes.find(
    values.coordinator, values.num_processes, values.process_id
  )
  return processes.joined(found, facts, stop, values.start_seconds)


def command_flags() -> dict[str, Any]:
  """The values of the command's own flags, without those defined here."""
  return {name: flag.value for name, flag in _flags_of('__main__').items()}


def only_one(*holders: flags.FlagHolder) -> None:
  """Raises UserError where more than one of these flags is given."""
  given = [f'--{holder.name}' for holder in holders if holder.value]
  if len(given) > 1:
    raise UserError(
      f'{" and ".join(given)} do not go together: give one of them'
    )


def define_compilation_cache() -> None:
  """The flag that every command which compiles a step has."""
  flags.DEFINE_string(
    'compilation_cache',
    None,
    'Folder that keeps compiled programs for later starts (default: '
    'JAX_COMPILATION_CACHE_DIR, else none on a CPU and '
    '~/.cache/recog_jax/compiled on an accelerator); empty for none.',
  )


def define_chunk() -> None:
  """The size of a stream's chunks."""
  flags.DEFINE_integer(
    'chunk',
    None,
    "Encoder frames of a stream's chunks (default: the config's).",
    lower_bound=1,
  )


def define_groups() -> None:
  """The flags that say which groups of examples are compared."""
  flags.DEFINE_list(
    'groups', [], 'Fields of the data, by commas, whose values are compared.'
  )
  flags.DEFINE_string(
    'clusters',
    None,
    'Field whose examples belong together in intervals and tests of --groups '
    '(default: speaker or patient, where the data name one; example: none).',
  )


def define_calibrate() -> None:
  """The flag that chooses what makes probabilities before evaluating."""
  flags.DEFINE_bool(
    'calibrate',
    False,
    'First fit a temperature, and choose operating points, on the val split '
    '(of the best checkpoint, if none is named); of speech with --confidence '
    'how confidences are scaled. predict, export and later evaluations of this '
    'step use them.',
  )


def groups() -> Any:
  """What these flags ask for; None: nothing.

  Raises:
    UserError: clusters of no groups.
  """
  from recog_jax.engine.groups import Groups

  values = flags.FLAGS
  if values.groups:
    return Groups(tuple(values.groups), values.clusters)
  if values.clusters:
    raise UserError('--clusters is of --groups: say which groups are compared')
  return None


def define_words() -> None:
  """The flags that say what is told of recognised words."""
  flags.DEFINE_bool(
    'timestamps', False, 'Write when each recognised word begins and ends.'
  )
  flags.DEFINE_bool(
    'confidence', False, 'Say what confidences of speech are worth.'
  )


def words_keys() -> dict[str, Any]:
  """The keys of the task as these flags have them; {} if not given."""
  values = flags.FLAGS
  asked = {
    'timestamps': values.timestamps,
    'confidence': values.confidence,
  }
  return {name: True for name, value in asked.items() if value}


def define_decoder() -> None:
  """The flags that say how speech is decoded."""
  flags.DEFINE_string(
    'decoder',
    None,
    'greedy, beam (CTC), attention, joint, rescore, whisper (default: the '
    "config's).",
  )
  flags.DEFINE_integer('beam_width', None, 'Hypotheses kept.')
  flags.DEFINE_integer('n_best', None, 'Hypotheses in the results.')
  flags.DEFINE_float('ctc_weight', None, "CTC's share; for joint, rescore.")
  flags.DEFINE_string('lm', None, 'ARPA file of an n-gram model; for beam.')
  flags.DEFINE_string(
    'lm_unit', None, 'What the model is of, word (default) or token.'
  )
  flags.DEFINE_float('alpha', None, "Weight of the model's log score.")
  flags.DEFINE_float('beta', None, 'Bonus of each word or token.')


def define_language() -> None:
  """The flag that says what is spoken in recordings."""
  flags.DEFINE_string(
    'language',
    None,
    "That is spoken, a code; for Whisper also auto, by default the config's; "
    'for models with language_embedding by default unknown.',
  )


def decoder_keys() -> dict[str, Any]:
  """The key `decoder` of the task as these flags have it; {} if not given."""
  values = flags.FLAGS
  found = {
    'width': values.beam_width,
    'n_best': values.n_best,
    'ctc_weight': values.ctc_weight,
    'lm': values.lm,
    'lm_unit': values.lm_unit,
    'alpha': values.alpha,
    'beta': values.beta,
  }
  found = {k: v for k, v in found.items() if v is not None}
  if values.decoder is None and not found:
    return {}
  name = 'beam' if values.decoder is None else values.decoder
  return {'decoder': {'name': name, **found}}


def take_words(what: str) -> None:
  """Lets a command have words that are no flags, as `given.words`."""
  given.takes = what


def take_keys(*starts: str) -> None:
  """Lets a command that reads a workdir replace keys that begin so."""
  given.replaces = starts


def run(main: Callable[[], int | None]) -> None:
  """Parses the flags and calls `main`; does not return.

  Exit code 0 after `--help` and success, 1 after an error that a user can
  mend, which is told without a traceback unless `--debug`.
  """
  terminal.open_streams()
  argv = sys.argv
  os.environ.setdefault('GRPC_VERBOSITY', 'ERROR')
  backend.configure()
  if any(a in ('--help', '-help', '-h') for a in argv[1:]):
    module = sys.modules['__main__']
    print((module.__doc__ or '').strip())
    print('\nFlags:\n' + _flags_help())
    sys.exit(0)
  if not any(_GIVE_BACK.match(a.lower()) for a in argv[1:]):
    backend.keep_memory()
  debug = '--debug' in argv
  try:
    app.run(lambda _: _call(main), argv=argv, flags_parser=_parse)
  except KeyboardInterrupt:
    sys.exit(130)
  except Exception as error:
    sentence = told(error)
    if debug or sentence is None:
      raise
    logging.flush()
    tell(sentence)
    _end()


def _end() -> NoReturn:
  """Exit code 1, at once: threads that wait for what has failed are left."""
  waiting = [t for t in threading.enumerate() if not t.daemon]
  if waiting != [threading.main_thread()]:
    sys.stdout.flush()
    os._exit(1)
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
  except (MemoryError, RuntimeError, ValueError) as error:
    from recog_jax.engine import memory

    if sentence := memory.sentence_of(error):
      raise UserError(sentence) from error
    raise
  sys.exit(code)


def _parse(argv: Sequence[str]) -> list[str]:
  """absl's parser, with each of its errors in one sentence."""
  given.texts, rest = _split_config(argv)
  try:
    rest = flags.FLAGS(rest)
  except flags.UnrecognizedFlagError as error:
    raise unknown_name('flag', error.flagname, _own_flags()) from error
  except UserError:
    raise
  except Exception as error:
    raise UserError(str(error).strip().splitlines()[-1]) from error
  given.words = rest[1:]
  if given.words and given.takes is None:
    raise UserError(
      f"'{rest[1]}' is not a flag: write it as --name=value; --help lists them"
    )
  _read_config()
  return rest


def _split_config(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
  """The words that set keys of the config, {path: text}, and the others."""
  texts, rest = {}, []
  words = iter(argv)
  for word in words:
    match = re.match(r'--?(no)?config\.([^=]+)(=(.*))?$', word, re.DOTALL)
    if not match:
      rest.append(word)
      continue
    negated, path, equals, text = match.groups()
    if not equals:
      following = None if negated else next(words, None)
      if following is not None and following.startswith('--'):
        raise UserError(f'--config.{path} lacks its value: --config.{path}=...')
      text = 'False' if negated else 'True' if following is None else following
    texts[path] = text
  return texts, rest


def _read_config() -> None:
  """The config of `--config`, with the keys that the command line sets."""
  if 'config' not in flags.FLAGS:
    for key in given.texts:
      if not given.replaces:
        raise UserError(
          f"--config.{key}: this command takes the workdir's config as it is; "
          '--help lists what can be set'
        )
      if not key.startswith(given.replaces):
        places = ' and '.join(f'config.{start}*' for start in given.replaces)
        raise UserError(
          f'--config.{key}: of the workdir only keys below {places} can be '
          'replaced here'
        )
    return
  given.spec = flags.FLAGS['config'].value
  if given.spec is None:
    if given.texts:
      raise UserError('say which experiment the keys are of: --config=FILE')
    return
  from recog_jax.engine import config, config_keys

  given.config = config.load(given.spec)
  given.overrides = config_keys.apply_texts(given.config, given.texts)
  if flags.FLAGS.keys:
    say(*config_keys.listing(given.config).split('\n'))
    sys.exit(0)
