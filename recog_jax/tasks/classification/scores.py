"""What only the host can tell of an evaluation: rankings and grades.

The devices count; a ranking of all scores, and the agreement of grades, come
from the records.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from recog_jax.errors import warn
from recog_jax.metrics.calibration import probabilities
from recog_jax.metrics.classification import MultiClass, MultiLabel
from recog_jax.metrics.fairness import Scores
from recog_jax.metrics.kappa import Grades
from recog_jax.metrics.roc import OneVersusRest, TwoClasses
from recog_jax.tasks.classification.spec import Spec

Records = Mapping[str, np.ndarray]

_NAMED = 5  # Classes that a note names at most.


def counted(spec: Spec, records: Records) -> MultiClass | MultiLabel:
  """The state that the devices count too, from the records."""
  kind = MultiLabel if spec.multi_label else MultiClass
  return kind.from_records(records, spec.num_outputs)


def measures(
  spec: Spec, records: Records, clusters: np.ndarray | None = None
) -> list[TwoClasses | OneVersusRest | Grades]:
  """What is wanted of the records beside the counts.

  Args:
    spec: of the records.
    records: of a split.
    clusters: int `n`, whom intervals draw together; None: each alone.
  """
  found = []
  if spec.auc:
    scores = _scores(spec, records['logits'])
    target, v = records['target'], spec.num_outputs
    if spec.positive is not None:
      found.append(
        TwoClasses(
          scores[:, spec.positive],
          target == spec.positive,
          records['prediction'] == spec.positive,
          clusters,
        )
      )
    elif spec.multi_label:
      known = ~np.isnan(target)
      found.append(OneVersusRest(scores, target > 0.5, known, clusters))
    else:
      has = target[:, None] == range(v)
      found.append(OneVersusRest(scores, has, None, clusters))
  if spec.ordinal:
    found.append(Grades(records['target'], records['prediction'], clusters))
  return found


def _scores(spec: Spec, logits: np.ndarray) -> np.ndarray:
  """Probabilities `n v`; with mean squared error the outputs themselves."""
  if spec.objective == 'mse':
    return np.asarray(logits, np.float64)
  return probabilities(logits, sigmoid=spec.objective == 'sigmoid')


def compute(spec: Spec, records: Records) -> dict[str, float]:
  """The metrics of `measures`; says so where that of the headline is NaN."""
  values: dict[str, float] = {}
  for measure in measures(spec, records):
    values |= measure.compute()
  if np.isnan(values.get(spec.headline, 0)):
    for note in notes(spec, records, values):
      _say_once(f'{note}; no checkpoint can be chosen by {spec.headline}')
  return values


def headlines(spec: Spec) -> list[str]:
  """The metrics that may choose the best checkpoint."""
  kind = MultiLabel if spec.multi_label else MultiClass
  names = kind.names(spec.num_outputs)
  if spec.auc:
    names += (OneVersusRest if spec.positive is None else TwoClasses).NAMES
  if spec.ordinal:
    names += Grades.NAMES
  if spec.bag is not None:
    names = [*names, *(f'bag_{name}' for name in names)]
  return names


def notes(
  spec: Spec, records: Records, values: Mapping[str, float]
) -> list[str]:
  """Sentences on metrics that are not defined on these records.

  Args:
    spec: of the records.
    records: of a split.
    values: the metrics of `compute`.
  """
  result = []
  if spec.auc and np.isnan(records['logits']).any():
    result.append('auc is not defined, as the model gives NaN')
  elif spec.auc:
    has = records['target'] > 0.5
    if not spec.multi_label:
      has = records['target'][:, None] == range(spec.num_outputs)
    count = len(has)
    if spec.multi_label:
      count = (~np.isnan(records['target'])).sum(0)
    left_out = (has.sum(0) == 0) | (has.sum(0) == count)
    names = np.asarray(spec.label_names)[left_out].tolist()
    if spec.positive is not None and names:
      absent = np.asarray(spec.label_names)[has.sum(0) == 0].item()
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
  if spec.ordinal and np.isnan(values['quadratic_kappa']):
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


def by_example(spec: Spec, records: Records) -> Scores:
  """What groups of examples are compared by."""
  predicted = np.asarray(records['prediction'])
  target = np.asarray(records['target'])
  if spec.multi_label:
    known = ~np.isnan(target)
    right = ((predicted == (target > 0.5)) & known).sum(1)
    return Scores('label_accuracy', True, right, known.sum(1))
  right = (predicted == target).astype(np.float64)
  confidence = None
  if spec.objective == 'softmax':
    confidence = np.asarray(records['score'], np.float64)
  return Scores(
    'accuracy',
    True,
    right,
    np.ones(len(right)),
    target=target,
    predicted=predicted,
    confidence=confidence,
  )
