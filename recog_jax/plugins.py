"""Parts of users' own: `package.module:attribute` in place of a short name.

The module is one that Python finds, or a file in the folder of the config. The
folder stands at the end of the path where modules are looked for, also in the
processes that read data, so that it hides no installed package.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import Any, TypeGuard

from recog_jax.errors import UserError, unknown_name

# Folders of configs, and what was taken from where: {reference: file}.
_folders: list[str] = []
_used: dict[str, str] = {}
# What an earlier process used, and is no longer there.
_earlier: dict[str, str] = {}


def remember(found: dict[str, str]) -> None:
  """Looks where a run of an earlier process found its users' own parts.

  Args:
    found: what `used` gave there.
  """
  for reference, file in found.items():
    if not isinstance(file, str):
      continue  # No file that this program wrote.
    depth = reference.split(':')[0].count('.') + 1
    path = Path(file)
    if path.name == '__init__.py':
      depth += 1
    if path.is_file() and len(path.parents) >= depth:
      add_folder(path.parents[depth - 1])
    else:
      _earlier[reference] = file


def is_reference(name: Any) -> TypeGuard[str]:
  """Whether a name is one of a user's own parts."""
  return isinstance(name, str) and ':' in name


def add_folder(folder: str | Path) -> None:
  """Looks for modules in a folder as well."""
  folder = str(Path(folder).resolve())
  if folder not in _folders:
    _folders.append(folder)
  if folder not in sys.path:
    sys.path.append(folder)


def used() -> dict[str, str]:
  """{reference: file} of all that was loaded in this process."""
  return dict(_used)


def load(reference: str, what: str) -> Any:
  """What a reference names.

  Args:
    reference: `package.module:attribute`.
    what: that the reference stands for, for messages.

  Raises:
    UserError: no such module or attribute, or the module fails.
  """
  name, _, attribute = reference.partition(':')
  if not all(part.isidentifier() for part in [*name.split('.'), attribute]):
    raise UserError(
      f"{what} '{reference}': write it as package.module:attribute"
    )
  _check_shadow(name, reference)
  try:
    module = importlib.import_module(name)
  except Exception as error:
    missing = isinstance(error, ModuleNotFoundError) and error.name
    if missing and f'{name}.'.startswith(f'{missing}.'):
      raise UserError(
        f"{what} '{reference}': there is no module {missing}; it is looked for "
        f'among the installed packages and in {_listed()}{_once(reference)}. '
        'Install it, or put its folder into PYTHONPATH'
      ) from error
    raise UserError(
      f"{what} '{reference}': importing {name} fails with "
      f'{type(error).__name__}: {error}'
    ) from error
  if not hasattr(module, attribute):
    known = [n for n, v in vars(module).items() if callable(v) and n[0] != '_']
    raise unknown_name(f'attribute of {name}', attribute, known)
  _used[reference] = getattr(module, '__file__', None) or name
  return getattr(module, attribute)


def _check_shadow(name: str, reference: str) -> None:
  """Refuses a file beside the config that another module would be taken for."""
  top = name.split('.')[0]
  for folder in _folders:
    own = importlib.machinery.PathFinder.find_spec(top, [folder])
    if own is None or own.origin is None:
      continue
    taken = sys.modules.get(top)
    origin = getattr(taken, '__file__', None)
    if taken is None:
      found = importlib.util.find_spec(top)
      origin = found and found.origin
    if origin and not _same(origin, own.origin):
      raise UserError(
        f"'{reference}': {own.origin} has the name of another module, {origin}:"
        ' give it another name'
      )


def _once(reference: str) -> str:
  file = _earlier.get(reference)
  return f'; the run was started with {file}, which is gone' if file else ''


def _same(first: str, second: str) -> bool:
  return Path(first).resolve() == Path(second).resolve()


def _listed() -> str:
  return ', '.join(_folders) or 'the folder of the config'
