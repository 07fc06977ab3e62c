"""Answers to bags of examples: to a slide by its tiles, or to a patient.

Each example is classified alone; a bag's probabilities are pooled of theirs.
Their maximum fits where a bag is positive as soon as one of its examples is, as
a slide with one metastasis (Campanella et al., "Clinical-grade computational
pathology using weakly supervised deep learning on whole slide images", Nature
Medicine 2019), but is swayed by a single wrong tile; their mean fits where all
examples show the class; the mean of the highest lies between. Bags are then
measured as examples are, with intervals that draw whole bags, or whole persons.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.image.records import person_field
from recog_jax.errors import listed, unknown_name
from recog_jax.metrics import bootstrap
from recog_jax.tasks import fields as fields_lib
from recog_jax.tasks.classification import clinical
from recog_jax.tasks.classification import scores as scores_lib
from recog_jax.tasks.classification.spec import MOST_SCORES, Bag, Spec

Records = Mapping[str, np.ndarray]

_PREFIX = 'bag_'
# Of the counts; what `scores.measures` gives is added.
_COUNTED = ('accuracy', 'f1_macro', 'loss')


@dataclasses.dataclass(frozen=True)
class Pooled:
  """The bags of a split.

  Attributes:
    spec: of the examples.
    records: rows of `Classification.records`, one a bag.
    names: n values of the field.
    counts: n numbers of examples.
    person: the field whose values intervals draw; None: bags.
    clusters: int `n`, the number of each bag's person; None: each alone.
    mixed: bags that are left out, since their examples are of several classes.
  """

  spec: Spec
  records: Records
  names: Sequence[str]
  counts: Sequence[int]
  person: str | None
  clusters: np.ndarray | None
  mixed: Sequence[str]

  def compute(self) -> dict[str, float]:
    """`bag_...`: accuracy, f1_macro, loss, and what the examples have of AUC,
    sensitivity and grades; {} where no bag is left.
    """
    if not self.names:
      return {}
    counted = scores_lib.counted(self.spec, self.records).compute()
    values = {name: counted[name] for name in _COUNTED}
    for measure in self._measures:
      values |= measure.compute()
    return {_PREFIX + name: value for name, value in values.items()}

  def intervals(self) -> bootstrap.Intervals:
    """95 % intervals of the same, but of thresholds."""
    if not self.names:
      return {}
    state, v = (
      scores_lib.counted(self.spec, self.records),
      self.spec.num_outputs,
    )
    found = state.intervals(self.records, v, clusters=self.clusters)
    found = {name: found[name] for name in _COUNTED}
    for measure in self._measures:
      found |= measure.intervals()
    return {_PREFIX + name: low_high for name, low_high in found.items()}

  def notes(self) -> list[str]:
    """Sentences: what bags are, and what is not defined of them."""
    bag = self.spec.bag
    assert bag is not None
    how = f'the {bag.top} highest' if bag.pool == 'top' else f'the {bag.pool}'
    found = [
      f"{len(self.names)} bags, one for each '{bag.field}', by {how} of the "
      "probabilities of a bag's examples; intervals draw whole "
      + (f"values of '{self.person}'" if self.person else 'bags')
    ]
    if self.mixed:
      found.append(
        f'{len(self.mixed)} bags hold examples of several classes and are left '
        f'out: {listed(self.mixed, 3)}'
      )
    if self.names:
      own = {k.removeprefix(_PREFIX): v for k, v in self.compute().items()}
      others = scores_lib.notes(self.spec, self.records, own)
      found += [f'of bags: {note}' for note in others]
    return found

  @functools.cached_property
  def _measures(self) -> list[Any]:
    return scores_lib.measures(self.spec, self.records, self.clusters)


def compute(
  spec: Spec, records: Records, lookup: Any, chosen: clinical.Chosen | None
) -> dict[str, float]:
  """The metrics of bags; {} where none are asked for, or without data."""
  found = None if lookup is None else pooled(spec, records, lookup, chosen)
  return found.compute() if found else {}


def pooled(
  spec: Spec, records: Records, lookup: Any, chosen: clinical.Chosen | None
) -> Pooled | None:
  """The bags of some records; None where none are asked for.

  Args:
    spec: of the records.
    records: of a split.
    lookup: of the split; it must know the field.
    chosen: a temperature of another split; None: 1.

  Raises:
    UserError: the data have no such field; the ones they have are listed.
  """
  bag = spec.bag
  if bag is None:
    return None
  known = fields_lib.fields(lookup, records)
  if bag.field not in known:
    raise unknown_name('field in config.task.bag.field', bag.field, known)
  names, first, codes = np.unique(
    np.asarray(known[bag.field]), return_index=True, return_inverse=True
  )
  codes = codes.ravel()
  target = np.asarray(records['target'])
  p = _probabilities(spec, bag, records, chosen, codes)
  mixed = np.zeros(len(names), bool)
  np.logical_or.at(mixed, codes, target != target[first][codes])
  left = np.flatnonzero(~mixed)
  person = person_field(known)
  clusters = None
  if person and person != bag.field and len(left):
    clusters = bootstrap.codes(np.asarray(known[person])[first[left]])
    if clusters.max() + 1 == len(left):
      person = clusters = None  # Each has one bag.
  return Pooled(
    spec,
    _records(spec, p[left], target[first[left]]),
    names[left].tolist(),
    np.bincount(codes)[left].tolist(),
    person if clusters is not None else None,
    clusters,
    names[mixed].tolist(),
  )


def _probabilities(
  spec: Spec,
  bag: Bag,
  records: Records,
  chosen: clinical.Chosen | None,
  codes: np.ndarray,
) -> np.ndarray:
  """float64 `m v`, of each bag, in sum 1.

  Of two classes the positive one is pooled; of more each is, and they are
  divided by their sum.

  Args:
    spec: of the records.
    bag: how they are pooled.
    records: of n examples.
    chosen: see `pooled`.
    codes: int `n`, the bag of each, 0..m-1.
  """
  p = clinical.probabilities(spec, records, chosen)
  if spec.positive is None:
    each = [_highest(column, codes, bag) for column in p.T]
    found = np.stack(each, 1)
    return found / found.sum(1, keepdims=True)
  score = _highest(p[:, spec.positive], codes, bag)
  pair = [1 - score, score] if spec.positive == 1 else [score, 1 - score]
  return np.stack(pair, 1)


def _highest(score: np.ndarray, codes: np.ndarray, bag: Bag) -> np.ndarray:
  """float64 `m`: the mean of the highest scores of each bag."""
  order = np.lexsort((-score, codes))
  sizes = np.bincount(codes)
  starts = np.cumsum(sizes) - sizes
  rank = np.arange(len(codes)) - starts[codes[order]]
  most = np.array([bag.count(size) for size in sizes])
  taken = rank < most[codes[order]]
  sums = np.bincount(codes[order], np.where(taken, score[order], 0), len(sizes))
  return sums / most


def _records(spec: Spec, p: np.ndarray, target: np.ndarray) -> Records:
  """Rows as `Classification.records` gives them, of bags.

  Args:
    spec: of the examples.
    p: float64 `m v`, probabilities.
    target: int `m`.
  """
  order = np.argsort(-p, 1, kind='stable')
  top = order[:, : min(MOST_SCORES, spec.num_outputs)]
  # As 0 it would have an infinite logarithm.
  logits = np.log(np.maximum(p, np.finfo(np.float64).tiny))
  return {
    'index': np.arange(len(p)),
    'target': target,
    'prediction': p.argmax(1),
    'loss': -logits[np.arange(len(p)), target],
    'logits': logits,
    'score': p.max(1),
    'in_top5': (order[:, :5] == target[:, None]).any(1),
    'top': top,
    'top_score': np.take_along_axis(p, top, 1),
  }
