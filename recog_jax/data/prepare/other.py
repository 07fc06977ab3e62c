"""Data sets by name: known ones from archives, all others by TFDS itself."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from recog_jax.data.prepare.known import KNOWN, prepare_known
from recog_jax.errors import UserError, unknown_name


def prepare_named(
  dataset: str,
  data_dir: Path,
  *,
  files: Sequence[Path] = (),
  urls: Sequence[str] = (),
) -> Path:
  """Makes a data set of `known.KNOWN`, else leaves it to TFDS.

  Args:
    dataset: `name[/config][:version]`.
    data_dir: the folder of all data sets.
    files: see `prepare_known`.
    urls: see `prepare_known`.

  Returns:
    The folder of the version.

  Raises:
    UserError: no name, or the data set cannot be made.
  """
  if not dataset:
    raise UserError('say which data set, for example --dataset=cifar10.')
  if dataset in KNOWN:
    return prepare_known(dataset, data_dir, files=files, urls=urls)
  return prepare_other(dataset, data_dir)


def prepare_other(dataset: str, data_dir: Path) -> Path:
  """Downloads and prepares a data set with TFDS, as array_record files.

  Args:
    dataset: `name[/config][:version]`.
    data_dir: the folder of all data sets.

  Returns:
    The folder of the version.

  Raises:
    UserError: TensorFlow is not installed, or TFDS cannot make the data set.
  """
  if importlib.util.find_spec('tensorflow') is None:
    raise UserError(
      f"data set '{dataset}' is prepared by TFDS itself, which needs "
      "TensorFlow: pip install 'recog_jax[prepare]'. Without it cifar10, mnist "
      'and image folders (--image_folder) can be prepared.'
    )
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder(
      dataset, data_dir=str(data_dir), file_format='array_record'
    )
    builder.download_and_prepare()
  except tfds.core.DatasetNotFoundError as e:
    raise unknown_name('data set', dataset, tfds.list_builders()) from e
  except Exception as e:  # Each data set's own code, its downloads included.
    raise UserError(f'TFDS cannot prepare {dataset}: {e}') from e
  return Path(builder.data_dir)
