"""Optional packages of the formats, and what their converters say."""

import contextlib
import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any

from absl import logging as absl_logging

from recog_jax.errors import UserError, printable


def need(packages: Iterable[str], extra: str) -> None:
  """Raises UserError, which names the extra, where a package is missing."""
  for package in packages:
    try:
      metadata.version(package)
    except metadata.PackageNotFoundError as error:
      raise _missing(package, extra) from error


def _missing(package: str, extra: str) -> UserError:
  return UserError(
    f'{package} is not installed, which this format needs: pip install '
    f"'recog_jax[{extra}]'"
  )


def taken(module: str, extra: str) -> Any:
  """A module of an extra.

  Raises:
    UserError: it is not installed.
  """
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise _missing(module.partition('.')[0], extra) from error


def refused(name: str, error: Exception) -> UserError:
  """What a converter could not do, in a sentence."""
  if isinstance(error, UserError):
    return error
  lines = [line for line in str(error).splitlines() if line.strip()]
  reason = printable(lines[0] if lines else 'it does not say why')[:300]
  return UserError(
    f'{name} cannot hold this model ({type(error).__name__}: {reason}): take '
    'another --format or model'
  )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Without what converters print and log, which no user can act on.

  TensorFlow's compiler writes to the file of standard error itself.
  """
  level = absl_logging.get_verbosity()
  sys.stderr.flush()
  kept = os.dup(2)
  try:
    with tempfile.TemporaryFile() as nowhere, warnings.catch_warnings():
      warnings.simplefilter('ignore')
      os.dup2(nowhere.fileno(), 2)
      absl_logging.set_verbosity(absl_logging.FATAL)
      logging.disable(logging.WARNING)
      yield
  finally:
    logging.disable(logging.NOTSET)
    absl_logging.set_verbosity(level)
    sys.stderr.flush()
    os.dup2(kept, 2)
    os.close(kept)
