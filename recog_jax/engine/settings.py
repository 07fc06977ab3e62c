"""The top level of a config; without jax, so that commands start fast."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from recog_jax.errors import UserError
from recog_jax.ranges import Count, Positive, Rate, Seed, Size
from recog_jax.signatures import FREE, Part


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
    adapt: name and keys of what is added to a model whose own parameters are
      held, `lora` or `adapter`; see `engine.adapt`.
    prune: keys of `make_pruning`: weights that become zero on the way; {} takes
      the defaults.
    quantize: keys of `make_quantization`: training knows of int8; {} takes the
      defaults.
    init_from: keys of `transfer.InitFrom`: where weights come from.
    probe: keys of `probe.Probe`: a linear classifier on fixed features is
      fitted instead of a training; {} takes the defaults.
    privacy: keys of `privacy.Privacy`: training with differential privacy.
    mesh: sizes of the axes `data`, `fsdp`, `tensor`; -1 takes what is left.
    sharding_rules: ordered (regex, spec) on parameter paths, or the name of a
      table alone. Without rules a network with attention takes the table
      `transformer`, another one `fsdp`; see `engine.sharding`.
    parallelism: `pjit` or `pmap`; see `engine.parallelism`, also for the next
      two.
    sync_batch_norm: whether pmap adds up the statistics of all devices.
    reduce_dtype: of the gradients that pmap adds up.
  """

  data: Annotated[Mapping[str, Any], Part('data')]
  task: Annotated[Mapping[str, Any], Part('task')]
  model: Annotated[Mapping[str, Any], Part('model')]
  optimizer: Annotated[Mapping[str, Any], Part('optimizer')]
  schedule: Annotated[Mapping[str, Any], Part('schedule')]
  evaluation: Annotated[
    Mapping[str, Any], Part(factory='recog_jax.engine.settings:Every'), FREE
  ]
  checkpoint: Annotated[
    Mapping[str, Any],
    Part(factory='recog_jax.engine.settings:Checkpointing'),
    FREE,
  ]
  total_epochs: Annotated[Positive | None, FREE] = None
  total_steps: Annotated[Size | None, FREE] = None
  stop_step: Annotated[Count | None, FREE] = None
  seed: Seed = 0
  log_every_steps: Annotated[Size, FREE] = 50
  accumulate_steps: Size = 1
  ema_decay: Rate | None = None
  freeze: Any = ()
  adapt: Annotated[Mapping[str, Any] | None, Part('adaptation')] = None
  prune: Annotated[
    Mapping[str, Any] | None,
    Part(
      factory='recog_jax.compress.pruning:make_pruning',
      given=('params', 'total_steps'),
    ),
  ] = None
  quantize: Annotated[
    Mapping[str, Any] | None,
    Part(factory='recog_jax.compress.training:make_quantization'),
  ] = None
  init_from: Annotated[
    Mapping[str, Any] | None,
    Part(factory='recog_jax.engine.transfer:InitFrom'),
  ] = None
  probe: Annotated[
    Mapping[str, Any] | None, Part(factory='recog_jax.engine.probe:Probe')
  ] = None
  privacy: Annotated[
    Mapping[str, Any] | None, Part(factory='recog_jax.engine.privacy:Privacy')
  ] = None
  mesh: Annotated[
    Mapping[str, int],
    Part(factory='recog_jax.engine.mesh:make_mesh', given=('devices',)),
  ] = dataclasses.field(default_factory=dict)
  sharding_rules: Sequence[Any] = ()
  parallelism: str = 'pjit'
  sync_batch_norm: bool = True
  reduce_dtype: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Every:
  """How often something is done; exactly one of the two is set.

  Attributes:
    every_steps: distance in optimizer steps.
    every_epochs: the same in epochs of the training split.
  """

  every_steps: Size | None = None
  every_epochs: Positive | None = None

  def __post_init__(self):
    if (self.every_steps is None) == (self.every_epochs is None):
      raise UserError(
        'config.evaluation and config.checkpoint need every_steps or '
        'every_epochs, and not both'
      )

  def steps(self, steps_per_epoch: float) -> int:
    """The number of steps between two of them, at least one."""
    if self.every_epochs is not None:
      return max(1, steps_of(self.every_epochs, steps_per_epoch))
    return max(1, self.every_steps or 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpointing(Every):
  """When checkpoints are written, and how many of them stay.

  Attributes:
    keep_latest: so many of the newest stay.
    keep_best: so many of the best by the headline metric on val stay as well.
  """

  keep_latest: Size = 2
  keep_best: Count = 1


def steps_of(epochs: float, steps_per_epoch: float) -> int:
  """Whole steps that cover some epochs."""
  return math.ceil(epochs * steps_per_epoch - 1e-9)
