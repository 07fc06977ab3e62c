"""Groups of examples compared: what `evaluate --groups=gender,age` adds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data.base import person_field
from recog_jax.errors import UserError, say, unknown_name
from recog_jax.metrics import fairness
from recog_jax.tasks import fields as fields_lib
from recog_jax.tasks.base import Lookup, Records, Task

# A field with more values tells examples apart, and groups nothing.
_MOST = 200


@dataclasses.dataclass(frozen=True)
class Groups:
  """What is compared.

  Attributes:
    fields: names.
    clusters: the field whose values are drawn and exchanged as a whole; None:
      the person, where the data name one; 'example': none.
  """

  fields: tuple[str, ...]
  clusters: str | None = None


def check(task: Task, lookup: Lookup, n: int, asked: Groups) -> None:
  """Raises what `report` would of the fields, before anything is evaluated.

  Args:
    task: that is evaluated.
    lookup: of the split.
    n: its examples.
    asked: what is compared.

  Raises:
    UserError: see `report`.
  """
  known = fields_lib.fields(lookup, {'index': np.arange(n)})
  if labels := _labels(task):
    known.setdefault('label', [*labels])
  _check(asked, known, n)


def _labels(task: Task) -> Sequence[str]:
  return getattr(getattr(task, 'spec', None), 'label_names', ())


def report(
  task: Task,
  records: Records,
  lookup: Lookup,
  asked: Groups,
  folder: Path,
  prefix: str,
) -> dict[str, Any]:
  """Compares groups, and draws PREFIX-groups.png.

  Args:
    task: of the records.
    records: each example once.
    lookup: of the split.
    asked: what is compared.
    folder: where the figure goes.
    prefix: of its name.

  Returns:
    `metric`, `clusters`, and `fields`, see `fairness.by_group`.

  Raises:
    UserError: a field that the data lack, or that has one value or too many.
  """
  # Its import takes as long as half of the others of a command.
  from recog_jax.report import groups as drawing

  known = fields_lib.fields(lookup, records, _labels(task))
  _check(asked, known, len(records['index']))
  cluster = asked.clusters
  if cluster is None:
    cluster = person_field(known) or 'example'
  units = None if cluster == 'example' else known[cluster]
  scores = task.by_example(records, lookup)
  found = fairness.by_group(
    scores, fairness.crossed(known, asked.fields), units
  )
  result = {'metric': scores.name, 'clusters': cluster, 'fields': found}
  drawing.draw(
    folder / f'{prefix}-groups.png', result, higher=scores.higher_is_better
  )
  return result


def _check(asked: Groups, known: dict[str, list[str]], n: int) -> None:
  named = [*asked.fields]
  if asked.clusters not in (None, 'example'):
    named.append(str(asked.clusters))
  for name in named:
    if not known:
      raise UserError(
        f'--groups={name}: the data say nothing of their examples beside the '
        'targets: take a source with such fields, a table for example'
      )
    if name not in known:
      raise unknown_name('field of --groups', name, known)
  for name in asked.fields:
    values = set(known[name])
    if len(values) == 1:
      raise UserError(
        f'--groups={name}: all {n} examples have the value '
        f"'{next(iter(values))}', so that there is nothing to compare: take "
        f'another field ({", ".join(sorted(known))})'
      )
    if len(values) > _MOST:
      raise UserError(
        f'--groups={name}: {len(values)} values of {n} examples are no '
        f'groups: take a field of at most {_MOST}'
      )


def tell(result: dict[str, Any]) -> None:
  """Prints the tables."""
  from recog_jax.report import groups as drawing

  say('', *drawing.tables(result).split('\n'))
