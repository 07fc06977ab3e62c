"""One page on a diagnostic model: what its answers are worth, and to whom.

  python -m experiments.medical WORKDIR ... [--data_dir=DATA] [--split=test]
      [--checkpoint=best] [--groups=sex,age_group,site] [--mistakes=12]
      [--method=grad_cam,integrated_gradients] [--output=PAGE.html]

Of each training: a temperature and operating points are chosen on its val split
and kept in the workdir, as `evaluate --calibrate` does; then the split is
evaluated, and the page shows metrics with intervals, operating points,
predictive values over prevalence, reliability, ROC and precision-recall curves,
the decision and the abstention curve, groups of people, and the worst mistakes
with heat maps. Two trainings on the same pictures of two classes are compared
by DeLong's test. A name may stand before each: NAME=WORKDIR. The page,
medical.html beside the first workdir's results by default, needs no other file;
pictures on it are told by their numbers, since names of files may be names of
people.
"""

import argparse
import base64
import dataclasses
import html
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.exit_code import chosen, exit_code_of
from recog_jax.errors import UserError, say, warn

_FIGURES = (
  ('decisions', 'Probabilities and decisions'),
  ('groups', 'Groups'),
  ('confusion_matrix', 'Confusion matrix'),
)


@dataclasses.dataclass(frozen=True)
class Measured:
  """What the page says of one training.

  Attributes:
    name: of it.
    workdir: its folder.
    prefix: of the files in `results`.
    result: what `results/PREFIX.json` holds.
    facts: of `calibration/STEP.json`.
    sheets: the worst mistakes with their maps.
    labels: of the classes.
    records: of the split.
    positive: probability `n` of the class that is looked for; None where there
      are not two.
    there: bool `n`, it is there.
  """

  name: str
  workdir: Path
  prefix: str
  result: Mapping[str, Any]
  facts: Mapping[str, Any]
  sheets: Sequence[Any]
  labels: Sequence[str]
  records: Mapping[str, Any]
  positive: Any = None
  there: Any = None


def measure(name: str, workdir: Path, args: argparse.Namespace) -> Measured:
  """Calibrates on val, evaluates the split, and explains the worst mistakes."""
  from recog_jax.engine import calibrating, evaluation, trained
  from recog_jax.engine.groups import Groups
  from recog_jax.tasks.classification import clinical

  keys = {'task.calibration': 'True'}
  opened = trained.open_workdir(
    workdir, args.data_dir, split=calibrating.SPLIT, keys=keys
  )
  calibrating.check(opened.ex.task)
  facts = calibrating.calibrate(opened, args.checkpoint)
  step = facts['step']
  opened = trained.open_workdir(
    workdir, args.data_dir, split=args.split, keys=keys
  )
  _, variables = opened.restore(str(step))
  ex, evaluator = opened.ex, opened.evaluator
  found = evaluation.run(ex, evaluator, variables, args.split)
  task = calibrating.calibrated(ex.task, workdir, step)
  fields = tuple(filter(None, args.groups.split(',')))
  prefix = f'{args.split}-{step}'
  result = evaluation.report(
    dataclasses.replace(ex, task=task),
    found,
    args.split,
    step=step,
    workdir=opened.workdir,
    checkpoint=args.checkpoint,
    name=prefix,
    groups=Groups(fields) if fields else None,
  )
  spec: Any = task.spec
  positive = there = None
  if spec.positive is not None:
    p = clinical.probabilities(spec, found.records, task.chosen)
    positive = p[:, spec.positive]
    there = found.records['target'] == spec.positive
  return Measured(
    name,
    workdir,
    prefix,
    result,
    facts,
    mistakes(workdir, step, task, ex.data.lookup(args.split), found, args),
    spec.label_names,
    found.records,
    positive,
    there,
  )


def mistakes(
  workdir: Path,
  step: int,
  task: Any,
  lookup: Any,
  found: Any,
  args: argparse.Namespace,
) -> list[Any]:
  """The mistakes of the highest loss, each with maps of what was said."""
  import numpy as np

  import recog_jax
  from recog_jax.engine.explaining import subjects
  from recog_jax.engine.explaining.compute import Explainer
  from recog_jax.report.explanations import Panel, Sheet
  from recog_jax.tasks.classification import clinical

  records, spec = found.records, task.spec
  if spec.multi_label or not args.mistakes:
    return []
  target, guess = records['target'], records['prediction']
  rows = np.flatnonzero(target != guess)
  rows = rows[np.argsort(-records['loss'][rows], kind='stable')]
  rows = rows[: args.mistakes]
  if not len(rows):
    return []
  p = clinical.probabilities(spec, records, task.chosen)
  model = recog_jax.load(str(workdir), checkpoint=str(step))
  pictures = subjects.of_pictures(model)
  explainer, sheets = Explainer(model.variables), []
  images = lookup(records['index'][rows])['image']
  for row, image in zip(rows.tolist(), images, strict=True):
    picture, names = np.asarray(image), spec.label_names
    said, true = names[guess[row]], names[target[row]]
    subject = pictures.subject(picture, said)
    fitting = explainer.fitting(subject)
    wanted = args.method or ('grad_cam', 'integrated_gradients')
    panels = []
    for method in (m for m in wanted if m in fitting):
      one = explainer.explain(subject, method)
      panels.append(Panel(one.title, one.map, one.signed, {}, said))
    title = f'said {said} ({p[row, guess[row]]:.1%}), and it is {true}'
    where = f'{args.split}, number {int(records["index"][row])}'
    sheets.append(Sheet(where, title, picture, panels))
  return sheets


