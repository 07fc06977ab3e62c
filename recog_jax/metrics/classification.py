"""Metrics of image classification: one label or several.

Each class here is a pytree of sums: `from_outputs` works inside jit, two states
merge by adding leaf to leaf (so `psum` over devices merges too), and `compute`
divides on the host. Counts are integers, so the result does not depend on how
the examples were cut into batches. `from_records` builds the same state from
rows that were gathered on the host, and `intervals` bootstraps from them.

Precision, recall and F1 follow scikit-learn with `zero_division=0`: a ratio
0/0 counts as 0.
"""

from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from recog_jax.metrics import bootstrap

Records = Mapping[str, np.ndarray]

_SCORES = ('precision', 'recall', 'f1')
_AVERAGES = [f'{s}_{a}' for s in _SCORES for a in ('macro', 'weighted')]


def class_scores(hits, predicted, actual) -> dict[str, np.ndarray]:
  """Precision, recall and F1 of each class.

  Args:
    hits: `... v`, examples of a class that were predicted as that class.
    predicted: `... v`, examples predicted as a class.
    actual: `... v`, examples of a class.

  Returns:
    'precision', 'recall' and 'f1', each float64 `... v`.
  """
  return {
    'precision': _ratio(hits, predicted),
    'recall': _ratio(hits, actual),
    'f1': _ratio(2 * np.asarray(hits), np.add(predicted, actual)),
  }


def average_scores(
  hits, predicted, actual, *, absent: bool
) -> dict[str, np.ndarray]:
  """Macro and weighted averages of `class_scores` over the last axis.

  Args:
    hits: `... v`, see `class_scores`.
    predicted: `... v`.
    actual: `... v`.
    absent: whether a class that is neither predicted nor present counts (as 0)
      in the macro average. scikit-learn leaves it out where an example has one
      label, and counts it where it has several.
  """
  counted = np.add(predicted, actual) > 0
  if absent:
    counted = np.ones_like(counted)
  result = {}
  for name, score in class_scores(hits, predicted, actual).items():
    result[f'{name}_macro'] = _ratio((score * counted).sum(-1), counted.sum(-1))
    result[f'{name}_weighted'] = _ratio(
      (score * actual).sum(-1), np.sum(actual, -1)
    )
  return result


def confusion_matrix(target, prediction, num_classes: int) -> np.ndarray:
  """int64 `v v`: rows are true classes, columns predicted ones."""
  cell = np.asarray(target, np.int64) * num_classes + prediction
  counts = np.bincount(cell, minlength=num_classes**2)
  return counts.reshape(num_classes, num_classes)


def in_top_k(logits: jax.Array, targets: jax.Array, k: int) -> jax.Array:
  """bool `b`: fewer than k classes come before the true one.

  Of equal logits the lower class comes first, as in argmax. A true class whose
  logit is NaN comes last.

  Args:
    logits: `b v`.
    targets: int `b`.
    k: how many of the best classes count.
  """
  own = jnp.take_along_axis(logits, targets[:, None], axis=1)
  later = jnp.arange(logits.shape[1]) >= targets[:, None]
  before = ~(logits < own) & ~((logits == own) & later)
  return before.sum(1) < k


class _Sums:
  """What the states share: merging, and the examples there must be."""

  def merge(self, other: Self) -> Self:
    """The state of both sets of examples together."""
    return jax.tree.map(lambda a, b: a + b, self, other)

  def _examples(self) -> int:
    if not int(self.count):
      raise ValueError('no examples: there is nothing to compute metrics of')
    return int(self.count)


