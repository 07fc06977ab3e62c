"""An experiment for a notebook: its data, a batch, the step, the loop."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from recog_jax.engine import config as config_lib
from recog_jax.engine import (
  config_keys,
  evaluation,
  experiment,
  interface,
  processes,
  shaping,
  train,
)
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import model as model_lib
from recog_jax.engine.lock import locked
from recog_jax.engine.programs import Programs
from recog_jax.engine.step import TrainState
from recog_jax.errors import UserError
from recog_jax.storage import check_access, path_of


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
  """What a config names, built, with the functions that training calls.

  Attributes:
    config: with the overrides.
    ex: data, task, module, mesh and settings.
    spec: the config file.
    overrides: {path: value} of the keys that were replaced.
  """

  config: ConfigDict
  ex: experiment.Experiment
  spec: str
  overrides: Mapping[str, Any]

  @property
  def data(self) -> Any:
    """See `recog_jax.data.base.Data`."""
    return self.ex.data

  @property
  def task(self) -> Any:
    """See `recog_jax.tasks.base.Task`."""
    return self.ex.task

  @property
  def module(self) -> Any:
    """The Linen module."""
    return self.ex.module

  def batch(self, step: int = 0) -> dict[str, np.ndarray]:
    """The training batch of a step, as the run has it."""
    return next(self.batches(step, step + 1))

  def batches(
    self, start: int = 0, stop: int | None = None
  ) -> Iterator[dict[str, np.ndarray]]:
    """The training batches of steps [start, stop)."""
    ex = self.ex
    stop = ex.stop_step if stop is None else stop
    with ex.data.train(
      mesh_lib.rows_of(ex.mesh),
      start_step=start,
      stop_step=stop,
      total_steps=ex.total_steps,
    ) as batches:
      yield from batches

  @functools.cached_property
  def _programs(self) -> Programs:
    return Programs(self.ex, self.batch())

  def init(self) -> TrainState:
    """The state before the first step; `config.init_from` is not read."""
    batch = mesh_lib.to_global(self.ex.mesh, self.batch())
    return self._programs.at(0).init(batch)

  def step(
    self, state: TrainState, batch: Mapping[str, np.ndarray]
  ) -> tuple[TrainState, dict[str, Any]]:
    """One step of training; the old state is used up.

    Returns:
      The new state; and `total` (the loss), `terms` (loss and metrics of the
      batch as (sum, weight)), `grad_norm` and `learning_rate`.
    """
    batch = mesh_lib.to_global(self.ex.mesh, dict(batch))
    program = self._programs.at(int(state.step))
    return program.train_step(state, batch)

  def evaluate(self, state: TrainState, split: str = 'val') -> dict[str, float]:
    """The metrics of a split."""
    program = self._programs.at(0)
    return evaluation.run(self.ex, program, state.evaluated(), split).metrics

  def train(self, workdir: str | None = None) -> dict[str, Any] | None:
    """The loop of `recog_jax.main`, with its checkpoints, logs and results.

    Args:
      workdir: continued where it holds a run; by default that of the command,
        runs/<config>-<hash of the overrides>.

    Returns:
      The summary.
    """
    place = path_of(
      workdir or config_lib.default_workdir(self.spec, self.overrides)
    )
    check_access(place)
    with locked(place, held=processes.is_first()):
      config_lib.keep(place, self.config, self.ex.stop_step)
      interface.keep(self.ex, place)
      canonical = config_lib.canonical(self.config)
      return train.train(self.ex, place, config=canonical)

  def model(self, state: TrainState) -> model_lib.Model:
    """A state as a model that answers, see `recog_jax.load`."""
    return model_lib.of_experiment(
      self.ex, self.config, jax.device_get(state.evaluated()), int(state.step)
    )


def open_config(
  spec: str,
  overrides: Mapping[str, Any] | None = None,
  data_dir: str | None = None,
) -> Session:
  """The experiment of a config file.

  Args:
    spec: path of the file, with `:argument` where it takes one.
    overrides: {'optimizer.learning_rate': 0.1}: keys that are replaced.
    data_dir: where data sets are looked for.

  Raises:
    UserError: an unknown key, or data that are not there.
  """
  config = config_lib.load(spec)
  given = {}
  for path, value in (overrides or {}).items():
    if not isinstance(path, str):
      raise UserError(f'overrides are {{"path.of.a.key": value}}, not {path!r}')
    given[path] = value if isinstance(value, str) else repr(value)
  values = config_keys.apply_texts(config, given)
  if make := experiment.prepare(config, data_dir):
    make()
  shaping.shape(config)
  return Session(config, experiment.build(config, data_dir), spec, values)
