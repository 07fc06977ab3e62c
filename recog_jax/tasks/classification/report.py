"""What an evaluation of image classification says: numbers and pictures."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data.image.records import person_field
from recog_jax.metrics import bootstrap
from recog_jax.metrics.classification import (
  MultiClass,
  MultiLabel,
  class_scores,
  confusion_matrix,
)
from recog_jax.metrics.roc import OneVersusRest
from recog_jax.report import decisions, figures, predictions
from recog_jax.tasks import fields as fields_lib
from recog_jax.tasks.classification import bags, clinical
from recog_jax.tasks.classification import scores as scores_lib
from recog_jax.tasks.classification.spec import MOST_SCORES, Spec

Records = Mapping[str, np.ndarray]

_DRAWN_CLASSES = 1024  # A larger confusion matrix is no longer a picture.
_WORST = 36  # Images in the sheet of the worst mistakes.


def report(
  spec: Spec,
  records: Records,
  lookup: Callable[[np.ndarray], Mapping[str, Any]],
  directory: Path,
  prefix: str,
  chosen: clinical.Chosen | None = None,
) -> dict[str, Any]:
  """Computes the metrics of a whole split, and draws what went wrong.

  Writes PREFIX-worst_mistakes.png and, for one label of at most 1024 classes,
  PREFIX-confusion_matrix.png; and PREFIX-predictions.jsonl where examples have
  names: of each its file, label, prediction, loss and highest probabilities.
  With `spec.bag` also PREFIX-bags.jsonl, the same of each bag.

  Args:
    spec: says what kind of target it is, and the classes' names.
    records: rows of `Classification.records`, each example once, no padding.
    lookup: record numbers int64 `k` -> `image`, k uint8 `h w c`; may have a
      method `names`, record numbers -> names of files.
    directory: where the pictures go.
    prefix: of their names.
    chosen: a temperature and thresholds of another split; None: none. Then
      probabilities are calibrated, and decisions at thresholds reported.

  Returns:
    What `Classification.compute` gives, `NAME_ci95` [low, high] for each (but
    a threshold), and `per_class`: lists `label`, `precision`, `recall`, `f1`,
    `support` of length v, and `auc` where it is the mean of the classes'.
    `positive_class` is the name of the one that sensitivity is of; `notes` are
    sentences on what is not defined. With `spec.calibration` also what
    `clinical.measure` gives, drawn in PREFIX-decisions.png. Where the data name
    patients, all intervals draw patients. With `spec.bag` metrics of bags, as
    `bags.Pooled` gives them.
  """
  v = spec.num_outputs
  state = scores_lib.counted(spec, records)
  values = state.compute()
  person, clusters = _persons(lookup, records)
  intervals = state.intervals(records, v, clusters=clusters)
  measures = scores_lib.measures(spec, records, clusters)
  pooled = bags.pooled(spec, records, lookup, chosen)
  measures += [pooled] if pooled else []
  found = None
  if spec.calibration and not np.isnan(records['logits']).any():
    found = clinical.measure(spec, records, chosen, clusters)
    values |= found.values
    intervals |= found.intervals
  records = clinical.seen(spec, records, chosen)
  for measure in measures:
    values |= measure.compute()
    intervals |= measure.intervals()
  result: dict[str, Any] = {}
  for name, value in values.items():
    result[name] = value
    if name in intervals:
      result[f'{name}_ci95'] = list(intervals[name])
  notes = scores_lib.notes(spec, records, values)
  if spec.auc and spec.positive is not None:
    result['positive_class'] = spec.label_names[spec.positive]
    notes.insert(0, f"positive class: '{result['positive_class']}'")
  if pooled:
    notes += pooled.notes()
    predictions.write_rows(
      directory / f'{prefix}-bags.jsonl',
      (
        {'bag': row.pop('file'), 'examples': count, **row}
        for row, count in zip(
          _rows(spec, pooled.records, pooled.names), pooled.counts, strict=True
        )
      ),
    )
  if person:
    notes.append(f"intervals draw whole values of '{person}'")
  if notes:
    result['notes'] = notes
  if found is not None:
    result |= found.nested
    decisions.draw(
      directory / f'{prefix}-decisions.png',
      found.bins,
      found.cases,
      found.nested,
    )
  result['per_class'] = _per_class(state, spec.label_names)
  for measure in measures:
    if isinstance(measure, OneVersusRest):
      result['per_class']['auc'] = measure.per_class().tolist()
  if not spec.multi_label and v <= _DRAWN_CLASSES:
    figures.confusion_matrix(
      directory / f'{prefix}-confusion_matrix.png',
      confusion_matrix(records['target'], records['prediction'], v),
      spec.label_names,
    )
  predictions.write_jsonl(
    directory / f'{prefix}-predictions.jsonl',
    lookup,
    records['index'],
    functools.partial(_rows, spec, records),
  )
  path = directory / f'{prefix}-worst_mistakes.png'
  _draw_worst(spec, records, lookup, path)
  return result


def _persons(
  lookup: Callable[[np.ndarray], Mapping[str, Any]], records: Records
) -> tuple[str | None, np.ndarray | None]:
  """The field that names patients, and the number of each; None: none does."""
  if not hasattr(lookup, 'fields'):  # No picture is read for it.
    return None, None
  known = fields_lib.fields(lookup, records)
  name = person_field(known)
  return name, bootstrap.codes(known[name]) if name else None


def _per_class(
  state: MultiClass | MultiLabel, label_names: Sequence[str]
) -> dict[str, list]:
  support = np.asarray(state.actual)
  scores = class_scores(state.hits, state.predicted, support)
  return {
    'label': list(label_names),
    **{name: score.tolist() for name, score in scores.items()},
    'support': support.tolist(),
  }


def _rows(
  spec: Spec, records: Records, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
  """What was predicted for each example."""
  labels = spec.label_names
  title = 'outputs' if spec.objective == 'mse' else 'probabilities'
  for i, name in enumerate(names):
    target, guess = records['target'][i], records['prediction'][i]
    if spec.multi_label:
      unknown = [labels[k] for k in np.flatnonzero(np.isnan(target))]
      target, guess = (
        [labels[k] for k in np.flatnonzero(row > 0.5)]
        for row in (target, guess)
      )
      top = np.argsort(-records['score'][i], kind='stable')[:MOST_SCORES]
      scores = records['score'][i][top]
    else:
      target, guess = labels[target], labels[guess]
      unknown = []
      top, scores = records['top'][i], records['top_score'][i]
    pairs = zip(top, scores.tolist(), strict=True)
    yield {
      'file': name,
      'label': target,
      'prediction': guess,
      'loss': float(records['loss'][i]),
      title: {labels[k]: score for k, score in pairs},
      **({'unknown': unknown} if unknown else {}),
    }


def _draw_worst(spec, records: Records, lookup, path: Path) -> None:
  """The examples with the highest loss among those that are wrong."""
  guess, target = records['prediction'], records['target']
  wrong = (
    ((guess != (target > 0.5)) & ~np.isnan(target)).any(1)
    if spec.multi_label
    else (guess != target)
  )
  (rows,) = np.nonzero(wrong)
  title = f'{len(rows)} of {len(wrong)} examples are wrong'
  if len(rows) > _WORST:
    title += f'; the {_WORST} with the highest loss'
  rows = rows[np.argsort(-records['loss'][rows], kind='stable')][:_WORST]
  images = lookup(records['index'][rows])['image'] if len(rows) else []
  heads = predictions.captions(lookup, records['index'][rows])
  captions = [
    f'{head}\n{_caption(spec, records, row)}'
    for head, row in zip(heads, rows, strict=True)
  ]
  figures.contact_sheet(path, images, captions, title)


def _caption(spec, records: Records, row: int) -> str:
  target, guess = records['target'][row], records['prediction'][row]
  names = np.asarray(spec.label_names)
  if spec.multi_label:
    has, hasnt = target > 0.5, target <= 0.5  # Neither of what is not known.
    missed = ', '.join(names[has & ~guess]) or '-'
    return f'missed: {missed}\nwrong: {", ".join(names[guess & hasnt]) or "-"}'
  score = records['score'][row]
  score = f'{score:.2f}' if spec.objective == 'mse' else f'{score:.0%}'
  return f'true {names[target]}\nsaid {names[guess]} ({score})'
