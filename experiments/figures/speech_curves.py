"""Draws validation WER and CER of several runs over time and steps, as one PNG.

Examples:
  python -m experiments.figures.speech_curves runs/blstm runs/conformer
  python -m experiments.figures.speech_curves BLSTM=runs/a Conformer=runs/b \\
      --output=curves.png --title='41 minutes of training speech'
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.exit_code import exit_code_of
from recog_jax.engine import logbook
from recog_jax.errors import UserError
from recog_jax.report.figures import wer_curves

_RATES = ('wer', 'cer')


def read_runs(
  workdirs: Sequence[str],
) -> dict[str, list[dict[str, Any]]]:
  """The log lines of runs.

  Args:
    workdirs: folders of trainings, `NAME=FOLDER` or `FOLDER`, which is then its
      own name.

  Raises:
    UserError: no error rate in a folder's log, or two runs of one name.
  """
  runs = {}
  for argument in workdirs:
    name, _, folder = argument.rpartition('=')
    path = Path(folder)
    name = name or path.resolve().name
    if name in runs:
      raise UserError(f"two runs are called '{name}': write NAME={folder}")
    rows = logbook.read(path / 'metrics.jsonl')
    if not any(_has_rate(row) for row in rows):
      raise UserError(
        f'{path / "metrics.jsonl"} has no WER or CER of a validation: give the '
        'workdir of a speech training that was evaluated at least once'
      )
    runs[name] = rows
  return runs


def _has_rate(row: Mapping[str, Any]) -> bool:
  return row['kind'] == 'val' and any(rate in row for rate in _RATES)


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.figures.speech_curves',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    'workdirs', nargs='+', metavar='[NAME=]WORKDIR', help='folder of a training'
  )
  parser.add_argument('--output', default='runs/speech_curves.png', type=Path)
  parser.add_argument('--title', default='', help='stands above the curves')
  args = parser.parse_args(argv)

  def run() -> None:
    runs = read_runs(args.workdirs)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    wer_curves(args.output, runs, metrics=_RATES, title=args.title)
    print(f'wrote {args.output}')

  return exit_code_of(run)


if __name__ == '__main__':
  sys.exit(main())
