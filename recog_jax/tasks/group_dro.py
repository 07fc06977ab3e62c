"""Group DRO: a task around a task, for which the worst group counts.

Sagawa, Koh, Hashimoto and Liang, "Distributionally robust neural networks for
group shifts", ICLR 2020 (arXiv:1911.08731), algorithm 1. The loss is the sum of
the groups' mean losses, each weighted by q; after a batch the weights of groups
with a high loss have grown, by an exponentiated gradient step. With a step of 0
they stay equal, which is reweighting. q is state of the training, and in its
checkpoints.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import registry
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.metrics import fairness
from recog_jax.ranges import NotNegative
from recog_jax.signatures import Part
from recog_jax.tasks import fields as fields_lib
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records, Task, Terms

_STATE = 'group_dro'
_MOST = 100  # Groups: each has a term of the loss.
_WHERE = 'config.task'


class _Each(dict[str, float]):
  """Factors of a task's terms for those of its groups, `NAME/GROUP`."""

  def __init__(self, own: Mapping[str, float]):
    super().__init__(own)
    self._own = own

  def get(self, key: str, default: Any = None) -> Any:
    return self._own.get(key.partition('/')[0], default)


@dataclasses.dataclass(frozen=True)
class GroupDro:
  """The task; `make_group_dro` makes it from a config's keys.

  All that is not of the loss is the inner task's.

  Attributes:
    task: the inner one.
    fields: whose values, crossed, are the groups.
    names: of the groups.
    training: gives n values of each field, of the training examples; None where
      there are none.
    step_size: eta, of the groups' weights.
    adjustment: C, see `make_group_dro`.
    by_worst: whether the worst group chooses the best checkpoint.
  """

  task: Task
  fields: tuple[str, ...]
  names: tuple[str, ...]
  training: Callable[[], Mapping[str, Sequence[str]]] | None
  step_size: float
  adjustment: float
  by_worst: bool

  def __getattr__(self, name: str) -> Any:
    if name.startswith('__') or name == 'task':
      raise AttributeError(name)
    return getattr(self.task, name)

  def for_training(self, data: Mapping[str, Any]) -> 'GroupDro':
    """The same around what the inner task is in training."""
    ready = getattr(self.task, 'for_training', None)
    return dataclasses.replace(self, task=ready(data)) if ready else self

  @property
  def coefficients(self) -> Mapping[str, float]:
    return _Each(self.task.coefficients)

  @property
  def headline(self) -> str:
    return 'worst_group' if self.by_worst else self.task.headline

  @property
  def higher_is_better(self) -> bool:
    if not self.by_worst:
      return self.task.higher_is_better
    # As `by_example` has it: right answers, or errors.
    if self._labels:
      return True
    errors = hasattr(self.task, 'target_names') or hasattr(self.task, 'decoder')
    return not errors and self.task.higher_is_better

  @property
  def _labels(self) -> Sequence[str]:
    return getattr(getattr(self.task, 'spec', None), 'label_names', ())

  def measured(self) -> dict[str, Any]:
    """The inner task's, and the names of the groups."""
    own = getattr(self.task, 'measured', dict)()
    return {**own, f'{_STATE}.groups': list(self.names)}

  # -- on the device ----------------------------------------------------------

  @functools.cached_property
  def _codes(self) -> np.ndarray:
    """int32 `n`, the group of each training example."""
    assert self.training is not None  # Nothing else is trained on.
    values = _crossed(self.training(), self.fields)
    numbers = {name: i for i, name in enumerate(self.names)}
    return np.array([numbers[v] for v in values], np.int32)

  def init(
    self, module: nn.Module, rngs: Mapping[str, jax.Array], batch: Batch
  ) -> Any:
    count = len(self.names)
    equal = jnp.full(count, 1 / count, jnp.float32)
    return {**self.task.init(module, rngs, batch), _STATE: {'q': equal}}

  def forward(
    self,
    module: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    rngs: Mapping[str, jax.Array],
    train: bool,
  ) -> tuple[Outputs, dict[str, Any]]:
    """The inner task's; in training with the new weights of the groups."""
    own = {k: v for k, v in variables.items() if k != _STATE}
    outputs, updated = self.task.forward(
      module, own, batch, rngs=rngs, train=train
    )
    if not train:
      return outputs, updated
    terms = self._by_group(jax.lax.stop_gradient(outputs), batch)
    losses = jnp.zeros(len(self.names))
    seen = jnp.zeros(len(self.names), bool)
    for name, (total, weight) in terms.items():
      factor = self.task.coefficients.get(name, 1.0)
      losses += factor * total / jnp.where(weight > 0, weight, 1)
      seen |= weight > 0
    # A group that is not in the batch keeps its weight.
    sizes = np.maximum(np.bincount(self._codes, minlength=len(self.names)), 1)
    losses += self.adjustment / np.sqrt(sizes)
    steps = jnp.where(seen, self.step_size * losses, 0)
    q = variables[_STATE]['q'] * jnp.exp(steps)
    q = jax.lax.stop_gradient(q / q.sum())
    outputs = {**outputs, _STATE: q}
    return outputs, {**updated, _STATE: {'q': q}}

  def _by_group(self, outputs: Outputs, batch: Batch) -> Terms:
    """The terms of the inner loss, sums and weights of each group.

    The losses of the rows, which do not depend on the group, are computed once.
    """
    codes = jnp.asarray(self._codes)[batch['index']]
    masks = codes == jnp.arange(len(self.names))[:, None]

    def of(mask):
      rows = {**batch, 'valid': batch['valid'] & mask}
      return self.task.loss(outputs, rows)

    return jax.vmap(of)(masks)

  def loss(self, outputs: Outputs, batch: Batch) -> Terms:
    """`NAME/GROUP`, the terms of each group times its weight.

    Each is divided by its own global weight: on several devices too the sum is
    that of the groups' means.
    """
    if _STATE not in outputs:
      return self.task.loss(outputs, batch)
    q = outputs[_STATE]
    return {
      f'{name}/{group}': (q[i] * total[i], weight[i])
      for name, (total, weight) in self._by_group(outputs, batch).items()
      for i, group in enumerate(self.names)
    }

  # -- on the host ------------------------------------------------------------

  def compute(
    self, state: Any, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """The inner task's metrics, and `worst_group`, that of the worst group."""
    found = self.task.compute(state, records, lookup)
    known = fields_lib.fields(lookup, records, self._labels)
    if missing := [name for name in self.fields if name not in known]:
      if self.by_worst:
        raise unknown_name(f'field of {_WHERE}.fields', missing[0], known)
      return found
    scores = self.task.by_example(records, lookup)
    names, codes = np.unique(_crossed(known, self.fields), return_inverse=True)
    sums = [np.bincount(codes, x, len(names)) for x in
            (scores.numerator, scores.denominator)]  # fmt: skip
    rates = sums[0] / np.maximum(sums[1], 1e-12)
    worst = rates.min() if scores.higher_is_better else rates.max()
    return {**found, 'worst_group': float(worst)}


def _crossed(
  values: Mapping[str, Sequence[str]], names: Sequence[str]
) -> list[str]:
  """n values of one field, or of all crossed."""
  return list(fairness.crossed(values, names).values())[-1]


def make_group_dro(
  *,
  info: Any,
  task: Annotated[Mapping[str, Any], Part('task')],
  fields: Sequence[str],
  groups: Sequence[str] | None = None,
  step_size: NotNegative = 0.01,
  adjustment: NotNegative = 0.0,
  by_worst: bool = True,
) -> GroupDro:
  """The task of a config.

  Args:
    info: of the data.
    task: name and keys of the inner task.
    fields: of the data, whose values are the groups, crossed where there are
      several; the class is the field `label`.
    groups: names of the groups; by default those of the training examples.
    step_size: of the groups' weights; at 0 all groups count the same.
    adjustment: of a group's loss in its weight, over the root of its size:
      small groups, which are easily learnt by heart, weigh more.
    by_worst: the metric of the worst group, `worst_group`, chooses the best
      checkpoint.

  Raises:
    UserError: a field that the data lack, or that has one value or too many.
  """
  inner = registry.build('task', task, info=info)
  names = tuple(fields)
  training = getattr(info, 'training_fields', None)
  if groups is None:
    if training is None:
      raise UserError(
        f'{_WHERE}.fields={listed(names)}: these data do not say of what '
        'groups their training examples are: take a source with such fields, a '
        'table for example'
      )
    known = training()
    for name in names:
      if name not in known:
        raise unknown_name(f'field of {_WHERE}.fields', name, known)
    groups = sorted(set(_crossed(known, names)))
  if not 1 < len(groups) <= _MOST:
    raise UserError(
      f'{_WHERE}.fields={listed(names)} makes {len(groups)} groups '
      f'({listed(groups)}): there must be 2 to {_MOST}'
    )
  return GroupDro(
    task=inner,
    fields=names,
    names=tuple(groups),
    training=training,
    step_size=float(step_size),
    adjustment=float(adjustment),
    by_worst=by_worst,
  )
