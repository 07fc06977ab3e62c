"""What was said beside what was recognised, and the error rates of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.metrics import wer
from recog_jax.metrics.fairness import Scores
from recog_jax.tasks.speech import languages
from recog_jax.tasks.speech.spec import RATES, Spec


def texts(
  spec: Spec, records: Mapping[str, np.ndarray], lookup: Callable[..., Any]
) -> tuple[list[str], list[str], Mapping[str, list[str]]]:
  """References, hypotheses (both folded) and fields, by record."""
  known = lookup(records['index'])
  hypotheses = [
    spec.text(ids, num)
    for ids, num in zip(records['ids'], records['num'], strict=True)
  ]
  fold = spec.fold or str
  return (
    [fold(t) for t in known['text']],
    [fold(t) for t in hypotheses],
    known['fields'],
  )


def rates(
  spec: Spec, records: Mapping[str, np.ndarray], lookup: Callable[..., Any]
) -> dict[str, float]:
  """Error rates of a whole split, and of its languages if they are said."""
  references, hypotheses, fields = texts(spec, records, lookup)
  found = of_texts(spec, references, hypotheses)
  if spec.says_language and 'lang' in fields:
    told = languages.recognised(spec, records, references, fields['lang'])
    found |= {k: v for k, v in told.items() if isinstance(v, float)}
  return found


def of_task(
  task: Any, references: Sequence[str], hypotheses: Sequence[str]
) -> dict[str, float]:
  """Error rates of texts as a task counts them, which may fold them."""
  fold = task.spec.fold or str
  return of_texts(
    task.spec, [fold(t) for t in references], [fold(t) for t in hypotheses]
  )


def of_texts(
  spec: Spec, references: Sequence[str], hypotheses: Sequence[str]
) -> dict[str, float]:
  """Error rates of texts that are folded already."""
  return {
    RATES[unit]: wer.ErrorCounts.of(
      wer.error_counts(references, hypotheses, unit)
    ).rate
    for unit in spec.units
  }


def by_example(
  spec: Spec, records: Mapping[str, np.ndarray], lookup: Callable[..., Any]
) -> Scores:
  """What groups of utterances are compared by: the headline's error rate."""
  references, hypotheses, _ = texts(spec, records, lookup)
  counts = wer.error_counts(references, hypotheses, spec.unit)
  errors, units = counts[:, :3].sum(1), counts[:, [0, 1, 3]].sum(1)
  return Scores(spec.headline, False, errors.astype(float), units.astype(float))
