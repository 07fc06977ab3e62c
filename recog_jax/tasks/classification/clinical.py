"""What probabilities and decisions of a classification are worth.

Of a split that was not trained on (`val`) come a temperature and thresholds;
another split (`test`) says what they are worth. What is chosen is JSON, which a
workdir keeps with the step of its checkpoint.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.errors import UserError
from recog_jax.metrics import bootstrap, calibration, operating_point
from recog_jax.metrics.calibration import Bins, Calibration
from recog_jax.metrics.operating_point import Point
from recog_jax.tasks.classification.spec import Spec

Records = Mapping[str, np.ndarray]
# What `choose` gives.
Chosen = Mapping[str, Any]

# Thresholds of the decision curve.
CURVE = np.arange(1, 100) / 100


def temperature(chosen: Chosen | None) -> float:
  """That of what was chosen; 1 where nothing was."""
  return 1.0 if chosen is None else float(chosen['temperature'])


def probabilities(
  spec: Spec, records: Records, chosen: Chosen | None
) -> np.ndarray:
  """float64 `n v`, calibrated where a temperature was chosen."""
  return calibration.probabilities(
    records['logits'],
    temperature(chosen),
    sigmoid=spec.objective == 'sigmoid',
  )


def seen(spec: Spec, records: Records, chosen: Chosen | None) -> Records:
  """Records whose `score` and `top_score` are calibrated; no class changes."""
  if chosen is None or 'logits' not in records:
    return records
  p = probabilities(spec, records, chosen)
  if spec.multi_label:
    return {**records, 'score': p}
  top_score = np.take_along_axis(p, np.asarray(records['top'], np.int64), 1)
  return {**records, 'score': p.max(1), 'top_score': top_score}


def choose(spec: Spec, records: Records) -> dict[str, Any]:
  """The temperature, and of each disease its thresholds.

  Args:
    spec: of the records.
    records: of a split that was not trained on.

  Returns:
    JSON: `temperature`; `before` and `after` it, `log_loss`, `ece`,
    `adaptive_ece` and `brier`; `operating_points`, of each label a mapping of
    rule to `threshold`, of the calibrated probability, and what it is worth on
    these very records; `examples`; `labels`; `notes`, sentences.

  Raises:
    UserError: nothing can be chosen on such records.
  """
  if not spec.calibration:
    raise UserError(
      'this task keeps no probabilities: add --config.task.calibration=True '
      "(and train with another config.task.loss than 'mse')"
    )
  sigmoid, target = spec.objective == 'sigmoid', records['target']
  try:
    t = calibration.fit_temperature(records['logits'], target, sigmoid=sigmoid)
  except ValueError as error:
    raise UserError(f'{error}: look at the training first') from error
  found: dict[str, Any] = {
    'temperature': t,
    'labels': list(spec.label_names),
    'examples': len(target),
  }
  for name, value in (('before', 1.0), ('after', t)):
    found[name] = {
      'log_loss': calibration.log_loss(
        records['logits'], target, value, sigmoid=sigmoid
      ),
      **_calibration(spec, records, {'temperature': value}).compute(),
    }
  notes = []
  if calibration.at_bound(t):
    notes.append(
      f'the temperature is {t:.3g}, at the end of what is tried: these '
      f'{len(target)} examples are too easy, too few or too badly recognised '
      'to calibrate on'
    )
  points: dict[str, Any] = {}
  for case in _cases(spec, records, found):
    try:
      points[case.label] = {
        text: _point_on_own(case, text) for text in spec.operating_points
      }
    except ValueError as error:
      notes.append(f"'{case.label}' has no operating point: {error}")
  return {**found, 'operating_points': points, 'notes': notes}


@dataclasses.dataclass(frozen=True)
class _Case:
  """One thing that is looked for.

  Attributes:
    label: its name.
    score: float `n`, its probability.
    positive: bool `n`.
    rows: int `n`, numbers of the records: only those where it is known.
  """

  label: str
  score: np.ndarray
  positive: np.ndarray
  rows: np.ndarray


def _cases(
  spec: Spec, records: Records, chosen: Chosen | None
) -> Iterator[_Case]:
  """What is looked for: the positive class of two, or each label of several."""
  if spec.positive is None and not spec.multi_label:
    return
  p, target = probabilities(spec, records, chosen), records['target']
  if spec.positive is not None:
    k, every = spec.positive, np.arange(len(target))
    yield _Case(spec.label_names[k], p[:, k], target == k, every)
    return
  for k, label in enumerate(spec.label_names):
    rows = np.flatnonzero(~np.isnan(target[:, k]))
    yield _Case(label, p[rows, k], target[rows, k] > 0.5, rows)


def _point_on_own(case: _Case, text: str) -> dict[str, float]:
  rule = operating_point.rule(text)
  threshold = operating_point.choose(rule, case.score, case.positive)
  values = Point(case.positive, case.score >= threshold).compute()
  return {
    'threshold': threshold,
    **{k: values[k] for k in ('sensitivity', 'specificity')},
  }


def _calibration(
  spec: Spec, records: Records, chosen: Chosen | None
) -> Calibration:
  """Of answers; of several labels, of each label that is known."""
  p, target = probabilities(spec, records, chosen), records['target']
  if spec.multi_label:
    known = ~np.isnan(target)
    p, target = p[known], target[known] > 0.5
    return Calibration(p, target, calibration.brier(p, target))
  right = p.argmax(1) == target
  return Calibration(p.max(1), right, calibration.brier(p, target))


@dataclasses.dataclass(frozen=True)
class Clinical:
  """What is reported of one split.

  Attributes:
    values: `ece`, `adaptive_ece`, `brier`.
    intervals: of them.
    nested: JSON: `calibration`, `operating_points` and `selective`.
    bins: the reliability diagram, before and after the temperature.
    cases: (name, probability `n`, there bool `n`) of what is looked for.
  """

  values: Mapping[str, float]
  intervals: Mapping[str, tuple[float, float]]
  nested: Mapping[str, Any]
  bins: Mapping[str, Bins]
  cases: Sequence[tuple[str, np.ndarray, np.ndarray]]


def measure(
  spec: Spec,
  records: Records,
  chosen: Chosen | None,
  clusters: np.ndarray | None,
) -> Clinical:
  """What probabilities and decisions are worth on a split.

  Args:
    spec: of the records, with `calibration`.
    records: with `logits`.
    chosen: on another split; None: nothing yet, then nothing is decided.
    clusters: int `n`, the patients, whom intervals draw; None: each example.
  """
  now = _calibration(spec, records, chosen)
  own = None if spec.multi_label else clusters
  if spec.multi_label and clusters is not None:
    rows, _ = np.nonzero(~np.isnan(records['target']))
    own = bootstrap.codes(clusters[rows])
  found: dict[str, Any] = {'temperature': temperature(chosen)}
  bins = {'as it is': calibration.in_bins(now.confidence, now.right)}
  if chosen is not None:
    raw = _calibration(spec, records, None)
    bins = {
      'before': calibration.in_bins(raw.confidence, raw.right),
      'after': bins['as it is'],
    }
    found['before'] = raw.compute()
  found['reliability'] = {
    name: {
      key: value.tolist() for key, value in dataclasses.asdict(each).items()
    }
    for name, each in bins.items()
  }
  nested: dict[str, Any] = {'calibration': found}
  cases = list(_cases(spec, records, chosen))
  if chosen is not None and cases:
    nested['operating_points'] = _points(spec, cases, chosen, clusters)
  if not spec.multi_label:
    nested['selective'] = _selective(now)
  return Clinical(
    now.compute(),
    now.intervals(own),
    nested,
    bins,
    [(case.label, case.score, case.positive) for case in cases],
  )


def _points(
  spec: Spec,
  cases: Sequence[_Case],
  chosen: Chosen,
  clusters: np.ndarray | None,
) -> list[dict[str, Any]]:
  """A row for each label and rule."""
  found = []
  for case in cases:
    if not len(case.rows):
      continue
    own = None
    if clusters is not None:
      own = bootstrap.codes(clusters[case.rows])
    for text, kept in chosen['operating_points'].get(case.label, {}).items():
      point = Point(case.positive, case.score >= kept['threshold'], own)
      intervals = point.intervals()
      row = {'label': case.label, 'rule': text, 'threshold': kept['threshold']}
      for name, value in point.compute().items():
        row |= {name: value, f'{name}_ci95': list(intervals[name])}
      row['prevalence'] = float(case.positive.mean())
      row['at_prevalence'] = point.at_prevalence(spec.prevalences)
      found.append(row)
  return found


def _selective(now: Calibration) -> dict[str, Any]:
  """How right the surer answers are."""
  coverage, accuracy, area = operating_point.abstention(
    now.confidence, now.right
  )
  shares = (0.5, 0.7, 0.8, 0.9, 1.0)
  at = [int((coverage >= share - 1e-12).argmax()) for share in shares]
  return {
    'risk_coverage_area': area,
    'coverage': [float(coverage[i]) for i in at],
    'accuracy': [float(accuracy[i]) for i in at],
  }
