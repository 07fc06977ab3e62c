"""A sweep file, and the trials it asks for: read and checked before any starts.

A sweep is a Python file with `get_sweep()`, which yields dicts: dotted config
key -> value, and under `config` the config file. It may say with
`get_resources()` what a trial needs on other machines (the flags of
`python -m launch` win), and with `get_space()` what a search chooses from.
"""

import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from launch import store
from recog_jax.engine import config as config_lib
from recog_jax.engine import config_keys
from recog_jax.errors import UserError, unknown_name

_BACKENDS = ('skypilot', 'slurm')


@dataclasses.dataclass(frozen=True)
class Trial:
  """One training of a sweep.

  Attributes:
    spec: config file, with `:argument` where it takes one.
    overrides: dotted key -> value, as the sweep wrote it.
    id: the config's name and a hash of config and overrides; a folder's name.
    config: the whole config in canonical form, overrides applied.
  """

  spec: str
  overrides: Mapping[str, Any]
  id: str
  config: Mapping[str, Any] = dataclasses.field(repr=False)

  def flags(self) -> list[str]:
    """The flags of `recog_jax.main` that say what is trained."""
    return _flags(self.spec, self.overrides)

  def text(self, without: Collection[str] = ()) -> str:
    """The overrides, for people; those of some keys left out."""
    shown = {k: v for k, v in self.overrides.items() if k not in without}
    return ' '.join(f'{k}={_word(v)}' for k, v in shown.items()) or '-'


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A sweep file that was read.

  Attributes:
    name: of the file.
    module: the file, run.
    trials: those of `get_sweep()`, checked.
  """

  name: str
  module: ModuleType
  trials: list[Trial]

  def default_root(self) -> str:
    """Where its workdirs are unless `--workdir` says otherwise."""
    return f'runs/sweeps/{self.name}'

  def resources(self, backend: str) -> dict[str, Any]:
    """What `get_resources()` asks of a backend; empty where there is none."""
    if not hasattr(self.module, 'get_resources'):
      return {}
    found = self.module.get_resources()
    for name in found:
      if name not in _BACKENDS:
        raise unknown_name('backend in get_resources()', name, _BACKENDS)
    return dict(found.get(backend, {}))


def load(path: str) -> Sweep:
  """Reads a sweep file and checks every trial.

  Raises:
    UserError: no such file, no trials, an unknown config key or a value that
      does not fit it, two trials of the same config.
  """
  module = _run(path)
  if not hasattr(module, 'get_sweep'):
    raise UserError(f'{path} defines no get_sweep(): it is not a sweep file')
  dicts = _called(path, lambda: list(module.get_sweep()))
  trials = make_trials(dicts)
  if not trials:
    raise UserError(f'get_sweep() of {path} yields no trials')
  return Sweep(Path(path).stem, module, trials)


def make_trials(dicts: Iterable[Mapping[str, Any]]) -> list[Trial]:
  """Checks what a sweep yields.

  Raises:
    UserError: see `load`.
  """
  trials: list[Trial] = []
  seen: dict[str, tuple[int, Trial]] = {}
  for number, given in enumerate(dicts, start=1):
    trial = make_trial(given, f'trial {number}')
    content = json.dumps(trial.config, sort_keys=True)
    if content in seen:
      first, other = seen[content]
      raise UserError(
        f'trials {first} and {number} of the sweep are equal ({other.text()} '
        f'and {trial.text()} of {trial.spec}): take one of them out'
      )
    seen[content] = number, trial
    trials.append(trial)
  return trials


def make_trial(given: Mapping[str, Any], where: str = 'a trial') -> Trial:
  """One trial from the dict that a sweep yields.

  Args:
    given: the dict.
    where: how an error names it.
  """
  if not isinstance(given, Mapping) or 'config' not in given:
    raise UserError(
      f"{where} of the sweep must be a dict with a 'config' beside its "
      f'overrides, and is {given!r}'
    )
  overrides = {k: v for k, v in given.items() if k != 'config'}
  path, colon, argument = str(given['config']).partition(':')
  path = os.path.relpath(path) if Path(path).is_absolute() else path
  spec = f'{Path(path).as_posix()}{colon}{argument}'
  config = _effective(spec, overrides, where)
  # Of the values as the config takes them: 1 for a float key is 1.0.
  taken = {key: _at(config, key) for key in overrides}
  text = json.dumps(config_lib.canonical([spec, taken]), sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:10]
  canonical = config_lib.canonical(config)
  name = _slug(config_lib.run_name(spec))
  return Trial(spec, overrides, f'{name}-{digest}', canonical)


def main_flags(
  trial: Trial, workdir: str, data_dir: str | None = None
) -> list[str]:
  """Every flag of `recog_jax.main` for a trial."""
  data = [f'--data_dir={data_dir}'] if data_dir else []
  return [f'--workdir={workdir}', *data, *trial.flags()]


def keep(root: epath.Path, sweep: Sweep) -> None:
  """Writes `sweep.json`: which overrides each folder of the root stands for."""
  known = store.read_json(root / 'sweep.json') or {}
  for trial in sweep.trials:
    known[trial.id] = {'config': trial.spec, **trial.overrides}
  store.write_json(root / 'sweep.json', known)


# -- reading -------------------------------------------------------------------


def _run(path: str) -> ModuleType:
  if not Path(path).is_file():
    raise UserError(
      f"there is no sweep file '{path}': give the path of one, for example "
      'experiments/sweeps/digits_lr.py'
    )
  return _called(path, lambda: config_lib.run_file(path))


def _called(path: str, function: Any) -> Any:
  """Calls into a sweep file; what fails there is told of in a sentence."""
  try:
    return function()
  except UserError:
    raise
  except Exception as error:
    raise UserError(f'{path} fails with {type(error).__name__}: {error}') from (
      error
    )


@functools.cache
def _plain(spec: str) -> ConfigDict:
  return config_lib.load(spec)


def _effective(
  spec: str, overrides: Mapping[str, Any], where: str
) -> ConfigDict:
  """The config with its overrides, parsed as `recog_jax.main` will do it."""
  try:
    config = _plain(spec).copy_and_resolve_references()
    texts = {key: _word(value) for key, value in overrides.items()}
    config_keys.apply_texts(config, texts)
  except UserError as error:
    raise UserError(f'{where} of the sweep: {error}') from error
  for key, wanted in overrides.items():
    taken = _at(config, key)
    if not _same(wanted, taken):
      raise UserError(
        f'{where} of the sweep: {key}={wanted!r} becomes {taken!r} on the '
        'command line: give a value of the type that the config has there'
      )
  return config


def _same(wanted: Any, taken: Any) -> bool:
  if isinstance(taken, ConfigDict):
    return isinstance(wanted, Mapping)
  return config_lib.canonical(wanted) == config_lib.canonical(taken)


def _at(config: Any, key: str) -> Any:
  for part in config_keys.split_path(key):
    if isinstance(part, str) and part not in config:
      return None  # Cleared.
    config = config[part]
  return config


def _flags(spec: str, overrides: Mapping[str, Any]) -> list[str]:
  words = [f'--config.{k}={_word(v)}' for k, v in overrides.items()]
  return [f'--config={spec}', *words]


def _word(value: Any) -> str:
  return value if isinstance(value, str) else repr(value)


def _slug(name: str) -> str:
  """A name that SkyPilot and Slurm take as well: letters, digits, dashes."""
  return re.sub('[^a-z0-9]+', '-', name.lower()).strip('-') or 'trial'