@struct.dataclass
class MultiClass(_Sums):
  """One label an example.

  Attributes:
    count: int `()`, examples.
    in_top5: int `()`, examples whose class is among the five best.
    hits: int `v`, right predictions of each class.
    predicted: int `v`, predictions of each class.
    actual: int `v`, examples of each class.
    loss: float `()`, sum over the examples.
  """

  count: Any
  in_top5: Any
  hits: Any
  predicted: Any
  actual: Any
  loss: Any

  @staticmethod
  def names(num_classes: int) -> list[str]:
    """What `compute` gives, in its order."""
    top5 = ['top5_accuracy'] if num_classes > 5 else []
    return ['accuracy', *top5, *_AVERAGES, 'loss']

  @classmethod
  def empty(cls, num_classes: int) -> 'MultiClass':
    """The state of no examples."""
    zero, row = jnp.int32(0), jnp.zeros(num_classes, jnp.int32)
    return cls(zero, zero, row, row, row, jnp.float32(0))

  @classmethod
  def from_outputs(cls, logits, targets, valid, loss) -> 'MultiClass':
    """The state of one batch.

    Args:
      logits: float `b v`.
      targets: int `b`.
      valid: bool `b`, False on padding rows, which do not count.
      loss: float `b`.
    """
    one = valid.astype(jnp.int32)
    row = jnp.zeros(logits.shape[1], jnp.int32)
    guess = logits.argmax(1)
    return cls(
      count=one.sum(),
      in_top5=(in_top_k(logits, targets, 5) & valid).sum(dtype=jnp.int32),
      hits=row.at[guess].add(one * (guess == targets)),
      predicted=row.at[guess].add(one),
      actual=row.at[targets].add(one),
      loss=jnp.where(valid, loss, 0).sum(dtype=jnp.float32),
    )

  @classmethod
  def from_records(cls, records: Records, num_classes: int) -> 'MultiClass':
    """The state of rows with 'prediction', 'target', 'loss' and 'in_top5'."""
    target, guess = records['target'], records['prediction']

    def per_class(labels):
      return np.bincount(labels, minlength=num_classes)

    return cls(
      count=len(target),
      in_top5=int(np.sum(records['in_top5'])),
      hits=per_class(target[target == guess]),
      predicted=per_class(guess),
      actual=per_class(target),
      loss=np.sum(records['loss'], dtype=np.float64),
    )

  def compute(self) -> dict[str, float]:
    """Accuracy, top-5 (of more than five classes), averages and the loss."""
    count, hits = self._examples(), np.asarray(self.hits)
    result = {'accuracy': hits.sum() / count}
    if len(hits) > 5:
      result['top5_accuracy'] = int(self.in_top5) / count
    result |= average_scores(
      hits, np.asarray(self.predicted), np.asarray(self.actual), absent=False
    )
    result['loss'] = self.loss / count
    return {name: float(value) for name, value in result.items()}

  @staticmethod
  def intervals(
    records: Records,
    num_classes: int,
    *,
    clusters: np.ndarray | None = None,
    seed: int = 0,
  ):
    """95 % bootstrap interval of every metric of `compute`, by its name.

    To draw examples with replacement is to draw the cells of the confusion
    matrix from a multinomial distribution, which is exact and much cheaper.

    Args:
      records: rows with 'prediction', 'target', 'loss' and 'in_top5'.
      num_classes: v.
      clusters: int `n`, of 0..c-1, the patients, whose examples are drawn
        together; None: each alone.
      seed: of the resampling.
    """
    cell = records['target'].astype(np.int64) * num_classes
    kinds, cell = np.unique(cell + records['prediction'], return_inverse=True)
    actual, guess = kinds // num_classes, kinds % num_classes

    def statistic(counts):
      hits = np.where(actual == guess, counts, 0)
      averages = average_scores(
        _sum_by(hits, actual, num_classes),
        _sum_by(counts, guess, num_classes),
        _sum_by(counts, actual, num_classes),
        absent=False,
      )
      return {'accuracy': hits.sum(1) / counts.sum(1), **averages}

    result = bootstrap.of_cells(statistic, cell.ravel(), clusters, seed=seed)
    if num_classes > 5:
      result |= bootstrap.of_mean(
        'top5_accuracy', records['in_top5'], clusters, seed=seed
      )
    return result | bootstrap.of_mean(
      'loss', records['loss'], clusters, seed=seed
    )


