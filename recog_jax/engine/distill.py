"""Distillation: a task around a task, in which a trained model teaches.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015
(arXiv:1503.02531): to the student's own loss comes the cross-entropy to the
teacher's outputs, both softened by a temperature T; its gradients shrink as
1 / T^2, and it is multiplied by T^2. Of CTC the outputs are the posteriors of
every frame (Takashima et al., "An investigation of a knowledge distillation
method for CTC acoustic models", ICASSP 2018).
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import registry
from recog_jax.engine import model as model_lib
from recog_jax.errors import UserError, listed
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Positive, Share
from recog_jax.signatures import Part
from recog_jax.tasks.base import Batch, Outputs, Task, Terms

_WHERE = 'config.task.teacher'
# What a task does to its inputs before the model, by name: teacher and student
# see the same batch.
_INPUTS = ('images', 'features')


@dataclasses.dataclass(frozen=True)
class Distill:
  """The task; `make_distill` makes it from a config's keys.

  All that is not of the loss is the student's own task's.

  Attributes:
    task: the student's.
    teacher: a workdir; opened by `for_training` alone, so that the student's
      workdir opens where the teacher is not.
    checkpoint: of the teacher.
    temperature: T.
    weight: of the teacher's term; the student's own have one minus this.
    outputs: names of the student's outputs.
    opened: the teacher, once it was needed.
  """

  task: Task
  teacher: str
  checkpoint: str
  temperature: float
  weight: float
  outputs: tuple[str, ...]
  opened: model_lib.Model | None = None

  def __getattr__(self, name: str) -> Any:
    if name.startswith('__') or name == 'task':
      raise AttributeError(name)
    return getattr(self.task, name)

  @property
  def coefficients(self) -> Mapping[str, float]:
    return self.task.coefficients

  def for_training(self) -> 'Distill':
    """The same with its teacher opened.

    Raises:
      UserError: no teacher there, or one of other outputs or other inputs.
    """
    opened = model_lib.load(self.teacher, checkpoint=self.checkpoint)
    if opened.module is None:
      raise UserError(
        f'{_WHERE}={self.teacher} is an exported model, which no step of a '
        'training can contain: give the workdir that it was exported from'
      )
    _check_outputs(self.teacher, opened.labels, self.outputs)
    for name in _INPUTS:
      theirs, ours = (getattr(t, name, None) for t in (opened.task, self.task))
      if theirs != ours:
        raise UserError(
          f'{_WHERE}={self.teacher} takes other inputs than the student: '
          f'{theirs} there and {ours} here; give both the same'
        )
    # Of the host: an array of one device fits no step on several.
    variables = jax.tree.map(np.asarray, opened.variables)
    opened = dataclasses.replace(opened, variables=variables)
    return dataclasses.replace(self, opened=opened)

  def loss(self, outputs: Outputs, batch: Batch) -> Terms:
    """The student's terms, each by its share, and `distill`.

    That is the divergence of the student's softened outputs from the teacher's,
    in nats: Kullback and Leibler's, which differs from the cross-entropy by
    what no gradient depends on. A mean over rows, of speech over frames.
    """
    terms = self.task.loss(outputs, batch)
    if self.opened is None:
      return terms
    factors = self.task.coefficients
    scaled = {
      name: (total * (1 - self.weight), weight)
      for name, (total, weight) in terms.items()
    }
    assert 'distill' not in factors
    apart, weight = self._apart(outputs, batch)
    scaled['distill'] = (self.weight * self.temperature**2 * apart, weight)
    return scaled

  def metrics(self, outputs: Outputs, batch: Batch) -> Any:
    return self.task.metrics(outputs, batch)

  def _apart(
    self, outputs: Outputs, batch: Batch
  ) -> tuple[jax.Array, jax.Array]:
    """Sum of the divergences, and number of rows or frames."""
    teacher = self.opened
    assert teacher is not None and teacher.module is not None
    inputs = dict(batch)
    if 'second_view' in batch:  # As the student's own forward pass has them.
      both = jnp.stack([batch['inputs'], batch['second_view']], axis=1)
      inputs['inputs'] = both.reshape(-1, *both.shape[2:])
      for name in ('input_len', 'valid'):
        inputs[name] = jnp.repeat(batch[name], 2)
    theirs, _ = teacher.task.forward(
      teacher.module, teacher.variables, inputs, rngs={}, train=False
    )
    goal, own = theirs['logits'], outputs['logits']
    if goal.shape != own.shape:
      raise UserError(
        f'{_WHERE}={self.teacher} gives {goal.shape[1]} frames where the '
        f'student gives {own.shape[1]}: give both models the same '
        'config.model.subsample'
      )
    apart = divergence(jax.lax.stop_gradient(goal), own, self._kind)
    apart = apart / self.temperature**2 if self._kind == 'mse' else apart
    counted = inputs['valid']
    if 'out_len' in outputs:
      frames = jnp.arange(own.shape[1]) < outputs['out_len'][:, None]
      counted = counted[:, None] & frames
    return (
      jnp.where(counted, apart, 0).sum(),
      counted.sum(dtype=jnp.float32),
    )
