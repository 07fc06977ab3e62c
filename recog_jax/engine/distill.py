"""Distillation: a task around a task, in which a trained model teaches.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015
(arXiv:1503.02531): to the student's own loss comes the cross-entropy to the
teacher's outputs, both softened by a temperature T; its gradients shrink as
1 / T^2, and it is multiplied by T^2. Of CTC the outputs are the posteriors of
every frame (Takashima et al., "An investigation of a knowledge distillation
method for CTC acoustic models", ICASSP 2018).
"""

import dataclasses
from collections.abc import Mapping, Sequence
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
from recog_jax.tasks.speech.ctc_loss import both_views

_WHERE = 'config.task.teacher'
# What a task does to its inputs before the model, by name: teacher and student
# see the same batch.
_INPUTS = ('images', 'features')
_TERM = 'distill'


class _Shares(dict[str, float]):
  """Factors of terms: the teacher's, and the others times what is left."""

  def __init__(self, own: Mapping[str, float], weight: float, t: float):
    left = {name: factor * (1 - weight) for name, factor in own.items()}
    super().__init__({**left, _TERM: weight * t**2})
    self._own, self._left = own, 1 - weight

  def get(self, key: str, default: Any = None) -> Any:
    if key == _TERM:
      return self[_TERM]
    # Asked there, since names of terms may be more than its keys.
    factor = self._own.get(key, default)
    return factor if factor is None else factor * self._left


def divergence(
  goal: jax.Array, own: jax.Array, temperature: float, kind: str
) -> jax.Array:
  """How far outputs are from those of a teacher, which get no gradient.

  Args:
    goal: `... v`, the teacher's logits.
    own: `... v`, the student's.
    temperature: both are divided by it.
    kind: 'softmax'; 'sigmoid', the mean over v labels; 'mse'.

  Returns:
    `...`, float32, in nats; of 'mse' the mean of the squares.
  """
  goal = jax.lax.stop_gradient(at_least_float32(goal)) / temperature
  own = at_least_float32(own) / temperature
  if kind == 'mse':
    return jnp.square(goal - own).mean(-1)
  if kind == 'sigmoid':
    share = jax.nn.sigmoid(goal)
    on = jax.nn.log_sigmoid(goal) - jax.nn.log_sigmoid(own)
    off = jax.nn.log_sigmoid(-goal) - jax.nn.log_sigmoid(-own)
    return (share * on + (1 - share) * off).mean(-1)
  goal, own = jax.nn.log_softmax(goal), jax.nn.log_softmax(own)
  return (jnp.exp(goal) * (goal - own)).sum(-1)


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
    kind: of `divergence`.
    opened: the teacher, once it was needed.
  """

  task: Task
  teacher: str
  checkpoint: str
  temperature: float
  weight: float
  outputs: tuple[str, ...]
  kind: str
  opened: model_lib.Model | None = None

  def __getattr__(self, name: str) -> Any:
    if name.startswith('__') or name == 'task':
      raise AttributeError(name)
    return getattr(self.task, name)

  @property
  def coefficients(self) -> Mapping[str, float]:
    if self.opened is None:
      return self.task.coefficients
    return _Shares(self.task.coefficients, self.weight, self.temperature)

  def for_training(self, data: Mapping[str, Any]) -> 'Distill':
    """The same with its teacher opened.

    Args:
      data: the keys of `config.data`, whose features must be the teacher's.

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
    for name in ('features', 'sample_rate'):
      theirs, ours = opened.config['data'].get(name), data.get(name)
      if theirs != ours:
        raise UserError(
          f'{_WHERE}={self.teacher} was trained with config.data.{name}='
          f'{theirs}, and the student has {ours}; give both the same'
        )
    # Of the host: an array of one device fits no step on several.
    variables = jax.tree.map(np.asarray, opened.variables)
    opened = dataclasses.replace(opened, variables=variables)
    return dataclasses.replace(self, opened=opened)

  def loss(self, outputs: Outputs, batch: Batch) -> Terms:
    """The student's terms and `distill`.

    That is the divergence of the student's softened outputs from the teacher's,
    in nats: Kullback and Leibler's, which differs from the cross-entropy by
    what no gradient depends on. A mean over rows, of speech over frames.
    """
    terms = self.task.loss(outputs, batch)
    if self.opened is None:
      return terms
    return {**terms, _TERM: self._apart(outputs, batch)}

  def _apart(
    self, outputs: Outputs, batch: Batch
  ) -> tuple[jax.Array, jax.Array]:
    """Sum of the divergences, and number of rows or frames."""
    teacher = self.opened
    assert teacher is not None and teacher.module is not None
    inputs = dict(batch)
    if 'second_view' in batch:  # As the student's own forward pass has them.
      inputs |= both_views(batch)
      inputs['valid'] = jnp.repeat(batch['valid'], 2)
    theirs, _ = teacher.task.forward(
      teacher.module, teacher.variables, inputs, rngs={}, train=False
    )
    for side, found in (('teacher', theirs), ('student', outputs)):
      if 'logits' not in found:
        raise UserError(
          f'config.task: the {side} has no outputs at every frame to learn '
          'from or with: take a model with a head of CTC'
        )
    goal, own = theirs['logits'], outputs['logits']
    if goal.shape != own.shape:
      raise UserError(
        f'{_WHERE}={self.teacher} gives {goal.shape[1]} frames where the '
        f'student gives {own.shape[1]}: give both models the same '
        'config.model.subsample'
      )
    apart = divergence(goal, own, self.temperature, self.kind)
    counted = inputs['valid']
    if 'out_len' in outputs:
      frames = jnp.arange(own.shape[1]) < outputs['out_len'][:, None]
      counted = counted[:, None] & frames
    return (
      jnp.where(counted, apart, 0).sum(),
      counted.sum(dtype=jnp.float32),
    )


def make_distill(
  *,
  info: Any,
  task: Annotated[Mapping[str, Any], Part('task')],
  teacher: str,
  checkpoint: str = 'best',
  temperature: Positive = 2.0,
  weight: Share = 0.5,
) -> Distill:
  """The task of a config.

  Args:
    info: of the data.
    task: name and keys of the student's own task.
    teacher: a workdir; only training needs it.
    checkpoint: of the teacher: 'best', 'latest' or a step.
    temperature: softens both outputs: logits are divided by it.
    weight: of the teacher's term in the loss; 1 learns from it alone.

  Raises:
    UserError: a task that has no logits to learn.
  """
  inner = registry.build('task', task, info=info)
  spec: Any = getattr(inner, 'spec', None)
  if hasattr(spec, 'tokenizer'):
    outputs, kind = tuple(spec.tokenizer.tokens), 'softmax'
  elif hasattr(spec, 'label_names'):
    outputs, kind = tuple(spec.label_names), spec.objective
  else:
    raise UserError(
      f"config.task.task '{task.get('name')}': a teacher is learnt from in "
      'classification, ctc and speech'
    )
  return Distill(
    task=inner,
    teacher=teacher,
    checkpoint=str(checkpoint),
    temperature=float(temperature),
    weight=float(weight),
    outputs=outputs,
    kind=kind,
  )


def _check_outputs(
  teacher: str, theirs: Sequence[str], ours: Sequence[str]
) -> None:
  if tuple(theirs) != tuple(ours):
    raise UserError(
      f'{_WHERE}={teacher} tells apart {len(theirs)} classes or tokens '
      f'({listed(theirs)}), and the student {len(ours)} ({listed(ours)}): they '
      'must be the same in the same order'
    )
