"""The three figures, each from its trainings to PNG, SVG and CSV.

Examples:
  python -m experiments.figures accuracy --budget=tiny
  python -m experiments.figures accuracy wer tradeoff --budget=cpu \\
      --data_dir=DIR
  python -m launch --sweep=experiments/sweeps/paper_images.py \\
      --backend=skypilot --workdir=gs://BUCKET/full
  python -m experiments.figures accuracy --budget=full \\
      --workdir=gs://BUCKET/full

accuracy: networks after equal epochs, 3 seeds. wer: LSTM, Transformer and
others over training, greedy and with a language model. tradeoff: training time,
FLOPs and estimated TPU time against accuracy, with the Pareto front.

Budgets: tiny (minutes, made-up or embedded data), cpu (narrow networks), gpu
(the published networks for --epochs, on one accelerator), full (the papers').

Trainings run through `launch` on this machine: the same command again skips
those that have results and continues the others. Figures share them.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from etils import epath

from experiments.exit_code import exit_code_of
from experiments.figures import plots, studies
from experiments.figures import rows as rows_lib
from launch import devices, store
from launch import sweep as sweep_lib
from launch.backends import train_here
from launch.sweep import Trial
from launch.workdirs import is_finished
from recog_jax.errors import UserError

# An exit code above it names a signal.
_SIGNALLED = 128
_ROOT = Path(__file__).resolve().parents[2]


def _train(trials: Sequence[Trial], root: epath.Path, args) -> int:
  """Runs what has no results yet; the exit code."""
  slots = devices.slots(args.max_parallel)
  if not store.is_remote(root):
    # Seeds of one network compile once.
    cache = str(Path(root).absolute() / 'compiled')
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', cache)
  return train_here(trials, root, slots, args.data_dir)


def _python(module: str, *words: str) -> None:
  """Runs a module in a process of its own, where jax may start.

  Raises:
    UserError: it failed; it has said why.
  """
  if subprocess.run([sys.executable, '-m', module, *words]).returncode:
    raise UserError(f'{module} failed, see above')


def _accuracy(entries, trials, root, args) -> list[rows_lib.Row]:
  del args
  return rows_lib.accuracy(entries, trials, root)


def _tradeoff(entries, trials, root, args) -> list[rows_lib.Row]:
  rows = _accuracy(entries, trials, root, args)
  out = Path(args.output) / f'tradeoff_costs_{args.budget}.json'
  specs = list(dict.fromkeys(row['config'] for row in rows))
  if not args.draw:
    _python('experiments.figures.training_cost', f'--output={out}', *specs)
  costs = store.read_json(epath.Path(out)) or {}
  if missing := [spec for spec in specs if spec not in costs]:
    raise UserError(f'{out} has no cost of {missing[0]}: leave out --draw')
  return rows_lib.with_cost(rows, costs)


def _wer(entries, trials, root, args) -> list[rows_lib.Row]:
  chosen = [
    str(root / trial.id)
    for entry, trial in zip(entries, trials, strict=True)
    if entry.data in studies.WITH_LM
  ]
  if chosen and not args.draw:
    data = [f'--data_dir={args.data_dir}'] if args.data_dir else []
    _python('experiments.figures.lm_decoding', *data, *chosen)
  return rows_lib.wer(entries, trials, root)


_ROWS = {'accuracy': _accuracy, 'wer': _wer, 'tradeoff': _tradeoff}
_PLOTS = {
  'accuracy': plots.accuracy,
  'wer': plots.wer,
  'tradeoff': plots.tradeoff,
}


def make(study: str, args) -> int:
  """Trains and draws one figure; the exit code."""
  root = store.root(args.workdir or f'runs/studies/{args.budget}')
  store.check_access(root)
  length = studies.Length(args.epochs, args.share)
  entries = studies.entries(study, args.budget, length)
  trials = [sweep_lib.make_trial(entry.trial) for entry in entries]
  if not args.draw and (code := _train(trials, root, args)):
    print(f'{study}: not drawn, trainings are missing', file=sys.stderr)
    return code
  absent = [t.id for t in trials if not is_finished(root / t.id, t)]
  if absent:
    raise UserError(
      f'{len(absent)} of {len(trials)} trainings in {root} have no results '
      f'({absent[0]}): leave out --draw'
    )
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  rows = _ROWS[study](entries, trials, root, args)
  stem = out / study
  rows_lib.write_csv(epath.Path(stem.with_suffix('.csv')), rows)
  _PLOTS[study](stem, rows, plots.caption(study, args.budget, rows))
  print(f'wrote {stem}.csv, {stem}.png and {stem}.svg')
  return 0


def _beside(args) -> str:
  """Where figures go if nothing is said: beside their trainings."""
  usual = f'runs/studies/{args.budget}'
  remote = args.workdir and '://' in args.workdir
  return f'{usual if remote else args.workdir or usual}/figures'


def _make_all(args: argparse.Namespace) -> int:
  """One figure after another; the exit code."""
  args.output = args.output or _beside(args)
  if '://' in args.output:
    raise UserError(f'--output={args.output}: give a folder of this machine')
  codes = []
  for study in args.studies:
    codes.append(make(study, args))
    if codes[-1] > _SIGNALLED:  # A signal is meant for all of them.
      break
  return max(codes)


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.figures',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('studies', nargs='+', choices=studies.STUDIES)
  parser.add_argument('--budget', choices=studies.BUDGETS, default='tiny')
  length = studies.Length()
  parser.add_argument(
    '--epochs',
    type=float,
    default=length.epochs,
    help='of the image networks in budget gpu',
  )
  parser.add_argument(
    '--share',
    type=float,
    default=length.share,
    help="of their configs' steps, for the speech networks in budget gpu",
  )
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--workdir', help='of the trainings, also gs://, s3://')
  parser.add_argument(
    '--output', help='folder of the figures (default: beside the trainings)'
  )
  parser.add_argument('--max_parallel', type=int, help='trainings at a time')
  parser.add_argument(
    '--draw', action='store_true', help='draw what is there, train nothing'
  )
  args = parser.parse_args(argv)
  for key in ('data_dir', 'workdir', 'output'):
    value = getattr(args, key)
    if value and '://' not in value:
      setattr(args, key, str(Path(value).absolute()))
  os.chdir(_ROOT)
  try:
    return exit_code_of(lambda: _make_all(args))
  except KeyboardInterrupt:
    return _SIGNALLED + signal.SIGINT


if __name__ == '__main__':
  sys.exit(main())
