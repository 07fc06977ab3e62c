"""A config as built objects: data, task, module, mesh."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from recog_jax.data.base import Data
from recog_jax.data.pipeline import steps_of
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import registry
from recog_jax.errors import UserError
from recog_jax.tasks.base import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """The top level of a config; a key that is not here is an error.

  Attributes:
    data: keys of the data class; `source` holds those of the source.
    task: name and keys of the task.
    model: name and keys of the model.
    optimizer: name, learning_rate and keys of `make_optimizer`.
    schedule: name and keys of `make_schedule`.
    evaluation: `every_steps` or `every_epochs`.
    checkpoint: the same, and `keep_latest`, `keep_best`.
    total_epochs: the schedule's horizon; `total_steps`, if set, replaces it.
    total_steps: the same in optimizer steps.
    stop_step: ends the run early, without changing the schedule.
    seed: of everything random.
    log_every_steps: distance of log lines.
    accumulate_steps: parts that a batch is run in, one after another.
    ema_decay: of the average of weights that evaluation uses; None: none.
    freeze: what is not trained, and until when; see `make_freezing`.
    init_from: keys of `transfer.InitFrom`: where weights come from.
    probe: keys of `probe.Probe`: a linear classifier on fixed features is
      fitted instead of a training; {} takes the defaults.
    mesh: sizes of the axes `data`, `fsdp`, `tensor`; -1 takes what is left.
    sharding_rules: ordered (regex, spec) on parameter paths, or the name of a
      table alone; nothing takes that of the family; see `engine.sharding`.
    parallelism: `pjit` or `pmap`; see `engine.views`, the next two as well.
    sync_batch_norm: whether pmap adds up the statistics of all devices.
    reduce_dtype: of the gradients that pmap adds up.
  """

  data: Mapping[str, Any]
  task: Mapping[str, Any]
  model: Mapping[str, Any]
  optimizer: Mapping[str, Any]
  schedule: Mapping[str, Any]
  evaluation: Mapping[str, Any]
  checkpoint: Mapping[str, Any]
  total_epochs: float | None = None
  total_steps: int | None = None
  stop_step: int | None = None
  seed: int = 0
  log_every_steps: int = 50
  accumulate_steps: int = 1
  ema_decay: float | None = None
  freeze: Any = ()
  init_from: Mapping[str, Any] | None = None
  probe: Mapping[str, Any] | None = None
  mesh: Mapping[str, int] = dataclasses.field(default_factory=dict)
  sharding_rules: Sequence[Any] = ()
  parallelism: str = 'pjit'
  sync_batch_norm: bool = True
  reduce_dtype: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Every:
  """How often something is done; exactly one of the two is set."""

  every_steps: int | None = None
  every_epochs: float | None = None

  def __post_init__(self):
    if (self.every_steps is None) == (self.every_epochs is None):
      raise UserError(
        'config.evaluation and config.checkpoint need every_steps or '
        'every_epochs, and not both'
      )

  def steps(self, steps_per_epoch: float) -> int:
    """The same in steps, at least one."""
    if self.every_epochs is not None:
      return max(1, steps_of(self.every_epochs, steps_per_epoch))
    return max(1, self.every_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpointing(Every):
  """When checkpoints are written, and how many of them stay."""

  keep_latest: int = 2
  keep_best: int = 1


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Built from a config by `build`, or by hand in a test.

  Attributes:
    settings: the config's top level.
    data: see `recog_jax.data.base`.
    task: see `recog_jax.tasks.base`.
    module: the Linen module.
    mesh: the devices.
  """

  settings: Settings
  data: Data
  task: Task
  module: nn.Module
  mesh: jax.sharding.Mesh

  @functools.cached_property
  def total_steps(self) -> int:
    s = self.settings
    if s.total_steps is not None:
      return s.total_steps
    if s.total_epochs is None:
      raise UserError('config.total_steps or config.total_epochs must be set')
    return steps_of(s.total_epochs, self.data.steps_per_epoch)

  @property
  def stop_step(self) -> int:
    stop = self.settings.stop_step
    return self.total_steps if stop is None else min(stop, self.total_steps)

  @functools.cached_property
  def evaluation(self) -> 'Every':
    """The keys of `config.evaluation`."""
    return registry.call(Every, self.settings.evaluation, 'config.evaluation')

  @functools.cached_property
  def checkpoint(self) -> 'Checkpointing':
    """The keys of `config.checkpoint`."""
    keys = self.settings.checkpoint
    return registry.call(Checkpointing, keys, 'config.checkpoint')

  @property
  def eval_batch_size(self) -> int:
    """Rounded up for the devices here: evaluation pads rows anyway."""
    parts = mesh_lib.batch_parts(self.mesh)
    return parts * math.ceil(self.data.eval_batch_size / parts)


def _plain(keys: Any) -> dict[str, Any]:
  return keys.to_dict() if isinstance(keys, ConfigDict) else dict(keys)


def build(
  config: ConfigDict,
  data_dir: str | None = None,
  *,
  train_batch: bool = True,
  devices: Sequence[jax.Device] | None = None,
) -> Experiment:
  """Builds everything that a config names; no array is computed yet.

  Args:
    config: of a config file, or of a workdir.
    data_dir: where data sets are looked for.
    train_batch: the training batch must divide over the devices here; False
      where nothing is trained.
    devices: of the mesh; by default all there are.

  Raises:
    UserError: an unknown name or key, or data that are not there.
  """
  settings = registry.call(Settings, _plain(config), 'the config')
  data = make_data(settings, data_dir)
  task = registry.build('task', settings.task, info=data.info)
  model = dict(settings.model)
  if 'dtype' in model:
    model['dtype'] = _dtype(model['dtype'])
  module = registry.build('model', model, num_outputs=task.num_outputs)
  if hasattr(module, 'out_len'):
    # Sequences: how many outputs a model has decides what can be trained on.
    data = data.for_model(module.out_len)
  mesh = registry.call(
    mesh_lib.make_mesh, settings.mesh, 'config.mesh', devices=devices
  )
  if train_batch:
    for size in data.batch_sizes:
      mesh_lib.check_batch(mesh, size, 'config.data.batch_size')
  for size in data.batch_sizes:
    if size % settings.accumulate_steps:
      raise UserError(
        f'config.data.batch_size={size} does not divide into '
        f'accumulate_steps={settings.accumulate_steps} parts'
      )
  ex = Experiment(settings, data, task, module, mesh)
  # Read now, so that their errors do not come after a compilation.
  _ = ex.total_steps, ex.evaluation, ex.checkpoint
  return ex


def make_data(settings: Settings, data_dir: str | None) -> Any:
  """The data class of `config.data`, around its source."""
  keys = dict(settings.data)
  if 'source' not in keys:
    raise UserError('config.data has no source')
  source = registry.build('source', keys.pop('source'), data_dir=data_dir)
  return registry.build(
    'data', keys, source=source, seed=settings.seed, data_dir=data_dir
  )


def _dtype(name: str) -> Any:
  if name not in ('float32', 'bfloat16', 'float64'):
    raise UserError(
      f"model dtype '{name}': take float32, bfloat16 (or float64 with x64 on)"
    )
  return jnp.dtype(name)
