"""A sweep to be run: what every backend is given."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from launch import workdirs
from launch.sweep import Sweep, Trial
from recog_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Job:
  """A sweep, and how it is to be run.

  Attributes:
    sweep: its trials.
    root: folder of the workdirs.
    data_dir: for `recog_jax.main`.
    max_parallel: trials at a time; None for the backend's default.
    resources: what a trial needs, in the backend's own words.
  """

  sweep: Sweep
  root: epath.Path
  data_dir: str | None = None
  max_parallel: int | None = None
  resources: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def workdir(self, trial: Trial) -> str:
    """As `recog_jax.main` gets it."""
    return str(self.root / trial.id)

  def unfinished(self) -> list[Trial]:
    """The trials without results."""
    return [
      trial
      for trial in self.sweep.trials
      if not workdirs.is_finished(self.root / trial.id, trial)
    ]


def missing(package: str, extra: str) -> UserError:
  """The error for a backend whose package is not installed."""
  return UserError(
    f'this needs {package}, which is not installed: pip install -e ".[{extra}]"'
  )
