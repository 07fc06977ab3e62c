"""Whether explanations can be believed: a table of trainings and methods.

  python -m experiments.trust WORKDIR ... [--data_dir=DATA] [--output=DIR]
      [--examples=30] [--method=integrated_gradients,rise] [--split=test]

Of each training the first examples of a split that it gets right (of speech:
every word of them): the completeness gap of integrated gradients; areas under
the probability of the answer while places are deleted and inserted, beside
random maps and Sobel's edges; rank correlations with the maps of mixed weights,
of the maps and of their absolute values; stability. Of speech the share of a
word's saliency within 120 ms of where CTC aligns it. What is deleted is
replaced by the first baseline: black, or what is quiet. Writes trust.csv into
--output, which is `runs/trust`, and prints a table. A name may stand before
each: NAME=PATH.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.exit_code import chosen, exit_code_of
from experiments.figures.rows import write_csv
from recog_jax.errors import UserError

_MEANS = (
  *('completeness_gap', 'deletion', 'deletion_random', 'deletion_edges'),
  *('insertion', 'insertion_random', 'insertion_edges'),
  *('randomised', 'randomised_abs', 'stability', 'near'),
)
COLUMNS = ('model', 'method', 'maps', *_MEANS, 'seconds')


def subjects_of(
  place: str, args: argparse.Namespace
) -> Iterator[tuple[Any, Any, Any]]:
  """(model, subject, heard or None) of the first examples."""
  import numpy as np

  import recog_jax
  from recog_jax.engine import mesh as mesh_lib
  from recog_jax.engine import trained
  from recog_jax.engine.explaining import subjects

  model = recog_jax.load(place)
  ex = trained.experiment_of(Path(place), args.data_dir, split=args.split)
  if model.reader.modality != 'speech':
    pictures = subjects.of_pictures(model)
    found = ex.data.lookup(args.split)(
      np.arange(min(args.examples, ex.data.size(args.split)))
    )
    for picture, label in zip(found['image'], found['label'], strict=True):
      subject = pictures.subject(np.asarray(picture), None)
      if np.ndim(label) or int(subject.what['index']) == int(label):
        yield model, subject, None
    return
  speech, count = subjects.of_speech(model), 0
  rows = mesh_lib.rows_of(ex.mesh)
  lookup = ex.data.lookup(args.split)
  with ex.data.evaluation(args.split, rows, ex.eval_batch_size) as batches:
    for batch in batches:
      for i in np.flatnonzero(batch['valid']):
        if count == args.examples:
          return
        names = ('inputs', 'input_len', 'index', 'valid')
        one = {k: np.asarray(batch[k])[i : i + 1] for k in names}
        try:
          heard = speech.of_batch(one)
        except UserError:  # Nothing was heard.
          continue
        if [heard.text] != lookup(one['index'])['text']:
          continue
        count += 1
        for subject in heard.subjects:
          yield model, subject, heard


def measure(place: str, args: argparse.Namespace) -> list[dict[str, Any]]:
  """A row for each method."""
  import numpy as np

  from recog_jax.engine.explaining import run
  from recog_jax.engine.explaining.compute import Explainer
  from recog_jax.explain import faithfulness, scores

  explainer, found = None, {}
  for model, subject, heard in subjects_of(place, args):
    explainer = explainer or Explainer(model.variables)
    fitting = explainer.fitting(subject) if not found else [*found]
    names = [n for n in fitting if not args.method or n in args.method]
    fill = next(iter(subject.baselines))
    for name in names:
      begin = time.perf_counter()
      one = explainer.explain(subject, name)
      numbers = dict(one.numbers)
      numbers |= explainer.faithfulness(subject, one, fill)
      other = explainer.mixed(subject, one)
      numbers['randomised_abs'] = float(
        faithfulness.rank_correlation(abs(one.map)[None], abs(other)[None])[0]
      )
      if heard is not None:
        profile = np.abs(one.map[: len(heard.frames)]).sum(1).tolist()
        place_s = subject.begin, subject.end
        numbers['near'] = scores.share_near(
          profile, *place_s, heard.step, run.NEAR_S
        )
      numbers['seconds'] = time.perf_counter() - begin
      found.setdefault(name, []).append(numbers)
  rows = []
  for name, several in found.items():
    row: dict[str, Any] = {'method': name, 'maps': len(several)}
    for key in (*_MEANS, 'seconds'):
      values = [n[key] for n in several if key in n]
      # A change near 0 makes a gap of any size: its median says more.
      middle = np.median if key == 'completeness_gap' else np.mean
      row[key] = float(middle(values)) if values else ''
    rows.append(row)
  return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
  """Markdown."""
  heads = ('deletion (random, edges)', 'insertion (random, edges)')
  lines = [
    f'| model | method | maps | gap | {heads[0]} | {heads[1]} | mixed weights '
    '(absolute) | stability | within 120 ms |',
    '|---|---|---|---|---|---|---|---|---|',
  ]
  for row in rows:
    gap, near = row['completeness_gap'], row['near']
    areas = [
      f'{row[kind]:.3f} ({row[f"{kind}_random"]:.3f}, '
      f'{row[f"{kind}_edges"]:.3f})'
      for kind in ('deletion', 'insertion')
    ]
    lines.append(
      f'| {row["model"]} | {row["method"]} | {row["maps"]} | '
      f'{"" if gap == "" else f"{gap:.2%}"} | {" | ".join(areas)} | '
      f'{row["randomised"]:.2f} ({row["randomised_abs"]:.2f}) | '
      f'{row["stability"]:.2f} | {"" if near == "" else f"{near:.0%}"} |'
    )
  return '\n'.join(lines)


def _make(args: argparse.Namespace) -> int:
  from recog_jax.explain.methods import METHODS

  args.method = chosen('method', args.method, METHODS)
  rows = []
  for word in args.models:
    name, equals, place = word.partition('=')
    place = place if equals else word
    print(f'{place} ...', file=sys.stderr, flush=True)
    name = name if equals else Path(place).name
    rows += [{'model': name, **row} for row in measure(place, args)]
  if not rows:
    raise UserError('no example was answered rightly: there is nothing to show')
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  write_csv(out / 'trust.csv', rows, COLUMNS)
  print(table(rows))
  print(f'wrote {out}/trust.csv')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.trust',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('models', nargs='+', metavar='[NAME=]WORKDIR')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--output', default='runs/trust', help='folder')
  parser.add_argument('--examples', type=int, default=30, help='at most')
  parser.add_argument('--split', default='test', help='of the data')
  parser.add_argument(
    '--method', default='', help='by commas; by default all that fit'
  )
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
