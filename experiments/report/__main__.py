"""One page of a set of trainings: figures, tables, curves, mistakes, cards.

Examples:
  python -m experiments.report runs/digits_resnet8
  python -m experiments.report runs/studies/cpu/* \\
      --figures=experiments/figures --data_dir=DIR --output=report/index.html

Writes report.html, which needs no other file and no network: into the workdir,
of several ones into the folder that holds the first, or to --output. Each
training has a model card and a data card, written from its workdir and from the
data set's own description (in --data_dir); what those do not state, the cards
call not stated. Beside the page they are in Hugging Face's format:
cards/NAME/model.md and data.md.
"""

import argparse
import sys
from collections.abc import Sequence

from etils import epath

from experiments.exit_code import exit_code_of
from experiments.figures import studies
from experiments.report import cards, page, runs
from launch import store
from recog_jax.errors import UserError, say, warn


def _workdirs(words: Sequence[str]) -> list[str]:
  """Without what a shell's * finds beside workdirs: files, other folders."""
  if len(words) == 1:
    return list(words)
  for word in words:
    store.check_access(store.root(word))
  kept = [w for w in words if (store.root(w) / 'config.json').exists()]
  for word in words:
    if word not in kept:
      say(f'{word} is left out: it holds no config.json')
  if not kept:
    raise UserError('none of them is the --workdir of a training')
  return kept


def _readable(workdirs: Sequence[str], data_dir: str | None) -> list[runs.Run]:
  """The runs whose files can be read; of several, the others are left out."""
  found = []
  for workdir in workdirs:
    try:
      found.append(runs.read(workdir, data_dir))
    except UserError as error:
      if len(workdirs) == 1:
        raise
      warn(f'left out: {error}')
  if not found:
    raise UserError('none of them is the --workdir of a training')
  return found


def _write(args: argparse.Namespace) -> None:
  """Reads the workdirs and writes the page."""
  workdirs = _workdirs(args.workdirs)
  found = runs.with_own_names(_readable(workdirs, args.data_dir))
  figures = []
  if args.figures:
    folder = epath.Path(args.figures)
    figures = [folder / f'{study}.png' for study in studies.STUDIES]
    figures = [path for path in figures if path.exists()]
    if not figures:
      raise UserError(
        f'{folder} holds no figures: python -m experiments.figures makes them'
      )
  text = page.build(found, figures, args.title)
  output = store.root(args.output) if args.output else _beside(found)
  output.parent.mkdir(parents=True, exist_ok=True)
  output.write_bytes(text.encode(errors='replace'))
  for run in found:
    try:
      with runs.readable(run.workdir):
        made = {
          'model.md': cards.hub_model_card(run),
          'data.md': cards.hub_data_card(run),
        }
    except UserError:
      if len(found) == 1:
        raise
      continue  # The page has left it out, and said so.
    folder = output.parent / 'cards' / run.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, card in made.items():
      (folder / name).write_bytes(card.encode(errors='replace'))
  count = text.count('<section id=')
  say(
    f'wrote {output}: {count} trainings, {len(text) >> 10} KiB; cards are in '
    f'{output.parent / "cards"}'
  )


def _beside(found: Sequence[runs.Run]) -> epath.Path:
  """Where the page goes if nothing is said."""
  first = found[0].workdir
  return (first if len(found) == 1 else first.parent) / 'report.html'


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.report',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('workdirs', nargs='+', metavar='WORKDIR')
  parser.add_argument('--figures', help='folder of accuracy.png, wer.png, ...')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--output', help='the page (default: see above)')
  parser.add_argument('--title', default='Trainings')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _write(args))


if __name__ == '__main__':
  sys.exit(main())
