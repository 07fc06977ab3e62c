"""Files of workdirs, local or on gs:// and s3://, through `etils.epath`."""

from typing import Any

import fsspec
from etils import epath

from recog_jax import storage
from recog_jax.engine import metric_rows


def root(text: str) -> epath.Path:
  """A folder by its path or URL; see `storage.path_of`."""
  return epath.Path(storage.path_of(text))


is_remote = storage.is_remote
check_access = storage.check_access


read_json = storage.read_json


def read_rows(path: epath.Path) -> list[dict[str, Any]]:
  """Objects of a file of JSON lines; none of one that cannot be read."""
  try:
    return storage.read_rows(path)
  except OSError:
    return []


def read_metrics(workdir: epath.Path) -> list[dict[str, Any]]:
  """The rows of a log; none of one that cannot be read."""
  try:
    return metric_rows.read(workdir / 'metrics.jsonl')
  except OSError:
    return []


def write_json(path: epath.Path, value: Any) -> None:
  """Writes a JSON file whole or not at all, and its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  storage.write_json(path, value)


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
