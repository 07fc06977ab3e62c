"""A config as built objects: data, task, module, mesh."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from recog_jax import registry
from recog_jax.compress import training as quantized_training
from recog_jax.data.base import Data
from recog_jax.engine import adapt as adapt_lib
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import privacy as privacy_lib
from recog_jax.engine.settings import Checkpointing, Every, Settings, steps_of
from recog_jax.errors import UserError
from recog_jax.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Built from a config by `build`, or by hand in a test.

  Attributes:
    settings: the config's top level.
    data: see `recog_jax.data.base`.
    task: see `recog_jax.tasks.base`.
    module: the Linen module.
    mesh: the devices.
    privacy: how the training is private; None: it is not.
  """

  settings: Settings
  data: Data
  task: Task
  module: nn.Module
  mesh: jax.sharding.Mesh
  privacy: privacy_lib.Plan | None = None

  @functools.cached_property
  def total_steps(self) -> int:
    return _total_steps(self.settings, self.data.steps_per_epoch)

  @property
  def stop_step(self) -> int:
    stop = self.settings.stop_step
    return self.total_steps if stop is None else min(stop, self.total_steps)

  @functools.cached_property
  def evaluation(self) -> Every:
    """The keys of `config.evaluation`."""
    return registry.call(Every, self.settings.evaluation, 'config.evaluation')

  @functools.cached_property
  def checkpoint(self) -> Checkpointing:
    """The keys of `config.checkpoint`."""
    keys = self.settings.checkpoint
    return registry.call(Checkpointing, keys, 'config.checkpoint')

  @property
  def eval_batch_size(self) -> int:
    """Rounded up for the devices here: evaluation pads rows anyway."""
    parts = mesh_lib.batch_parts(self.mesh)
    return parts * math.ceil(self.data.eval_batch_size / parts)


def _total_steps(settings: Settings, steps_per_epoch: float) -> int:
  if settings.total_steps is not None:
    return settings.total_steps
  if settings.total_epochs is None:
    raise UserError('config.total_steps or config.total_epochs must be set')
  return steps_of(settings.total_epochs, steps_per_epoch)


def _private(
  settings: Settings, data: Any, mesh: jax.sharding.Mesh
) -> tuple[privacy_lib.Plan, Any]:
  """The plan of `config.privacy`, and the data that it draws from.

  Raises:
    UserError: see `engine.privacy`.
  """
  asked = settings.privacy or {}
  keys = registry.call(privacy_lib.Privacy, asked, 'config.privacy')
  privacy_lib.check(settings, keys)
  devices = mesh.shape['data']
  if mesh.size > devices:
    raise UserError(
      'config.privacy divides the batch over devices and nothing else: let '
      'config.mesh.fsdp and tensor be 1'
    )
  if not hasattr(data, 'units'):
    raise UserError(
      f"config.data.name='{settings.data['name']}' has no private plan of its "
      'batches: take images or speech'
    )
  units = data.units(keys.unit)
  plan = privacy_lib.make_plan(
    keys,
    units=units.count,
    batch_size=units.batch_size,
    steps=_total_steps(settings, units.count / units.batch_size),
    devices=devices,
  )
  return plan, units.draw(plan.rate, plan.capacity)


def _plain(keys: Any) -> dict[str, Any]:
  return keys.to_dict() if isinstance(keys, ConfigDict) else dict(keys)


def build(
  config: ConfigDict,
  data_dir: str | None = None,
  *,
  train_batch: bool = True,
  only: str | None = None,
  devices: Sequence[jax.Device] | None = None,  # pyright: ignore
) -> Experiment:
  """Builds everything that a config names; no array is computed yet.

  Args:
    config: of a config file, or of a workdir.
    data_dir: where data sets are looked for.
    train_batch: the training batch must divide over the devices here; False
      where nothing is trained.
    only: a split to be evaluated; the data need no other, and where the config
      has none of this name, it is the data set's own.
    devices: of the mesh; by default all there are.

  Raises:
    UserError: an unknown name or key, or data that are not there.
  """
  keys = _plain(config)
  settings = registry.call(Settings, keys, 'the config', where='config')
  if only is not None:
    splits = {only: settings.data.get('splits', {}).get(only, only)}
    settings = dataclasses.replace(
      settings, data={**settings.data, 'splits': splits}
    )
  data = make_data(settings, data_dir)
  task = registry.build('task', settings.task, info=data.info)
  module = make_module(settings.model, task, settings.quantize, settings.adapt)
  # Of sequences, how many outputs a model has decides what can be trained on.
  data = data.for_model(module)
  mesh = registry.call(
    mesh_lib.make_mesh, settings.mesh, 'config.mesh', devices=devices
  )
  if only is not None:
    return Experiment(settings, data, task, module, mesh)
  plan = None
  if train_batch and settings.privacy is not None:
    plan, data = _private(settings, data, mesh)
  if train_batch:
    for size in data.batch_sizes:
      mesh_lib.check_batch(mesh, size, 'config.data.batch_size')
  for size in data.batch_sizes:
    if size % settings.accumulate_steps:
      raise UserError(
        f'config.data.batch_size={size} does not divide into '
        f'accumulate_steps={settings.accumulate_steps} parts'
      )
  if train_batch and (ready := getattr(task, 'for_training', None)):
    task = ready(settings.data)
  ex = Experiment(settings, data, task, module, mesh, plan)
  # Read now, so that their errors do not come after a compilation.
  _ = ex.total_steps, ex.evaluation, ex.checkpoint
  return ex


def prepare(config: ConfigDict, data_dir: str | None) -> Callable | None:
  """What makes the data that the config's source lacks; None: nothing does."""
  return registry.preparation('source', config.data.source, data_dir=data_dir)


def make_data(settings: Settings, data_dir: str | None) -> Any:
  """The data class of `config.data`, around its source."""
  keys = dict(settings.data)
  if 'source' not in keys:
    raise UserError('config.data has no source')
  source = registry.build('source', keys.pop('source'), data_dir=data_dir)
  return registry.build(
    'data', keys, source=source, seed=settings.seed, data_dir=data_dir
  )


def make_module(
  keys: Any,
  task: Task,
  quantize: Mapping[str, Any] | None = None,
  adapt: Mapping[str, Any] | None = None,
) -> nn.Module:
  """The model of `config.model`, with the outputs of a task.

  Args:
    keys: of `config.model`.
    task: has `num_outputs`.
    quantize: keys of `config.quantize`; None: nothing is rounded.
    adapt: keys of `config.adapt`; None: all parameters are the model's.
  """
  model = dict(keys)
  if 'dtype' in model:
    model['dtype'] = _dtype(model['dtype'])
  # What is put around a module is called as a module is.
  module: Any = registry.build('model', model, num_outputs=task.num_outputs)
  if quantize is not None:
    plan = registry.call(
      quantized_training.make_quantization, quantize, 'config.quantize'
    )
    module = quantized_training.Quantized(module, plan)
  if adapt is not None:
    module = adapt_lib.Adapted(module, registry.build('adaptation', adapt))
  return module


def _dtype(name: str) -> Any:
  if name not in ('float32', 'bfloat16', 'float64'):
    raise UserError(
      f"model dtype '{name}': take float32, bfloat16 (or float64 with x64 on)"
    )
  if name == 'float64' and not jax.config.read('jax_enable_x64'):
    raise UserError(
      'config.model.dtype=float64 needs JAX_ENABLE_X64=1 in the environment: '
      'without it jax computes in float32'
    )
  return jnp.dtype(name)
