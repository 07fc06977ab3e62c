"""What the figures show, read from workdirs: one dict a line of the CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from experiments.figures.studies import Entry
from launch import store
from launch.sweep import Trial
from recog_jax.report.figures import wall_minutes
from recog_jax.storage import AnyPath, write_whole

Row = dict[str, Any]
# Ends the names of results that a language model had a part in.
LM_TAG = 'lm'
_NO_BRACKETS = str.maketrans('', '', '()[]')


def accuracy(
  entries: Sequence[Entry], trials: Sequence[Trial], root: epath.Path
) -> list[Row]:
  """One row a training: what was trained, how long, and how well it tests."""
  rows = []
  for entry, trial in zip(entries, trials, strict=True):
    config = trial.config
    summary, test = _results(root / trial.id)
    spent = summary['seconds_by_phase']
    rows.append(
      {
        'network': entry.network,
        'config': trial.spec,
        'size': size_of(config['model']),
        'data': entry.data,
        'split': config['data']['splits']['train'],
        'seed': config['seed'],
        'epochs': config['total_epochs'],
        'steps': summary['step'],
        'batch': config['data']['batch_size'],
        'parameters': summary['parameters'],
        'test_examples': test['examples'],
        'accuracy': test['metrics']['accuracy'],
        'train_seconds': spent['step'] + spent['input'],
        'total_seconds': summary['seconds'],
        'devices': summary['devices'],
        'trial': trial.id,
      }
    )
  return rows


def size_of(model: Mapping[str, Any]) -> str:
  """Width or depth of a model's config, in words; '' where it has none."""
  words = [
    f'{key} {model[key]}'.translate(_NO_BRACKETS)
    for key in ('width', 'dim', 'widths', 'hidden', 'layers')
    if key in model and model[key] not in (None, (), [])
  ]
  return ', '.join(words)


def with_cost(
  rows: Iterable[Row], costs: Mapping[str, Mapping[str, Any]]
) -> list[Row]:
  """The rows with PFLOPs and estimated TPU seconds of the whole training."""
  found = []
  for row in rows:
    cost = costs[row['config']]
    seconds = cost['tpu_step_seconds']
    found.append(
      {
        **row,
        'train_pflop': row['steps'] * cost['step_flops'] / 1e15,
        'tpu': cost['tpu'],
        'tpu_seconds_estimated': seconds and row['steps'] * seconds,
      }
    )
  return found


def wer(
  entries: Sequence[Entry], trials: Sequence[Trial], root: epath.Path
) -> list[Row]:
  """One row an evaluation: validation over training, the test at its end."""
  rows = []
  for entry, trial in zip(entries, trials, strict=True):
    workdir = root / trial.id
    logged = store.read_metrics(workdir)
    summary, _ = _results(workdir)
    same = {
      'network': entry.network,
      'config': trial.spec,
      'data': entry.data,
      'size': size_of(trial.config['model']),
      'total_steps': summary['step'],
      'total_seconds': summary['seconds'],
      'devices': summary['devices'],
      'trial': trial.id,
    }
    for row in logged:
      if row['kind'] == 'val' and 'wer' in row:
        rows.append({**same, **_measured(row, row, logged, 'val', 'greedy')})
    last = summary['step']
    for path in sorted((workdir / 'results').glob('*.json')):
      name = path.name.removesuffix('.json')
      tagged = name.endswith(f'-{LM_TAG}')
      # Others are evaluations that someone made beside.
      if name in (f'test-{last}', f'test-{last}-{LM_TAG}') or (
        tagged and name.startswith('val-')
      ):
        result = store.read_json(path)
        decoder = 'language model' if tagged else 'greedy'
        split, metrics = result['split'], result['metrics']
        rows.append(
          {**same, **_measured(result, metrics, logged, split, decoder)}
        )
  return rows


def _measured(
  at: Mapping[str, Any],
  metrics: Mapping[str, Any],
  logged: Sequence[Mapping[str, Any]],
  split: str,
  decoder: str,
) -> Row:
  clock = [
    (row['step'], row['time/seconds'])
    for row in logged
    if 'time/seconds' in row
  ]
  low, high = metrics.get('wer_ci95', (None, None))
  return {
    'split': split,
    'decoder': decoder,
    'step': at['step'],
    'minutes': float(wall_minutes(clock, at['step'])),
    'wer': metrics['wer'],
    'wer_low': low,
    'wer_high': high,
    'cer': metrics['cer'],
  }


def _results(workdir: epath.Path) -> tuple[dict[str, Any], dict[str, Any]]:
  """Summary and test result of a training that has ended."""
  summary = json.loads((workdir / 'summary.json').read_text())
  path = workdir / 'results' / f'test-{summary["step"]}.json'
  return summary, json.loads(path.read_text())


def write_csv(
  path: AnyPath, rows: Sequence[Row], columns: Sequence[str] | None = None
) -> None:
  """Writes rows, whole or not at all; numbers with six digits.

  Args:
    path: of the file.
    rows: {column: value}.
    columns: in their order; None: those of the first row.
  """
  text = io.StringIO()
  writer = csv.DictWriter(text, columns or list(rows[0]), lineterminator='\n')
  writer.writeheader()
  for row in rows:
    writer.writerow(
      {k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()}
    )
  write_whole(path, text.getvalue().encode())


def pareto(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
  """The points that no other one beats: as cheap and better, or cheaper.

  Args:
    points: (cost, score), low cost and high score being good.

  Returns:
    Those on the front, by cost.
  """
  front: list[tuple[float, float]] = []
  for cost, score in sorted(set(points), key=lambda p: (p[0], -p[1])):
    if not front or score > front[-1][1]:
      front.append((cost, score))
  return front
