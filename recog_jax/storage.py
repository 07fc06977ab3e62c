"""Workdirs on a disk or a bucket: gs:// and s3://, through `etils.epath`.

A bucket has no locks, no renames and no files that grow. So a file is written
whole, and what grows is kept here and copied there.
"""

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import fsspec
from etils import epath

from recog_jax.errors import UserError

# What reads and writes a scheme, and the extra it comes with.
_PACKAGES = {'gs': 'gcsfs', 's3': 's3fs'}
_LOGINS = {
  'gs': 'gcloud auth application-default login',
  's3': 'aws configure',
}
# What a file can be broken by: not there, not text, not JSON, too deep.
_BROKEN = (OSError, ValueError, RecursionError)
# Of a disk a `Path`; of a bucket what has the same methods, as far as a workdir
# needs them.
AnyPath = Path | epath.Path


def path_of(text: str | os.PathLike) -> AnyPath:
  """A folder or file by its path or URL.

  Raises:
    UserError: a scheme that is not known, or a name that is no text.
  """
  text = os.fspath(text)
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f"'{text}' is not UTF-8, as names in checkpoints and logs have to be: "
      'choose another one'
    ) from error
  scheme = text.partition('://')[0] if '://' in text else ''
  if scheme and scheme not in _PACKAGES:
    raise UserError(
      f"'{text}': a workdir is a local folder, or begins with gs:// or s3://"
    )
  return epath.Path(text) if scheme else Path(text)


def is_remote(path: AnyPath) -> TypeGuard[epath.Path]:
  """Whether it is on a bucket."""
  return '://' in str(path)


def check_access(path: AnyPath) -> None:
  """Raises UserError if a bucket cannot be reached from here."""
  if not is_remote(path):
    return
  scheme, _, rest = str(path).partition('://')
  bucket = epath.Path(f'{scheme}://{rest.partition("/")[0]}')
  try:
    there = bucket.exists()
  except ImportError as error:
    raise UserError(
      f'{path} needs {_PACKAGES[scheme]}: pip install "recog_jax[{scheme}]"'
    ) from error
  except Exception as error:
    reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
    raise UserError(
      f'{path} cannot be read ({reason[0]}): log in with `{_LOGINS[scheme]}`, '
      'and see that the bucket exists'
    ) from error
  if not there:
    raise UserError(f'there is no bucket {bucket}: make it, or mend its name')


# What a workdir holds, by what it is.
_FILES = (
  'config.json',
  'plugins.json',
  'init_from.json',
  'interface.json',
  'metrics.jsonl',
  'summary.json',
  'curves.png',
  '.lock',
)
_FOLDERS = ('checkpoints', 'results', 'tensorboard', 'features', 'profile')


def make_workdir(path: AnyPath) -> None:
  """Makes the folder of a run; what is there has to be of its kind.

  Raises:
    OSError: it cannot be made.
    UserError: a file stands where the run keeps a folder, or the reverse.
  """
  path.mkdir(parents=True, exist_ok=True)
  if is_remote(path):
    return
  for name in (*_FILES, *_FOLDERS):
    there, folder = path / name, name in _FOLDERS
    if there.is_file() if folder else there.is_dir():
      raise UserError(
        f'{there} is a {"file" if folder else "folder"}, where a run keeps a '
        f'{"folder" if folder else "file"}: move it away, or choose another '
        '--workdir'
      )


def step_folders(folder: AnyPath) -> list[int]:
  """The folders that are named by a step, in order; others are not ours."""
  if not folder.is_dir():
    return []
  names = [p.name for p in folder.iterdir() if p.is_dir()]
  return sorted(int(n) for n in names if re.fullmatch('0|[1-9][0-9]{0,8}', n))


def refresh(path: AnyPath) -> None:
  """Forgets what a bucket held: other processes write there, too."""
  if is_remote(path):
    fsspec.url_to_fs(str(path))[0].invalidate_cache()


def write_whole(path: AnyPath, content: str | bytes) -> None:
  """Writes a file whole or not at all; its folder is there."""
  if isinstance(content, str):
    content = content.encode()
  if is_remote(path):
    path.write_bytes(content)
    return
  fresh = path.with_suffix('.new')
  fresh.write_bytes(content)
  fresh.replace(path)


def as_json(value: Any, **options: Any) -> str:
  """JSON that every program reads; what is not finite becomes null.

  Args:
    value: as `json.dumps` takes it.
    **options: of `json.dumps`.
  """
  try:
    return json.dumps(value, allow_nan=False, **options)
  except ValueError:
    return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value: Any) -> Any:
  """With None for nan and inf; an object has a note of its own ones."""
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if isinstance(value, list | tuple):
    return [_finite(item) for item in value]
  if not isinstance(value, Mapping):
    return value
  found = {k: _finite(v) for k, v in value.items()}
  lost = [
    f'{k} is {v}'
    for k, v in value.items()
    if isinstance(v, float) and found[k] is None
  ]
  if lost:
    found['notes'] = [*found.get('notes', ()), *lost]
  return found


def write_json(path: AnyPath, value: Any) -> None:
  """Writes a JSON file whole or not at all; its folder is there."""
  write_whole(path, as_json(value, indent=2) + '\n')


def read_json(path: AnyPath, kind: type = dict) -> Any:
  """What a JSON file holds; None if it is absent, broken, or of another kind.

  Args:
    path: of the file.
    kind: dict or list.
  """
  try:
    found = json.loads(path.read_bytes())
  except _BROKEN:
    return None
  return found if isinstance(found, kind) else None


def load_json(path: AnyPath) -> dict[str, Any]:
  """The object that a JSON file has to hold.

  Raises:
    UserError: it holds none.
  """
  try:
    found = json.loads(path.read_bytes())
  except (ValueError, RecursionError) as error:
    reason = 'it is nested too deeply'
    if isinstance(error, UnicodeDecodeError):
      reason = 'it is no text'
    elif isinstance(error, ValueError):
      reason = str(error)
    raise UserError(f'{path} is no JSON ({reason}): restore it') from error
  if not isinstance(found, dict):
    raise UserError(
      f'{path} is no object of JSON, but {type(found).__name__}: restore it'
    )
  return found


def copy_tree(source: AnyPath, target: AnyPath) -> None:
  """Copies every file of a folder; the target is made if absent."""
  # Not by fsspec, where both are on a bucket: etils and it list from a cache
  # each.
  target.mkdir(parents=True, exist_ok=True)
  for path in source.iterdir():
    if path.is_dir():
      copy_tree(path, target / path.name)
    else:
      (target / path.name).write_bytes(path.read_bytes())


def move_folder(source: AnyPath, target: AnyPath) -> None:
  """Moves a folder to where another one may be, which goes."""
  if is_remote(source) and is_remote(target):
    if target.exists():
      target.rmtree()
    copy_tree(source, target)
    source.rmtree()
  else:
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)


def read_bytes(path: AnyPath) -> bytes:
  """What a file holds; nothing if it is absent."""
  try:
    return path.read_bytes()
  except FileNotFoundError:
    return b''


def read_rows(path: AnyPath) -> list[dict[str, Any]]:
  """The objects of a file of JSON lines; a line that is none is skipped."""
  return rows_of(read_bytes(path))


def rows_of(content: bytes) -> list[dict[str, Any]]:
  """The objects of JSON lines; a line that is none is skipped."""
  rows = []
  for line in content.split(b'\n'):
    try:
      row = json.loads(line)
    except _BROKEN:
      continue
    if isinstance(row, dict):
      rows.append(row)
  return rows
