"""What only the host can tell of an evaluation: rankings and grades.

The devices count; a ranking of all scores, and the agreement of grades, come
from the records.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recog_jax.errors import warn
from recog_jax.metrics.classification import MultiClass, MultiLabel, Regression
from recog_jax.metrics.kappa import Grades
from recog_jax.metrics.roc import THRESHOLD, OneVersusRest, TwoClasses

if TYPE_CHECKING:
  from recog_jax.tasks.classification.task import Classification

Records = Mapping[str, np.ndarray]

_NAMED = 5  # Classes that a note names at most.


def counted(
  task: Classification, records: Records
) -> MultiClass | MultiLabel | Regression:
  """The state that the devices count too, from the records."""
  if task.regression:
    return Regression.from_records(records)
  kind = MultiLabel if task.multi_label else MultiClass
  return kind.from_records(records, task.num_outputs)


def measures(
  task: Classification, records: Records
) -> list[TwoClasses | OneVersusRest | Grades]:
  """What the task wants of the records beside the counts."""
  found = []
  if task.auc:
    scores = _scores(task, records['logits'])
    target, v = records['target'], task.num_outputs
    if task.positive is not None:
      found.append(
        TwoClasses(
          scores[:, task.positive],
          target == task.positive,
          records['prediction'] == task.positive,
        )
      )
    else:
      has = target > 0.5 if task.multi_label else target[:, None] == range(v)
      found.append(OneVersusRest(scores, has))
  if task.ordinal:
    found.append(Grades(records['target'], records['prediction']))
  return found


def _scores(task: Classification, logits: np.ndarray) -> np.ndarray:
  """Probabilities `n v`; with mean squared error the outputs themselves.

  In float64: in float32 all that is nearer to 1 than 6e-8 would be one score.
  """
  logits = np.asarray(logits, np.float64)
  if task.objective == 'softmax':
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)
  if task.objective == 'sigmoid':
    return np.exp(-np.logaddexp(0, -logits))
  return logits


def compute(task: Classification, records: Records) -> dict[str, float]:
  """The metrics of `measures`; says so where that of the headline is NaN."""
  values: dict[str, float] = {}
  for measure in measures(task, records):
    values |= measure.compute()
  if np.isnan(values.get(task.headline, 0)):
    for note in notes(task, records, values):
      _say_once(f'{note}; no checkpoint can be chosen by {task.headline}')
  return values


def headlines(task: Classification) -> list[str]:
  """The metrics that may choose the best checkpoint."""
  shape = (1, task.num_outputs) if task.multi_label else 1
  one = {
    'target': np.zeros(shape, np.int64),
    'prediction': np.zeros(shape, np.int64),
    'loss': np.zeros(1),
    'in_top5': np.ones(1, bool),
    'logits': np.zeros((1, task.num_outputs)),
  }
  names = [*counted(task, one).compute()]
  for measure in measures(task, one):
    names += [name for name in measure.compute() if name != THRESHOLD]
  return names


def notes(
  task: Classification, records: Records, values: Mapping[str, float]
) -> list[str]:
  """Sentences on metrics that are not defined on these records.

  Args:
    task: of the records.
    records: of a split.
    values: the metrics of `compute`.
  """
  result = []
  if task.auc and np.isnan(records['logits']).any():
    result.append('auc is not defined, as the model gives NaN')
  elif task.auc:
    has = records['target'] > 0.5
    if not task.multi_label:
      has = records['target'][:, None] == range(task.num_outputs)
    left_out = (has.sum(0) == 0) | (has.sum(0) == len(has))
    names = np.asarray(task.label_names)[left_out].tolist()
    if task.positive is not None and names:
      absent = np.asarray(task.label_names)[has.sum(0) == 0].item()
      undefined = [name for name, value in values.items() if np.isnan(value)]
      result.append(
        f"this split has no example of '{absent}': not defined are "
        + ', '.join(undefined)
      )
    elif names:
      result.append(
        f'auc is of the other {len(left_out) - len(names)} classes: none or '
        f'all of the examples of this split are {_listed(names)}'
      )
  if task.ordinal and np.isnan(values['quadratic_kappa']):
    result.append(
      'quadratic_kappa is not defined: all examples of this split have one '
      'grade, and were given it'
    )
  return result


def _listed(names: Sequence[str]) -> str:
  quoted = [f"'{name}'" for name in names[:_NAMED]]
  if len(names) > _NAMED:
    quoted.append(f'{len(names) - _NAMED} more')
  return ', '.join(quoted)


@functools.cache
def _say_once(text: str) -> None:
  """A training evaluates the same split again and again."""
  warn(text)
