"""What a run ends with: reports of its splits, curves, and where time went."""

from typing import Any

import jax

from recog_jax.engine import device_idle, evaluation
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.logbook import PHASES, Logbook, read
from recog_jax.engine.programs import Program
from recog_jax.engine.step import TrainState
from recog_jax.engine.stopping import StopRequest
from recog_jax.report import figures, table
from recog_jax.storage import AnyPath, read_json, write_json

# The splits that are reported at the end, each where the config names it.
_REPORTED = ('val', 'test')


def path(workdir: AnyPath) -> AnyPath:
  """Written last of all, so that its presence says: the run has ended."""
  return workdir / 'summary.json'


def read_finished(
  ex: Experiment, workdir: AnyPath, step: int
) -> dict[str, Any] | None:
  """The summary of a run that ended at `step` and has all its results."""
  found = read_json(path(workdir))
  if found is None:
    return None
  results = [
    workdir / 'results' / f'{split}-{step}.json'
    for split in _REPORTED
    if split in ex.data.splits
  ]
  whole = found.get('step') == step and all(r.exists() for r in results)
  return found if whole else None


def finish(
  ex: Experiment,
  program: Program,
  state: TrainState,
  workdir: AnyPath,
  book: Logbook,
  stop: StopRequest,
  val: evaluation.Evaluated | None = None,
) -> dict[str, Any]:
  """Reports val and test, and writes curves.png and summary.json.

  Args:
    ex: the experiment.
    program: its compiled functions.
    state: of the last step.
    workdir: where the results go.
    book: of the run.
    stop: looked at between batches.
    val: what the loop's last evaluation gave; None if it is not known.

  Returns:
    The summary.

  Raises:
    Stopped: a stop was asked for; the same command makes up for it.
  """
  step, headline = int(state.step), ex.task.headline
  numbers: dict[str, Any] = {}
  for split in _REPORTED:
    if split in ex.data.splits:
      with book.timed('evaluation'):
        found = val if split == 'val' else None
        if found is None:
          variables = state.evaluated()
          found = evaluation.run(ex, program, variables, split, stop)
        result = evaluation.report(
          ex, found, split, step=step, workdir=workdir, checkpoint='latest'
        )
      numbers[split] = result['metrics'].get(headline)
      book.say('', f'{split}: {result["examples"]} examples at step {step}')
      book.say(*table.metrics_table(result['metrics']).split('\n'))
  if jax.process_index() == 0:
    book.sync()
    rows = read(workdir / 'metrics.jsonl')
    # What training logs, and the one metric of evaluation that decides.
    trained = [k for row in rows if row['kind'] == 'train' for k in row]
    panels = [
      name
      for name in dict.fromkeys([*trained, headline])
      if not name.startswith('time/')
    ]
    figures.curves(
      workdir / 'curves.png', rows, panels=panels, title=workdir.name
    )
  total = book.total_seconds()
  seconds = {k: round(book.seconds[k], 2) for k in PHASES}
  seconds['other'] = round(max(0.0, total - sum(book.seconds.values())), 2)
  summary = {
    'step': step,
    'parameters': program.parameters,
    headline: numbers,
    'seconds': round(total, 2),
    'seconds_by_phase': seconds,
    'starved_seconds': round(book.clock.starved_seconds, 2),
    'training_examples_per_second': round(
      step * ex.data.batch_size / max(seconds['step'] + seconds['input'], 1e-9),
      2,
    ),
    'devices': f'{jax.device_count()} {jax.devices()[0].device_kind}',
  }
  if ex.privacy is not None:
    summary['privacy'] = ex.privacy.ledger(step)
  if jax.process_index() == 0:
    write_json(path(workdir), summary)
  book.say('', *_lines(summary, headline, workdir))
  return summary


def _lines(
  summary: dict[str, Any], headline: str, workdir: AnyPath
) -> list[str]:
  total = max(summary['seconds'], 1e-9)
  shares = ', '.join(
    f'{name} {value:.1f} s ({value / total:.0%})'
    for name, value in summary['seconds_by_phase'].items()
    if value
  )
  spent = summary['seconds_by_phase']
  training = spent['step'] + spent['input']
  results = ', '.join(
    f'{split} {headline} {value:.4f}'
    for split, value in summary[headline].items()
    if value is not None
  )
  return [
    f'{summary["parameters"]:,} parameters, step {summary["step"]}, {results}',
    f'{summary["seconds"]:.1f} s on {summary["devices"]}: {shares}',
    device_idle.verdict(summary['starved_seconds'], training),
    f'results, curves.png and checkpoints are in {workdir}',
  ]
