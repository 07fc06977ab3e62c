"""Files of workdirs, local or on gs:// and s3://, through `etils.epath`."""

import json
from typing import Any

import fsspec
from etils import epath

from recog_jax.errors import UserError

_SCHEMES = ('gs', 's3')
# What reads and writes a scheme, and the extra it comes with.
_PACKAGES = {'gs': 'gcsfs', 's3': 's3fs'}


def root(text: str) -> epath.Path:
  """A folder by its path or URL.

  Raises:
    UserError: a scheme that is not known.
  """
  scheme = text.partition('://')[0] if '://' in text else ''
  if scheme and scheme not in _SCHEMES:
    raise UserError(
      f"'{text}': a workdir is a local folder, or begins with gs:// or s3://"
    )
  return epath.Path(text)


def is_remote(path: epath.Path) -> bool:
  """Whether it is on a bucket."""
  return '://' in str(path)


def check_access(path: epath.Path) -> None:
  """Raises UserError if a bucket cannot be reached from here."""
  if not is_remote(path):
    return
  scheme = str(path).partition('://')[0]
  login = {
    'gs': 'gcloud auth application-default login',
    's3': 'aws configure',
  }[scheme]
  try:
    path.exists()
  except ImportError as error:
    raise UserError(
      f'{path} needs {_PACKAGES[scheme]}: pip install "recog_jax[{scheme}]"'
    ) from error
  except Exception as error:
    reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
    raise UserError(
      f'{path} cannot be read ({reason[0]}): log in with `{login}`, and see '
      'that the bucket exists'
    ) from error


def read_json(path: epath.Path) -> Any:
  """What a JSON file holds; None if it is absent, or only half there."""
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    return None


def read_rows(path: epath.Path) -> list[dict[str, Any]]:
  """The rows of a metrics.jsonl, up to one that is only half there."""
  try:
    text = path.read_bytes().decode(errors='replace')
  except OSError:
    return []
  rows = []
  for line in text.splitlines():
    try:
      rows.append(json.loads(line))
    except ValueError:
      break
  return rows


def write_json(path: epath.Path, value: Any) -> None:
  """Writes a JSON file whole or not at all; an object store does so anyway."""
  path.parent.mkdir(parents=True, exist_ok=True)
  text = json.dumps(value, indent=2) + '\n'
  if is_remote(path):
    path.write_text(text)
    return
  fresh = path.with_suffix('.new')
  fresh.write_text(text)
  fresh.replace(path)


def modified(path: epath.Path) -> float:
  """When a file was written, in seconds since 1970; 0 if that is unknown.

  Not `epath.Path.stat`: its mtime is 0 on S3.
  """
  try:
    if not is_remote(path):
      return path.stat().mtime
    fs, name = fsspec.url_to_fs(str(path))
    return fs.modified(name).timestamp()
  except (OSError, NotImplementedError):
    return 0.0