@struct.dataclass
class MultiLabel(_Sums):
  """Any number of labels an example.

  Attributes:
    count: int `()`, examples.
    exact: int `()`, examples of which all labels are right.
    hits: int `v`, right positive predictions of each label.
    predicted: int `v`, positive predictions of each label.
    actual: int `v`, examples that have the label.
    loss: float `()`, sum over the examples.
  """

  count: Any
  exact: Any
  hits: Any
  predicted: Any
  actual: Any
  loss: Any

  @staticmethod
  def names(num_labels: int) -> list[str]:
    """What `compute` gives, in its order."""
    del num_labels
    micro = [f'{score}_micro' for score in _SCORES]
    return ['accuracy', *_AVERAGES, *micro, 'loss']

  @classmethod
  def empty(cls, num_labels: int) -> 'MultiLabel':
    """The state of no examples."""
    zero, row = jnp.int32(0), jnp.zeros(num_labels, jnp.int32)
    return cls(zero, zero, row, row, row, jnp.float32(0))

  @classmethod
  def from_outputs(cls, logits, targets, valid, loss) -> 'MultiLabel':
    """The state of one batch.

    Args:
      logits: float `b v`; a label is predicted where it is positive.
      targets: `b v`, 1 where an example has the label, 0 where it has not,
        and NaN where that is not known, which does not count.
      valid: bool `b`, False on padding rows, which do not count.
      loss: float `b`.
    """
    guess, target = logits > 0, targets > 0.5
    known = ~jnp.isnan(targets.astype(jnp.float32))
    row = valid[:, None] & known
    exact = ((guess == target) | ~known).all(1)
    return cls(
      count=valid.sum(dtype=jnp.int32),
      exact=(exact & valid).sum(dtype=jnp.int32),
      hits=(guess & target & row).sum(0, dtype=jnp.int32),
      predicted=(guess & row).sum(0, dtype=jnp.int32),
      actual=(target & row).sum(0, dtype=jnp.int32),
      loss=jnp.where(valid, loss, 0).sum(dtype=jnp.float32),
    )

  @classmethod
  def from_records(cls, records: Records, num_labels: int) -> 'MultiLabel':
    """The state of rows with 'prediction' and 'target' (`v`) and 'loss'."""
    sums = _label_rows(records).sum(0, dtype=np.int64)
    hits, predicted, actual = sums[2:].reshape(3, num_labels)
    loss = np.sum(records['loss'], dtype=np.float64)
    return cls(sums[0], sums[1], hits, predicted, actual, loss)

  def compute(self) -> dict[str, float]:
    """Accuracy (all labels of an example right), averages and the loss."""
    count = self._examples()
    sums = (np.asarray(x) for x in (self.hits, self.predicted, self.actual))
    result = {'accuracy': int(self.exact) / count, **_label_averages(*sums)}
    result['loss'] = self.loss / count
    return {name: float(value) for name, value in result.items()}

  @staticmethod
  def intervals(
    records: Records,
    num_labels: int,
    *,
    clusters: np.ndarray | None = None,
    seed: int = 0,
  ):
    """As `MultiClass.intervals`."""
    del num_labels

    def statistic(sums):
      hits, predicted, actual = np.split(sums[:, 2:], 3, axis=1)
      averages = _label_averages(hits, predicted, actual)
      return {'accuracy': sums[:, 1] / sums[:, 0], **averages}

    rows = bootstrap.by_cluster(_label_rows(records), clusters)
    result = bootstrap.of_rows(statistic, rows, seed=seed)
    return result | bootstrap.of_mean(
      'loss', records['loss'], clusters, seed=seed
    )


def _ratio(numerator, denominator) -> np.ndarray:
  """Quotient in float64; 0/0 is 0."""
  denominator = np.asarray(denominator, np.float64)
  safe = np.where(denominator == 0, 1, denominator)
  return np.where(denominator == 0, 0.0, numerator / safe)


def _sum_by(values: np.ndarray, group: np.ndarray, size: int) -> np.ndarray:
  """Sums int `n k` columns that have one group number (int `k`): `n size`."""
  order = np.argsort(group, kind='stable')
  groups, start = np.unique(group[order], return_index=True)
  result = np.zeros((len(values), size), values.dtype)
  result[:, groups] = np.add.reduceat(values[:, order], start, axis=1)
  return result


def _label_rows(records: Records) -> np.ndarray:
  """bool `n 2+3v`: 1, exact, then hits, predicted and actual of each label."""
  guess = np.asarray(records['prediction'], bool)
  target = np.asarray(records['target'])
  known = ~np.isnan(target.astype(np.float64))
  target = target > 0.5
  exact = ((guess == target) | ~known).all(1, keepdims=True)
  one = np.ones_like(exact)
  counted = [guess & target & known, guess & known, target]
  return np.concatenate([one, exact, *counted], axis=1)


def _label_averages(hits, predicted, actual) -> dict[str, np.ndarray]:
  result = average_scores(hits, predicted, actual, absent=True)
  micro = class_scores(hits.sum(-1), predicted.sum(-1), actual.sum(-1))
  return result | {f'{name}_micro': score for name, score in micro.items()}
