"""Lists of hypotheses: what they hold at best, and as a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recog_jax.metrics import wer
from recog_jax.storage import as_json
from recog_jax.tasks.speech.spec import RATES, Spec


def texts(
  spec: Spec, records: Mapping[str, np.ndarray]
) -> list[list[tuple[str, float]]]:
  """The hypotheses of each utterance and their scores, best first.

  Args:
    spec: of the task.
    records: with `n_best_ids` `n k u`, `n_best_num` and `n_best_score` `n k`;
      places that hold none have a number far below any log probability.
  """
  fold = spec.fold or str
  found = []
  for ids, nums, values in zip(
    records['n_best_ids'],
    records['n_best_num'],
    records['n_best_score'],
    strict=True,
  ):
    rows = [
      (fold(spec.text(row, num)), float(value))
      for row, num, value in zip(ids, nums, values, strict=True)
      if value > -1e29
    ]
    found.append(rows or [('', float(values[0]))])
  return found


def oracle(
  spec: Spec,
  found: Sequence[Sequence[tuple[str, float]]],
  references: list[str],
) -> dict[str, float]:
  """The error rate if of each list the best one were chosen, `oracle_wer`.

  Of phones `oracle_per`; of characters too.
  """
  rows = [(number, text) for number, row in enumerate(found) for text, _ in row]
  numbers = np.array([number for number, _ in rows])
  result = {}
  for unit in spec.units:
    counts = wer.error_counts(
      [references[number] for number in numbers], [t for _, t in rows], unit
    )
    errors = counts[:, :3].sum(1)
    # The first of those with fewest errors, of each utterance.
    order = np.lexsort((errors, numbers))
    first = order[np.unique(numbers[order], return_index=True)[1]]
    name = f'oracle_{RATES[unit]}'
    result[name] = wer.ErrorCounts.of(counts[first]).rate
  return result


def write(
  path: Path,
  ids: Sequence[str],
  found: Sequence[Sequence[tuple[str, float]]],
) -> None:
  """One line of JSON an utterance: `id` and `hypotheses` [text, score]."""
  with path.open('w', encoding='utf-8', errors='backslashreplace') as file:
    for name, row in zip(ids, found, strict=True):
      line = {'id': name, 'hypotheses': [[t, round(s, 4)] for t, s in row]}
      file.write(as_json(line, ensure_ascii=False) + '\n')