# -- the page -----------------------------------------------------------------


def page(found: Sequence[Measured], split: str) -> str:
  """HTML that needs no other file."""
  from recog_jax.report import explanations

  parts = [_section(one, split) for one in found]
  title = f'{" and ".join(one.name for one in found)} on {split}'
  body = '\n'.join([*_compared(found), *parts])
  return explanations.document(title, body, _STYLE)


def _section(one: Measured, split: str) -> str:
  from recog_jax.report import decisions, explanations, groups, table

  metrics = one.result['metrics']
  before, after = one.facts['before'], one.facts['after']
  parts = [
    f'<h2>{html.escape(one.name)}</h2>',
    f'<p>Step {one.result["step"]}, {one.result["examples"]} examples of '
    f'{split}, classes {html.escape(", ".join(one.labels))}. Temperature '
    f'{one.facts["temperature"]:.3f}, fitted on {one.facts["examples"]} '
    f'examples of {one.facts["split"]}: there the expected calibration error '
    f'went from {before["ece"]:.4f} to {after["ece"]:.4f}. For research: no '
    'number here decides on a patient.</p>',
    *(f'<p>{html.escape(note)}</p>' for note in one.facts['notes']),
    _text(table.metrics_table(metrics)),
  ]
  if points := metrics.get('operating_points'):
    parts += [
      '<h3>Operating points</h3>',
      _text(decisions.points_table(points)),
      _text(decisions.prevalence_table(points)),
    ]
  if fairness := metrics.get('fairness'):
    parts += ['<h3>Groups</h3>', _text(groups.tables(fairness))]
  for ending, title in _FIGURES:
    path = one.workdir / 'results' / f'{one.prefix}-{ending}.png'
    if path.is_file() and (ending != 'groups' or 'fairness' in metrics):
      data = base64.b64encode(path.read_bytes()).decode()
      parts.append(
        f'<h3>{title}</h3><img class=figure alt="{title}" '
        f'src="data:image/png;base64,{data}">'
      )
  if one.sheets:
    parts += ['<h3>Worst mistakes</h3>', explanations.articles(one.sheets)]
  return '\n'.join(parts)


def _compared(found: Sequence[Measured]) -> list[str]:
  """DeLong's test of each pair on the same pictures."""
  import numpy as np

  from recog_jax.metrics import delong
  from recog_jax.report.table import aligned

  rows = [('models', 'AUC', 'AUC', 'difference', '95 % interval', 'p')]
  for a, b in itertools.combinations(found, 2):
    if a.positive is None or b.positive is None:
      continue
    if a.labels != b.labels or not np.array_equal(a.there, b.there):
      warn(f'{a.name} and {b.name} are not compared: they saw other pictures')
      continue
    try:
      two = delong.compare(a.positive, b.positive, a.there)
    except ValueError as error:
      warn(f'{a.name} and {b.name} are not compared: {error}')
      continue
    low, high = two.interval
    rows.append(
      (
        f'{a.name}, {b.name}',
        *(f'{auc:.4f}' for auc in two.auc),
        f'{two.difference:+.4f}',
        f'{low:+.4f} - {high:+.4f}',
        f'{two.p:.3g}',
      )
    )
  if len(rows) == 1:
    return []
  return ['<h2>Compared (DeLong)</h2>', _text(aligned(rows))]


def _text(text: str) -> str:
  return f'<pre>{html.escape(text)}</pre>'


_STYLE = """\
pre { overflow-x: auto; font-size: 12px; line-height: 1.35 }
.figure { width: 100%; max-width: 80rem; image-rendering: auto }
"""


def _make(args: argparse.Namespace) -> int:
  from recog_jax.explain.methods import METHODS

  args.method = chosen('method', args.method, METHODS)
  if args.mistakes < 0:
    raise UserError('--mistakes is 0 or more')
  found = []
  for word in args.models:
    name, equals, place = word.partition('=')
    workdir = Path(place if equals else word).expanduser().absolute()
    if not workdir.is_dir():
      raise UserError(f'{workdir} is no folder: give the workdir of a training')
    name = name if equals else workdir.name
    print(f'{workdir} ...', file=sys.stderr, flush=True)
    found.append(measure(name, workdir, args))
  output = found[0].workdir / 'medical.html'
  if args.output:
    output = Path(args.output).expanduser()
  output.parent.mkdir(parents=True, exist_ok=True)
  output.write_text(page(found, args.split), 'utf-8', errors='replace')
  say(f'wrote {output}')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.medical',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('models', nargs='+', metavar='[NAME=]WORKDIR')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--split', default='test', help='of the data')
  parser.add_argument('--checkpoint', default='best', help='or latest, a step')
  parser.add_argument('--groups', default='', help='fields, by commas')
  parser.add_argument('--mistakes', type=int, default=12, help='at most')
  parser.add_argument('--method', default='', help='of the maps, by commas')
  parser.add_argument('--output', help='the page (default: see above)')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
