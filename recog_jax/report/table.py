"""Metrics as aligned plain text for the terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recog_jax.errors import printable

_PER_CLASS = 20  # Classes up to which each has its own line.
# Metrics that are tables, columns by name.
TABLES = ('per_class', 'per_target', 'per_language', 'language_confusion')
_GROUPS = 30  # Values of a field up to which each has its own line.


def metrics_table(metrics: Mapping[str, Any]) -> str:
  """The scalar metrics, with their intervals where they have one.

  Args:
    metrics: numbers by name; `NAME_ci95` is the interval (low, high) of NAME,
      `per_class`, `per_target`, `per_language` and `language_confusion` are
      mappings of lists with one element a class, target or language, and
      `notes` a list of
      sentences. Anything else that is not a number is left out.

  Returns:
    Lines of text; classes or targets follow in a table of their own if they
    are few, and last the notes.
  """
  rows = [('metric', 'value', '95 % interval')]
  for name, value in metrics.items():
    if isinstance(value, (int, float)):
      low_high = metrics.get(f'{name}_ci95')
      rows.append((name, _text(value), _interval(low_high)))
  text = aligned(rows)
  for name in TABLES:
    table = metrics.get(name, {})
    if 0 < len(next(iter(table.values()), ())) <= _PER_CLASS:
      columns = [[name, *map(_text, values)] for name, values in table.items()]
      text += '\n\n' + aligned(list(zip(*columns, strict=True)))
  if notes := metrics.get('notes'):
    text += '\n\n' + '\n'.join(map(printable, notes))
  return text


def group_tables(groups: Mapping[str, Mapping[str, Mapping]]) -> str:
  """One table for each field, with a line for each of its values.

  Args:
    groups: field -> value -> metrics, as `speech_metrics` gives them. The first
      rate stands with its interval; of many values, those where it is highest
      are shown.

  Returns:
    Tables with empty lines between; '' if there are no groups.
  """
  return '\n\n'.join(_groups(*item) for item in groups.items())


def _groups(field: str, values: Mapping[str, Mapping[str, Any]]) -> str:
  first = next(iter(values.values()))
  headline, *others = [k for k, v in first.items() if isinstance(v, float)]
  units = next(k for k in first if k.startswith('reference_'))
  names = ['utterances', units, *others, headline]
  shown = sorted(values, key=lambda value: -values[value][headline])[:_GROUPS]
  rows = [(field, *names, '95 % interval')]
  for value in sorted(shown):
    metrics = values[value]
    cells = (_text(metrics[name]) for name in names)
    rows.append((value, *cells, _interval(metrics.get(f'{headline}_ci95'))))
  text = aligned(rows)
  if len(shown) < len(values):
    text += f'\nof {len(values)} values, the {len(shown)} with the highest '
    text += headline
  return text


def _interval(low_high: Sequence[float] | None) -> str:
  if not low_high or any(map(math.isnan, low_high)):
    return ''
  return ' - '.join(map(_text, low_high))


def _text(value: Any) -> str:
  return f'{value:.4f}' if isinstance(value, float) else str(value)


def aligned(rows: Sequence[Sequence[str]]) -> str:
  """Columns as wide as their widest cell; the first is text, on the left."""
  rows = [[printable(cell) for cell in row] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  rule = ['-' * width for width in widths]
  lines = []
  for row in (rows[0], rule, *rows[1:]):
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1])]
    cells += [cell.rjust(width) for cell, width in others]
    lines.append('  '.join(cells).rstrip())
  return '\n'.join(lines)
