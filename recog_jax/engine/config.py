"""Config files, overrides, comparison, and the workdir that keeps a config."""

import contextlib
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict, config_dict

from recog_jax import plugins
from recog_jax.errors import UserError
from recog_jax.storage import (
  AnyPath,
  as_json,
  load_json,
  step_folders,
  write_json,
)

# The keys that say how long a run is.
_LENGTH = ('total_steps', 'total_epochs', 'stop_step')
# The keys of a config that hold keys of their own.
_PARTS = (
  'data',
  'task',
  'model',
  'optimizer',
  'schedule',
  'evaluation',
  'checkpoint',
)
# The file of a workdir that says which users' own parts it was made with.
_PLUGINS = 'plugins.json'


def load(spec: str) -> ConfigDict:
  """Reads a config file; its folder is looked through for users' own parts.

  Args:
    spec: a path, with `:argument` for `get_config` where it takes one;
      configs/NAME.py is also one that came with the package.

  Raises:
    UserError: no such file, no `get_config` in it, or it fails.
  """
  path, _, argument = spec.partition(':')
  if not Path(path).is_file():
    path = str(_shipped(path))
  plugins.add_folder(Path(path).parent)
  try:
    module = run_file(path)
    make = getattr(module, 'get_config', None)
    config: Any = make and (make(argument) if argument else make())
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f'{spec} fails with {type(error).__name__}: {error}'
    ) from error
  if make is None:
    raise UserError(f'{path} defines no get_config(): it is not a config file')
  if not isinstance(config, ConfigDict):
    raise UserError(
      f'get_config() of {path} returns {type(config).__name__}: it must return '
      'an ml_collections.ConfigDict'
    )
  return config.lock()


def _shipped(path: str) -> Path:
  """The config of that name that came with the package: configs/NAME.py.

  Raises:
    UserError: there is none.
  """
  given = Path(path)
  if given.parent == Path('configs'):
    checkout = Path(__file__).parents[2] / given
    if checkout.is_file():
      return checkout
    with contextlib.suppress(metadata.PackageNotFoundError):
      for file in metadata.files('recog_jax') or ():
        if file.match(f'recog_jax/configs/{given.name}'):
          return Path(str(file.locate()))
  raise UserError(
    f"there is no config file '{path}': give the path of one, for example "
    'configs/digits_resnet8.py'
  )


