"""Workdirs on a disk or a bucket: gs:// and s3://, through `etils.epath`.

A bucket has no locks, no renames and no files that grow. So a file is written
whole, and what grows is kept here and copied there.
"""

import json
import os
import shutil
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
# Of a disk a `Path`; of a bucket what has the same methods, as far as a workdir
# needs them.
AnyPath = Path | epath.Path


def path_of(text: str | os.PathLike) -> AnyPath:
  """A folder or file by its path or URL.

  Raises:
    UserError: a scheme that is not known.
  """
  text = os.fspath(text)
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


def write_json(path: AnyPath, value: Any) -> None:
  """Writes a JSON file whole or not at all; its folder is there."""
  write_whole(path, json.dumps(value, indent=2) + '\n')


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
  """The objects of a file of JSON lines, up to one that is only half there."""
  rows = []
  for line in read_bytes(path).decode(errors='replace').splitlines():
    try:
      row = json.loads(line)
    except ValueError:
      break
    if not isinstance(row, dict):
      break
    rows.append(row)
  return rows
