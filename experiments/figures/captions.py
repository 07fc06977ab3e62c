"""What stands under a figure: with what it was made, from its rows alone."""

from collections.abc import Iterable, Sequence
from typing import Any

from experiments.figures.rows import Row


def caption(study: str, budget: str, rows: Sequence[Row]) -> str:
  """Budget, hardware, data, lengths and widths of a figure's trainings."""
  count = len({row['trial'] for row in rows})
  devices = _either(row['devices'] for row in rows)
  begin = f'Budget `{budget}`: {count} trainings on {devices}'
  if study == 'wer':
    return f'{begin}, one seed each. {_steps(rows)} {_decoding(rows)}'
  images = f'{rows[0]["test_examples"]:,} test images'
  text = (
    f'{begin}, {_either(row["epochs"] for row in rows)} epochs of '
    f'{rows[0]["data"]} ({_either(row["split"] for row in rows)}), batch '
    f'{_either(row["batch"] for row in rows)}; {images}. '
  )
  if study == 'accuracy':
    seeds = len({row['seed'] for row in rows})
    text += f'{seeds} seeds (dots); bars are means with 95 % intervals. '
  return text + _sizes(rows)


def _either(values: Iterable[Any]) -> str:
  """Each value once: 0.5 or 1."""
  each = sorted(set(values))
  return ' or '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in each)


def _sizes(rows: Sequence[Row]) -> str:
  sizes = {row['network']: row['size'] for row in rows if row['size']}
  if not sizes:
    return ''
  return '; '.join(f'{name}: {size}' for name, size in sizes.items()) + '.'


def _steps(rows: Sequence[Row]) -> str:
  parts = []
  for data in dict.fromkeys(row['data'] for row in rows):
    steps = {
      row['network']: row['total_steps'] for row in rows if row['data'] == data
    }
    each = ', '.join(f'{name} {n:,}' for name, n in steps.items())
    parts.append(f'{data}: {each}')
  return f'Steps: {"; ".join(parts)}.'


def _decoding(rows: Sequence[Row]) -> str:
  with_model = {row['data'] for row in rows if row['decoder'] != 'greedy'}
  if not with_model:
    return 'Greedy decoding.'
  return (
    'Solid: greedy. Dashed: beam search with 6-grams of tokens of the training '
    f'transcripts ({", ".join(sorted(with_model))}).'
  )