def run_file(path: str) -> ModuleType:
  """Runs a Python file that no package holds."""
  spec = importlib.util.spec_from_file_location(Path(path).stem, path)
  if spec is None or spec.loader is None:
    raise UserError(f'{path} is no Python file: its name must end in .py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def canonical(config: Any) -> Any:
  """Plain JSON values: tuples become lists, keys are in order."""
  if isinstance(config, ConfigDict):
    config = config.to_dict()
  return json.loads(json.dumps(config, sort_keys=True))


def differences(old: Any, new: Any, prefix: str = '') -> list[str]:
  """`key: old -> new` for every leaf in which two canonical configs differ."""
  if isinstance(old, dict) and isinstance(new, dict):
    found = []
    for key in sorted({*old, *new}):
      name = f'{prefix}.{key}' if prefix else key
      found += differences(old.get(key), new.get(key), name)
    return found
  return [] if old == new else [f'{prefix}: {old} -> {new}']


def conflicts(old: Any, new: Any) -> list[str]:
  """The differences with which a run cannot go on; see `signatures.Free`."""
  found = differences(old, new)
  if not found:  # What follows imports the parts that the config names.
    return []
  from recog_jax.engine import config_keys

  paths = config_keys.free_keys(ConfigDict(new))
  free = tuple(f'{path}{end}' for path in paths for end in '.:')
  return [difference for difference in found if not difference.startswith(free)]


def run_name(spec: str) -> str:
  """`<config name>[-<argument>]` of `path[:argument]`."""
  path, _, argument = spec.partition(':')
  return Path(path).stem + (f'-{argument}' if argument else '')


def default_workdir(spec: str, overrides: Mapping[str, Any]) -> Path:
  """`runs/<config name>[-<argument>][-<hash of the overrides>]`."""
  name = run_name(spec)
  if overrides:
    text = json.dumps(canonical(dict(overrides)), sort_keys=True)
    name += '-' + hashlib.sha256(text.encode()).hexdigest()[:8]
  return Path('runs') / name


def keep(
  workdir: AnyPath, config: ConfigDict, stop_step: int | None = None
) -> None:
  """Writes the config into the workdir, or checks the one that is there.

  A run that has no checkpoint yet binds nothing: it failed, most likely, by
  what was then mended in the config.

  Args:
    workdir: of the run.
    config: of the run.
    stop_step: where the run ends with it, if that is known.

  Raises:
    UserError: the workdir holds a run of another config, or one that is longer
      than this one says.
  """
  path = workdir / 'config.json'
  new = canonical(config)
  if lost := differences(new, json.loads(as_json(new))):
    raise UserError(f'config.{lost[0]}: JSON has no such number, take another')
  done = max(step_folders(workdir / 'checkpoints'), default=None)
  if path.exists() and done is not None:
    old = canonical(read_kept(workdir))
    if found := conflicts(old, new):
      shown = '; '.join(found[:4]) + (' ...' if len(found) > 4 else '')
      raise UserError(
        f'{workdir} holds a run of another config ({shown}): choose another '
        '--workdir, or remove that one'
      )
    changed = [d for d in differences(old, new) if d.split(':')[0] in _LENGTH]
    if changed and stop_step is not None and stop_step < done:
      raise UserError(
        f'{workdir} has trained {done} steps, and with {changed[0]} the run '
        f'would end at step {stop_step}: take as many steps or more, or another'
        ' --workdir'
      )
  workdir.mkdir(parents=True, exist_ok=True)
  write_json(path, new)
  if used := plugins.used():
    write_json(workdir / _PLUGINS, used)


def read_kept(workdir: AnyPath) -> ConfigDict:
  """The config that a workdir's run was started with.

  Raises:
    UserError: the workdir has none, or it cannot be read.
  """
  kept = kept_keys(workdir)
  if (workdir / _PLUGINS).exists():
    plugins.remember(load_json(workdir / _PLUGINS))
  try:
    return ConfigDict(kept)
  except (TypeError, ValueError, RecursionError) as error:
    path = workdir / 'config.json'
    raise UserError(f'{path} is no config ({error}): restore it') from error


def own_task(config: ConfigDict) -> ConfigDict:
  """The keys of the task itself, where another one is around it."""
  keys = config.task
  while isinstance(keys.get('task'), ConfigDict):
    keys = keys.task
  return keys


def kept_keys(workdir: AnyPath) -> dict[str, Any]:
  """The keys of the config that a workdir's run was started with.

  Raises:
    UserError: the workdir has none, or they cannot be read.
  """
  path = workdir / 'config.json'
  if not path.exists():
    raise UserError(
      f'{workdir} holds no config.json: is it the --workdir of a training?'
    )
  kept = load_json(path)
  for part in _PARTS:
    if part in kept and not isinstance(kept[part], dict):
      kind = type(kept[part]).__name__
      raise UserError(f'{path}: {part} is no object, but {kind}: restore it')
  return kept


def inherit(file: str, other: str, argument: str = '') -> ConfigDict:
  """The config of another file, to be changed.

  Args:
    file: `__file__` of the config that asks.
    other: path of the other file, absolute or from the folder of `file`.
    argument: for its `get_config`.
  """
  path = Path(file).parent / Path(other).expanduser()
  return load(f'{path}:{argument}' if argument else str(path)).unlock()


def base_config(
  *,
  total_epochs: float | None = None,
  total_steps: int | None = None,
  log_every_steps: int = 50,
) -> ConfigDict:
  """What every config starts with: seed, duration, division over devices.

  See `engine.mesh`, `engine.sharding` and `engine.parallelism`.

  Args:
    total_epochs: of the schedule; this or `total_steps`. The other one can be
      given on the command line.
    total_steps: of the schedule.
    log_every_steps: how often training's metrics are logged.
  """
  if total_epochs is None:
    total_epochs = config_dict.placeholder(float)
  if total_steps is None:
    total_steps = config_dict.placeholder(int)
  return ConfigDict(
    {
      'seed': 0,
      'total_epochs': total_epochs,
      'total_steps': total_steps,
      'stop_step': config_dict.placeholder(int),
      'log_every_steps': log_every_steps,
      'mesh': {'data': -1, 'fsdp': 1, 'tensor': 1},
      'sharding_rules': (),
      'parallelism': 'pjit',
      'sync_batch_norm': True,
      'reduce_dtype': config_dict.placeholder(str),
    }
  )


def make_tiny_speech(config: ConfigDict) -> None:
  """Turns a speech config into a few steps of seconds, on generated tones.

  Args:
    config: changed in place.
  """
  config.data.source = {
    'name': 'fake_speech',
    'sample_rate': 8000,
    'words': ('one', 'two'),
    'sizes': {'train': 48, 'val': 16, 'test': 16},
    'seed': 0,
  }
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.buckets = {'count': 1, 'batch_size': 16}
  config.data.tokenizer = {'name': 'characters', 'alphabet': ' enotw'}
  config.data.lang = 'none'
  config.data.case = config_dict.placeholder(str)
  if 'join' in config.data:
    config.data.join.sizes = {'val': 16, 'test': 16}
  config.data.eval_batch_size = 16
  config.data.max_excluded_share = 1.0
  config.data.workers = 0
  config.total_steps = 4
  config.log_every_steps = 2


def make_tiny(
  config: ConfigDict, shape: tuple[int, int, int], num_classes: int = 10
) -> None:
  """Turns an image config into a few steps of seconds, on made-up images.

  Args:
    config: changed in place.
    shape: (h, w, c) of the images.
    num_classes: labels.
  """
  config.data.source = {
    'name': 'fake',
    'shape': shape,
    'num_classes': num_classes,
    'sizes': {'train': 64, 'val': 16, 'test': 16},
    'seed': 0,
  }
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.batch_size = 16
  config.data.eval_batch_size = 16
  config.data.workers = 0
  config.total_steps = 4
  config.log_every_steps = 2
