"""Bayesian search with Optuna: each trial is chosen from the results so far.

The sweep file says what there is to choose from, and by what:

  def get_space():
    return {
      'config': 'configs/digits_resnet8.py',
      'optimizer.learning_rate': space.LogUniform(1e-3, 1.0),
    }

  SEARCH = {'metric': 'accuracy', 'direction': 'maximize', 'seed': 0}

`metric` is one that evaluation gives, of the validation split. The study is
`study.json` in the sweep's root, so that the same command continues it.
"""

import sys
from collections.abc import Mapping
from typing import Any

from launch import devices, local, store
from launch import sweep as sweep_lib
from launch.job import Job, missing
from launch.space import Choice, Distribution, LogUniform
from recog_jax.errors import UserError, unknown_name

_KEYS = ('metric', 'direction', 'seed')
_DIRECTIONS = ('maximize', 'minimize')


def run(job: Job, count: int, command: tuple[str, ...] = local.MAIN) -> int:
  """Runs trials one after another until the study has `count` results.

  Args:
    job: the sweep, its root.
    count: trials of the study, those of earlier calls included.
    command: see `local.run`.

  Returns:
    The exit code: 1 if trials failed.

  Raises:
    UserError: Optuna is missing, or the sweep file says no space or metric.
  """
  optuna = _import()
  if job.max_parallel not in (None, 1):
    raise UserError(
      f'--max_parallel={job.max_parallel}: a search waits for the result of '
      'each trial before it chooses the next; leave the flag out'
    )
  if count < 1:
    raise UserError(f'--search={count}: take 1 or more')
  space, settings = _declared(job.sweep)
  path = job.root / 'study.json'
  rows = store.read_json(path, list) or []
  slots = devices.slots(1)
  while len(rows) < count or (rows and rows[-1]['state'] == 'running'):
    if not rows or rows[-1]['state'] != 'running':
      rows.append(
        {
          'overrides': _choose(optuna, space, settings, rows),
          'state': 'running',
        }
      )
      store.write_json(path, rows)
    row = rows[-1]
    trial = sweep_lib.make_trial(row['overrides'], f'trial {len(rows)}')
    outcome = local.run(
      [trial], job.root, slots, data_dir=job.data_dir, command=command
    )
    if outcome.signal is not None:
      print('stopped; the same command continues the search')
      return outcome.exit_code()
    if trial.id in outcome.failed:
      row['state'] = 'failed'
    else:
      row['value'] = _value(job, trial, settings['metric'])
      row['state'] = 'finished'
    row['trial'] = trial.id
    store.write_json(path, rows)
    value = row.get('value')
    shown = row['state'] if value is None else f'{value:.4g}'
    print(f'{len(rows)} of {count}: {settings["metric"]} {shown}')
  return _report(rows, settings, job)


def _declared(
  sweep: sweep_lib.Sweep,
) -> tuple[dict[str, Any], dict[str, Any]]:
  module = sweep.module
  for name in ('get_space', 'SEARCH'):
    if not hasattr(module, name):
      raise UserError(
        f'the sweep {sweep.name} has no {name}: see launch/search.py for what '
        'a search needs'
      )
  settings = {'seed': 0, **module.SEARCH}
  for key in settings:
    if key not in _KEYS:
      raise unknown_name('key of SEARCH', key, _KEYS)
  for key in ('metric', 'direction'):
    if key not in settings:
      raise UserError(f"SEARCH of the sweep {sweep.name} needs '{key}'")
  if settings['direction'] not in _DIRECTIONS:
    raise unknown_name('direction', settings['direction'], _DIRECTIONS)
  space = module.get_space()
  if not any(isinstance(v, Distribution) for v in space.values()):
    raise UserError(
      f'get_space() of the sweep {sweep.name} holds no distribution: take '
      'space.Uniform, LogUniform or Choice'
    )
  return space, settings


def _choose(
  optuna: Any,
  space: Mapping[str, Any],
  settings: Mapping[str, Any],
  rows: list[dict[str, Any]],
) -> dict[str, Any]:
  """The overrides of the next trial.

  The sampler begins anew, with a seed of its own for each trial, so that a
  search that was interrupted chooses what one in a single piece does.
  """
  distributions = {
    key: _distribution(optuna, value)
    for key, value in space.items()
    if isinstance(value, Distribution)
  }
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  sampler = optuna.samplers.TPESampler(seed=settings['seed'] + len(rows))
  study = optuna.create_study(direction=settings['direction'], sampler=sampler)
  for row in rows:
    done = row.get('value') is not None
    state = optuna.trial.TrialState
    study.add_trial(
      optuna.trial.create_trial(
        params={k: _plain(row['overrides'][k]) for k in distributions},
        distributions=distributions,
        value=row['value'] if done else None,
        state=state.COMPLETE if done else state.FAIL,
      )
    )
  chosen = study.ask(distributions).params
  fixed = {k: v for k, v in space.items() if k not in distributions}
  return {**fixed, **chosen}


def _distribution(optuna: Any, value: Distribution) -> Any:
  kinds = optuna.distributions
  if isinstance(value, Choice):
    return kinds.CategoricalDistribution([_plain(v) for v in value.values])
  log = isinstance(value, LogUniform)
  if value.integer:
    return kinds.IntDistribution(int(value.low), int(value.high), log=log)
  return kinds.FloatDistribution(value.low, value.high, log=log)


def _plain(value: Any) -> Any:
  """JSON's lists are tuples, which can be compared, to Optuna."""
  return tuple(value) if isinstance(value, list) else value


def _value(job: Job, trial: sweep_lib.Trial, metric: str) -> float | None:
  """The validation metric at the end of a trial; None where it is NaN."""
  folder = job.root / trial.id
  step = store.read_json(folder / 'summary.json')['step']
  results = store.read_json(folder / 'results' / f'val-{step}.json')
  if results is None:
    raise UserError(
      f'{folder} has no results of a validation split: name one in '
      'config.data.splits'
    )
  if metric not in results['metrics']:
    raise unknown_name('metric', metric, results['metrics'])
  value = results['metrics'][metric]
  return value if value == value else None


def _report(
  rows: list[dict[str, Any]], settings: Mapping[str, Any], job: Job
) -> int:
  good = [row for row in rows if row.get('value') is not None]
  sign = 1 if settings['direction'] == 'maximize' else -1
  if good:
    best = max(good, key=lambda row: sign * row['value'])
    words = ' '.join(f'{k}={v}' for k, v in best['overrides'].items())
    print(
      f'best of {len(rows)}: {settings["metric"]} {best["value"]:.4g} of '
      f'{words}, in {job.root / best["trial"]}'
    )
  failed = [row['trial'] for row in rows if row['state'] == 'failed']
  for name in failed:
    print(f'failed: {name}; see {job.root / name}', file=sys.stderr)
  return 1 if failed else 0


def _import() -> Any:
  try:
    import optuna
  except ImportError as error:
    raise missing('Optuna', 'search') from error
  return optuna
